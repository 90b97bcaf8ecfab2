"""DiffChat's tables from a trial: means with their spread, average rank, who wins, and what the prompts are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from limner.evaluate.diffchat import OTHERS, REFERENCE, SCORES, Trial, text_values
from limner.instructpe import Row
from limner.integrity import THRESHOLD, integrity, reference
from limner.lexicon import forms, words
from limner.rating import Tally, judged

_RESAMPLES = 1000
COLUMNS = {
    "pickscore": "PickScore", "aesthetic": "aesthetic", "hps": "HPS", "clip_s": "CLIP-S", "d_clip_s": "D-CLIP-S",
    "ci": "CI", "slots": "slots", "all_slots": "all slots", "picture_slots": "in picture",
    "all_picture_slots": "all in picture",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One method: means over the rows and their spread (the deviation of the mean over resampled rows), by column, and
    the average rank over the columns of SCORES that it has; None for the reference, which is no contestant."""

    method: str
    means: Mapping[str, float]
    spread: Mapping[str, float]
    rank: float | None


@dataclass(frozen=True, slots=True)
class TextLine:
    """What the prompts of a writer are like.

    `ci` (percent), `rewarded` (the share at or over the threshold of 0.7), `exact` (to the letter the row's own), and
    `early`: how much of the prompt, 0 to 1, stands before what the instruction brings in (4.3, table 2 b).
    """

    method: str
    ci: float
    rewarded: float
    slots: float | None
    all_slots: float | None
    exact: float
    early: float | None
    words: float


def lines(trial: Trial, seed: int = 0) -> tuple[Line, ...]:
    """A line a method, in the order in which they were tried."""
    means = {name: _means(rows) for name, rows in trial.values.items()}
    ranks = average_ranks({name: row for name, row in means.items() if name != REFERENCE})
    rng = np.random.default_rng(seed)
    return tuple(Line(name, means[name], _spread(rows, rng), ranks.get(name)) for name, rows in trial.values.items())


def _column(rows: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _names(rows: Sequence[Mapping[str, float]]) -> list[str]:
    return [name for name in (*SCORES, *OTHERS) if all(name in row for row in rows)]


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(_column(rows, name)) for name in _names(rows)}


def _spread(rows: Sequence[Mapping[str, float]], rng: np.random.Generator) -> dict[str, float]:
    drawn = rng.integers(len(rows), size=(_RESAMPLES, len(rows)))
    return {name: float(np.array(_column(rows, name))[drawn].mean(axis=1).std()) for name in _names(rows)}


def average_ranks(means: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of a method's ranks (1 is the greatest) over the columns of SCORES that it has; equals share theirs."""
    ranks: dict[str, list[float]] = {name: [] for name in means}
    for column in SCORES:
        having = {name: row[column] for name, row in means.items() if column in row}
        for name, value in having.items():
            better = sum(other > value for other in having.values())
            equal = sum(other == value for other in having.values())
            ranks[name].append(better + (equal + 1) / 2)
    return {name: fmean(each) for name, each in ranks.items() if each}


def wins(trial: Trial, first: str, seed: int = 0) -> dict[str, Tally]:
    """How often `first` wins against every other method by a blind judge who counts what is right in either picture.

    Of rows without facts PickScore decides, which hardly ever ties.
    """
    column = "picture_slots" if all("picture_slots" in row for row in trial.values[first]) else "pickscore"
    mine = _column(trial.values[first], column)
    others = {name: _column(rows, column) for name, rows in trial.values.items() if name != first}
    return {name: judged(mine, theirs, seed) for name, theirs in others.items() if len(theirs) == len(mine)}


def text_line(method: str, rows: Sequence[Row], written: Sequence[str]) -> TextLine:
    """What one writer's prompts are like."""
    values = [text_values(y, row) for y, row in zip(written, rows, strict=True)]
    at = [early(y, row) for y, row in zip(written, rows, strict=True)]
    known = all("slots" in each for each in values)
    return TextLine(
        method,
        ci=fmean(each["ci"] for each in values),
        rewarded=fmean(
            integrity(reference(row.x_o, row.i, row.reference), y) >= THRESHOLD
            for y, row in zip(written, rows, strict=True)
        ),
        slots=fmean(each["slots"] for each in values) if known else None,
        all_slots=fmean(each["all_slots"] for each in values) if known else None,
        exact=fmean(y == row.y for y, row in zip(written, rows, strict=True)),
        early=fmean(places) if (places := [place for place in at if place is not None]) else None,
        words=fmean(len(words(y)) for y in written),
    )


def early(y: str, row: Row) -> float | None:
    """The share of y that stands before the keywords which the instruction brings in, on average; None without any."""
    wanted, said = reference(row.x_o, row.i, row.reference), words(y)
    new = [accepted for accepted, high in zip(wanted.accepted, wanted.highlighted, strict=True) if high]
    first = [next((n for n, word in enumerate(said) if not each.isdisjoint(forms(word))), None) for each in new]
    found = [place / len(said) for place in first if place is not None]
    return fmean(found) if found else None


def to_rows(table: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines flat, as the terminal shows them: the columns that any method has."""
    names = [name for name in COLUMNS if any(name in line.means for line in table)]
    return [
        {"method": line.method} | {COLUMNS[name]: line.means.get(name) for name in names} | {"rank": line.rank}
        for line in table
    ]


def win_rows(first: str, tallies: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """Shares of rows won, tied and lost against each other method."""
    return [{"method": first, "against": name, **tally.to_json()} for name, tally in tallies.items()]
