"""DiffChat's tables, filled by a painter whose pictures are known and a judge that sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from limner.draw import finish
from limner.evaluate import diffchat_table
from limner.evaluate.diffchat import EDITOR, REFERENCE, Hand, Senses, Trial, text_values, try_out, write_all
from limner.instructpe import Row
from limner.protocols import EditRequest
from limner.rating import Tally
from limner.types import Picture
from limner.world.instructions import world_rows
from limner.world.scene import Fact
from tests.painter import Painter, paint

ROWS = list(world_rows(12, 0, held_out=True))


class Bright:
    """Scores a picture by its mean, whatever it was asked for, and remembers that."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, pictures: Sequence[Picture], prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += prompts
        return np.array([picture.pixels.mean() for picture in pictures], np.float32)


class Editor:
    """Paints the picture black."""

    name = "black"
    model_hash = ""
    default_size: tuple[int, int] = (48, 48)
    default_steps = 2
    default_text_guidance = 5.0
    default_image_guidance = 1.5

    def __init__(self) -> None:
        self.asked: list[EditRequest] = []

    def edit(
        self, requests: Sequence[EditRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        self.asked += requests
        return [Picture(np.zeros_like(request.picture.pixels)) for request in requests]


class White:
    """A judge that finds everything in a picture that is not black."""

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        return [[bool(picture.pixels.any())] * len(row) for picture, row in zip(pictures, facts, strict=True)]


def tried(rows: Sequence[Row] = ROWS, **writers: Sequence[str]) -> tuple[Trial, Painter, Editor, Bright]:
    painter, editor, bright = Painter(max_batch=99), Editor(), Bright()
    senses = Senses({"aesthetic": bright}, judge=White())
    return finish(try_out(rows, writers, Hand(painter, editor, 5), senses)), painter, editor, bright


def own(rows: Sequence[Row]) -> list[str]:
    return [row.y for row in rows]


def test_everything_is_drawn_with_the_seed_of_its_row_and_nothing_twice() -> None:
    trial, painter, editor, _ = tried(first=own(ROWS), second=own(ROWS))
    asked = [(request.prompt, request.seed) for request in painter.drawn]
    assert len(asked) == len(set(asked))
    assert set(asked) == {(text, 5 + n) for n, row in enumerate(ROWS) for text in (row.x, row.y)}
    assert list(trial.values) == ["first", "second", EDITOR]
    assert trial.values["first"] == trial.values["second"]
    assert [(each.instruction, each.seed) for each in editor.asked] == [(row.i, 5 + n) for n, row in enumerate(ROWS)]
    assert [each.picture.sha256 for each in editor.asked] == [paint(r.x, 5 + n).sha256 for n, r in enumerate(ROWS)]


def test_all_pictures_of_a_row_are_scored_against_the_users_own_words() -> None:
    *_, bright = tried(first=["anything"] * len(ROWS))
    assert set(bright.asked) == {row.reference for row in ROWS}
    assert len(bright.asked) == 2 * len(ROWS)


def test_the_editor_writes_no_prompt_and_its_rank_is_over_what_it_has() -> None:
    trial, *_ = tried(good=own(ROWS), bad=["nothing"] * len(ROWS), reference=own(ROWS))
    lines = {line.method: line for line in diffchat_table.lines(trial)}
    assert "ci" not in lines[EDITOR].means
    assert lines["good"].means["ci"] > 90
    assert lines["good"].means["slots"] == 1
    assert lines["bad"].means["ci"] < 20
    assert lines[REFERENCE].rank is None
    assert lines["good"].rank == pytest.approx((1.5 + 1) / 2)  # as bright as the bad one's, and more is said
    assert lines[EDITOR].rank == 3
    assert lines[EDITOR].means["picture_slots"] < lines["good"].means["picture_slots"]


def test_ranks_are_shared_by_equals() -> None:
    means = {"a": {"ci": 1.0, "hps": 2.0}, "b": {"ci": 1.0}, "c": {"ci": 0.5, "hps": 3.0}}
    assert diffchat_table.average_ranks(means) == {"a": (1.5 + 2) / 2, "b": 1.5, "c": (3 + 1) / 2}


def test_who_wins_is_counted_row_by_row() -> None:
    trial, *_ = tried(first=own(ROWS), second=own(ROWS))
    wins = diffchat_table.wins(trial, "first")
    assert wins["second"] == Tally(tie=len(ROWS))
    assert wins[EDITOR].win + wins[EDITOR].lose == len(ROWS)


def test_the_spread_is_that_of_the_mean() -> None:
    rows = [{"ci": float(value)} for value in np.random.default_rng(0).normal(50, 10, 400)]
    [line] = diffchat_table.lines(Trial([], {"a": rows}))
    assert line.spread["ci"] == pytest.approx(10 / 400**0.5, rel=0.15)


def test_rows_without_facts_have_no_slots_and_pickscore_decides() -> None:
    rows = [Row("a circle", "make it red", "a circle", "a red circle", "a red circle")] * 3
    trial, *_ = tried(rows, first=own(rows))
    for values in trial.values["first"]:
        values["pickscore"] = 1.0
    for values in trial.values[EDITOR]:
        values["pickscore"] = 0.5
    assert "slots" not in trial.values["first"][0]
    assert diffchat_table.wins(trial, "first")[EDITOR] == Tally(win=3)


def test_how_early_the_new_word_stands() -> None:
    row = Row("a fox in the snow", "turn the fox into a zebra", "x", "y", "a zebra in the snow")
    assert diffchat_table.early("a zebra in the snow", row) == pytest.approx(1 / 5)
    assert diffchat_table.early("in the snow, a fox zebra", row) == pytest.approx(5 / 6)
    assert diffchat_table.early("a fox in the snow", row) is None


def test_a_text_line_says_what_the_prompts_are_like() -> None:
    line = diffchat_table.text_line("own", ROWS, own(ROWS))
    assert (line.slots, line.all_slots, line.exact) == (1, 1, 1)
    half = diffchat_table.text_line("x", ROWS, [row.x for row in ROWS])
    assert half.exact == 0
    assert half.all_slots == 0
    assert half.ci < line.ci


def test_text_values_are_percent_and_unthresholded() -> None:
    row = Row("a fox", "add a cat", "a fox", "a fox and a cat", "a fox and a cat")
    assert text_values("a fox", row) == {"ci": 50.0}


def test_every_writer_writes_for_all_rows() -> None:
    written = finish(write_all(ROWS, {"own": own, "x": lambda rows: [row.x for row in rows]}))
    assert written == {"own": own(ROWS), "x": [row.x for row in ROWS]}


def test_the_tables_rows_have_the_columns_that_there_are() -> None:
    trial, *_ = tried(first=own(ROWS))
    table = diffchat_table.to_rows(diffchat_table.lines(trial))
    assert [row["method"] for row in table] == ["first", EDITOR]
    assert all(list(row) == list(table[0]) for row in table)
    assert table[1]["CI"] is None
    assert "PickScore" not in table[0]
