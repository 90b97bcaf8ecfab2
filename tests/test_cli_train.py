"""`limner train writer` and `limner train beautifier` as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limner.cli import main
from limner.types import BadInput
from tests.train.writer.tiny import rows


def test_a_beautifier_is_trained_and_one_object_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("\n".join(json.dumps({"simple": row.x_o, "long": row.x}) for row in rows()))
    out = tmp_path / "out"
    assert main(["train", "beautifier", "--data", str(pairs), "--out", str(out), "--steps", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pairs"] == len(rows())
    assert (Path(report["model"]) / "writer.json").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--stage", "ppo", "--rows", "2"], "no fine-tuned writer"),
        (["--minutes", "0"], "0.0 minutes"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["--minutes", "nan"], "nan minutes"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    given: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "writer", "--out", str(tmp_path / "out"), *given]) == BadInput.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
