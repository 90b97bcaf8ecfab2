"""How well prompts are rewritten by instruction, judged by the pictures that they make (DiffChat 4, table 1).

Every writer gets the same rows; its prompt is drawn with the seed that the picture before the change had. All pictures
of a row are scored against the same words, the user's own for what was wanted (y_o), so that no writer can better its
score by asking for less. InstructPix2Pix edits the picture of x itself and writes no prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

import numpy as np
import numpy.typing as npt

from limner.evaluate.slots import slot_accuracy
from limner.evaluate.world import FactJudge
from limner.instructpe import Row
from limner.integrity import integrity, reference
from limner.protocols import DrawRequest, EditRequest, ImageEditor, TextToImage
from limner.types import Event, Picture
from limner.world.instructions import slots_of

SCORES = ("pickscore", "aesthetic", "hps", "clip_s", "d_clip_s", "ci")
"""The six columns of the paper's tables, over which ranks are averaged."""

OTHERS = ("slots", "all_slots", "picture_slots", "all_picture_slots")
"""Of rows of the world: what of the scene the prompt says, and what of it the judge sees in the picture."""

EDITOR, REFERENCE = "instruct-pix2pix", "reference"
_AT_ONCE = 8

Write = Callable[[Sequence[Row]], Sequence[str]]
"""The prompts y of a writer for rows, in order."""

Values = Mapping[str, float]
"""Scores of one picture and its prompt by name; what a method does not have is left out."""


class PictureScorer(Protocol):
    """Gives each picture of a text a number; see `backends.taste`."""

    def score(self, pictures: Sequence[Picture], prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One score a picture."""
        ...


class Directional(Protocol):
    """Says how far pictures changed in the direction in which their texts did; see `backends.taste.directional`."""

    def __call__(
        self, before: Sequence[Picture], after: Sequence[Picture], told: Sequence[tuple[str, str]]
    ) -> npt.NDArray[np.float32]:
        """100 times the cosine of each pair."""
        ...


@dataclass(frozen=True, slots=True)
class Senses:
    """What looks at the pictures: scorers by column name, the change, and the world's judge where rows have facts."""

    scorers: Mapping[str, PictureScorer]
    directional: Directional | None = None
    judge: FactJudge | None = None


@dataclass(frozen=True, slots=True)
class Hand:
    """What makes the pictures; `editor` is InstructPix2Pix, left out where None."""

    painter: TextToImage
    editor: ImageEditor | None = None
    seed: int = 0


Keep = Callable[[str, int, Picture, str], None]
"""Is given each picture with its method, the number of its row, and the words that it was asked for."""


@dataclass(slots=True)
class Trial:
    """What came out: for each method a line of values a row, and the prompts that it wrote."""

    rows: Sequence[Row]
    values: dict[str, list[dict[str, float]]] = field(default_factory=dict[str, list[dict[str, float]]])
    written: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


def write_all(rows: Sequence[Row], writers: Mapping[str, Write]) -> Generator[Event, None, dict[str, Sequence[str]]]:
    """The prompts of every writer, by name."""
    written: dict[str, Sequence[str]] = {}
    for number, (name, write) in enumerate(writers.items()):
        yield Event("write", name, number, len(writers))
        written[name] = list(write(rows))
    return written


def try_out(
    rows: Sequence[Row], written: Mapping[str, Sequence[str]], hand: Hand, senses: Senses, keep: Keep | None = None
) -> Generator[Event, None, Trial]:
    """Draw and score what was written for the rows, a few rows at a time; yields a «pictures» Event after each few."""
    trial = Trial(rows, written=dict(written))
    for start in range(0, len(rows), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(rows)))
        before, after = _pictures(trial, part, hand)
        for method, pictures in after.items():
            values = _scored(trial, method, part, before, pictures, senses)
            trial.values.setdefault(method, []).extend(values)
            for number, picture in zip(part, pictures, strict=True):
                if keep:
                    keep(method, number, picture, rows[number].reference)
        yield Event("pictures", f"{part.stop} of {len(rows)} rows", part.stop, len(rows))
    return trial


def _pictures(trial: Trial, part: range, hand: Hand) -> tuple[list[Picture], dict[str, list[Picture]]]:
    """The pictures of x, and after the change by every method; a prompt that two methods wrote is drawn once."""
    asked = {name: [(texts[n], hand.seed + n) for n in part] for name, texts in trial.written.items()}
    first = [(trial.rows[n].x, hand.seed + n) for n in part]
    every = list(dict.fromkeys([*first, *(each for texts in asked.values() for each in texts)]))
    drawn = dict(zip(every, hand.painter.draw([_request(hand.painter, *each) for each in every]), strict=True))
    before = [drawn[each] for each in first]
    after = {name: [drawn[each] for each in texts] for name, texts in asked.items()}
    if hand.editor is not None:
        after[EDITOR] = _edited(hand.editor, [trial.rows[n].i for n in part], before, [seed for _, seed in first])
    return before, after


def _request(painter: TextToImage, prompt: str, seed: int) -> DrawRequest:
    size, away = painter.default_size, painter.unwanted(prompt)
    return DrawRequest(prompt, seed, painter.default_steps, painter.default_guidance, *size, away)


def _edited(
    editor: ImageEditor, instructions: Sequence[str], pictures: Sequence[Picture], seeds: Sequence[int]
) -> list[Picture]:
    scales = (editor.default_text_guidance, editor.default_image_guidance)
    each = zip(pictures, instructions, seeds, strict=True)
    return editor.edit([EditRequest(picture, i, seed, editor.default_steps, *scales) for picture, i, seed in each])


def _scored(
    trial: Trial, method: str, part: range, before: Sequence[Picture], after: Sequence[Picture], senses: Senses
) -> list[dict[str, float]]:
    rows = [trial.rows[n] for n in part]
    wishes = [row.reference for row in rows]
    columns = {name: scorer.score(after, wishes) for name, scorer in senses.scorers.items()}
    if senses.directional:
        told = [(row.x_o, row.reference) for row in rows]
        columns["d_clip_s"] = senses.directional(before, after, told)
    seen = _seen(senses.judge, rows, after)
    found: list[dict[str, float]] = []
    for place, row in enumerate(rows):
        values = {name: float(column[place]) for name, column in columns.items()} | seen[place]
        if method in trial.written:
            values |= text_values(trial.written[method][part[place]], row)
        found.append(values)
    return found


def text_values(y: str, row: Row) -> dict[str, float]:
    """What can be said of a prompt without drawing it: CI in percent, without threshold; slots, 0 to 1."""
    values = {"ci": 100 * integrity(reference(row.x_o, row.i, row.reference), y)}
    if "present" in row.more:
        share = slot_accuracy(y, row)[0]
        values |= {"slots": share, "all_slots": float(share == 1.0)}
    return values


def _seen(judge: FactJudge | None, rows: Sequence[Row], pictures: Sequence[Picture]) -> list[dict[str, float]]:
    """The share of a row's facts that are as they must be in its picture, by the judge; nothing for other rows."""
    if judge is None or not all("present" in row.more for row in rows):
        return [{} for _ in rows]
    slots = [slots_of(row) for row in rows]
    verdicts = judge.judge(pictures, [[*each.present, *each.absent] for each in slots])
    found: list[dict[str, float]] = []
    for each, said in zip(slots, verdicts, strict=True):
        wanted = [True] * len(each.present) + [False] * len(each.absent)
        right = [one == want for one, want in zip(said, wanted, strict=True)]
        found.append({"picture_slots": fmean(right) if right else 1.0, "all_picture_slots": float(all(right))})
    return found
