"""`limner eval diffchat`, from the command line to the tables, with a tiny writer and the models that ship."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from limner import trials
from limner.cli import main
from limner.config import Settings
from limner.instructpe import Row, write_rows
from limner.rating_files import open_rating
from limner.toolbox import Toolbox
from limner.trials import Asked, by_rules, rows_of, writers_of
from limner.types import BadInput
from limner.world.instructions import world_rows
from tests import tiny_writer


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_writer.writer(tmp_path_factory.mktemp("writer"), steps=20)


def test_the_prompts_alone_need_no_painter(
    writer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toolbox, "painter", property(lambda self: pytest.fail("a painter was loaded")))
    asked = ["eval", "diffchat", "-n", "6", "--only", "ablations", "--writer", f"tiny={writer}", "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["method"] for line in told["prompts"]] == ["rules", "tiny", "reference"]
    assert told["prompts"][2]["exact"] == 1
    assert told["prompts"][0]["ci"] > 60
    assert "methods" not in told


@pytest.mark.long
def test_the_table_with_the_models_that_ship(writer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pictures"
    asked = ["eval", "diffchat", "-n", "1", "--only", "table", "--writer", f"tiny={writer}", "--out", str(out)]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["method"] for line in told["methods"]] == ["rules", "tiny", "reference", "instruct-pix2pix"]
    columns = {"pickscore", "aesthetic", "hps", "clip_s", "d_clip_s"}
    assert all(columns <= set(line["means"]) for line in told["methods"])
    assert {row["against"] for row in told["wins"]} == {"rules", "reference", "instruct-pix2pix"}
    rating = open_rating(out / "rules", out / "instruct-pix2pix", tmp_path / "ratings.jsonl", 0)
    rows = list(world_rows(1, 0, held_out=True))
    assert rating.prompts == {f"{n:04}.png": row.reference for n, row in enumerate(rows)}
    assert main(asked) == 2
    assert "holds other files" in capsys.readouterr().err


def test_rows_of_a_file_and_of_the_world(tmp_path: Path) -> None:
    rows = [Row("a fox", "add a dog", "a fox", "a fox and a dog")] * 3
    write_rows(tmp_path / "rows.jsonl", rows)
    assert rows_of(Asked(count=2, data=tmp_path / "rows.jsonl")) == rows[:2]
    assert rows_of(Asked(count=3)) == list(world_rows(3, 0, held_out=True))
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(BadInput):
        rows_of(Asked(data=tmp_path / "none.jsonl"))


def test_the_rules_rewrite_what_they_understand() -> None:
    rows = [Row("", "make the fox blue", "a red fox, 8k", "y"), Row("", "zzz", "a fox", "y")]
    assert by_rules(rows) == ["a blue fox, 8k", "a fox, zzz"]


@pytest.mark.parametrize("names", [("a", "a"), ("rules",), ("reference",), ("instruct-pix2pix",)])
def test_writers_need_names_of_their_own(names: tuple[str, ...], tmp_path: Path) -> None:
    tools = Toolbox(Settings(cache=tmp_path))
    with pytest.raises(BadInput, match="called alike"):
        writers_of(tools, Asked(writers=tuple((name, "folder") for name in names)))


@pytest.mark.parametrize("text", ["folder", "=folder", "name=", " = "])
def test_a_writer_is_given_as_name_and_folder(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "diffchat", "--writer", text]) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err


def test_without_a_writer_the_embedded_one_is_measured_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Toolbox(Settings(cache=tmp_path))
    for here, names in ((True, ["rules", "writer"]), (False, ["rules"])):
        monkeypatch.setattr(trials, "is_here", partial(_is_here, here))
        assert list(writers_of(tools, Asked())) == names


def _is_here(here: bool, source: str) -> bool:
    return here
