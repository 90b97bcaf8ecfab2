"""Rows to learn from: those that the writer gets wrong, as many others, and the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from limner.instructpe import Row
from limner.integrity import integrity, reference
from limner.train.writer import hard
from limner.train.writer.base import SMALL, Base
from limner.train.writer.hard import hard_rows
from limner.world.instructions import world_rows
from tests.train.writer.tiny import model, rows, tokenizer


def write(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> None:
    """Let the writer write these texts: an untrained one gets nothing right."""

    def written(base: Base, rows: Sequence[Row]) -> list[str]:
        return texts

    monkeypatch.setattr(hard, "written", written)


def test_what_is_right_already_is_mostly_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, some = Base(SMALL, model(), tokenizer()), rows()[:12]
    wrong = {2, 7}
    texts = ["nothing" if number in wrong else row.y for number, row in enumerate(some)]
    write(monkeypatch, texts)
    chosen = hard_rows(base, some, tmp_path / "hard.json")
    assert [some.index(row) for row in chosen] == [0, 1, 2, 7]
    texts[:] = ["nothing"] * len(some)
    assert hard_rows(base, some, tmp_path / "hard.json") == chosen  # kept for a run that goes on


def test_where_nothing_is_wrong_all_rows_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = rows()[:5]
    write(monkeypatch, [row.y for row in some])
    assert hard_rows(Base(SMALL, model(), tokenizer()), some, tmp_path / "hard.json") == list(some)


def test_a_writer_that_knows_nothing_gets_all_wrong(tmp_path: Path) -> None:
    some = rows()[:4]
    assert hard_rows(Base(SMALL, model(), tokenizer()), some, tmp_path / "hard.json") == list(some)


def test_a_colour_on_the_wrong_thing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [row for row in world_rows(300, 3) if "a red" in row.y and "a blue" in row.y][:3]
    crossed = some[0].y.replace("a red", "a -").replace("a blue", "a red").replace("a -", "a blue")
    assert integrity(reference(some[0].x_o, some[0].i, some[0].reference), crossed) == 1.0
    write(monkeypatch, [crossed, *(row.y for row in some[1:])])
    assert hard_rows(Base(SMALL, model(), tokenizer()), some, tmp_path / "hard.json") == some[:2]
