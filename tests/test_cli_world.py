"""`limner world instructions` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limner.cli import main
from limner.instructpe import read_rows
from tests.test_cli import one_line, own_folders

__all__ = ["own_folders"]


def test_rows_are_made_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "instructions", "-n", "5", "--out", "rows.json", "--seed", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "rows.json", "rows": 5, "held_out": False, "seed": 3}
    assert len(json.loads(Path("rows.json").read_text())) == 5
    assert main(["world", "instructions", "-n", "5", "--out", "held.jsonl", "--seed", "3", "--held-out"]) == 0
    assert list(read_rows(Path("held.jsonl"))) != list(read_rows(Path("rows.json")))


@pytest.mark.parametrize("arguments", [["-n", "0"], ["--out", "nowhere/rows.jsonl"], ["--out", "."], ["-n", "x"]])
def test_what_cannot_be_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "instructions", *arguments]) == 2
    assert one_line(capsys).startswith("limner: ")
    assert [path for path in Path().iterdir() if path.is_file()] == []
