"""The rows that a writer learns from, of a file or of the picture world, and the texts its tokenizer is made from.

So that the small writer copies what it has never seen, a share of the rows has one of its words exchanged throughout
for another word of English: what the instruction leaves alone is then only to be had by copying.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from limner.instructpe import Row, beautify_prefix, read_rows
from limner.train.strange import common_words, exchanged, stranger
from limner.types import BadInput
from limner.world.instructions import world_rows

WORLD = "world"
STRANGE = 0.3
"""The share of rows with a strange word in them."""

EVERY = 19
"""One row of a file in so many is kept to validate on, as 500 of 9,500."""

_CORPUS = 5000
"""Rows that are enough to count words in."""

_WORD = re.compile(r"[a-z]{3,}")
_FRAME = frozenset("the and with from into over under left right above below front that this make change".split())


def rows_for(data: str, count: int, unseen: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn from and rows to validate on: `count` and `unseen` of the world's, or those of a file.

    The world's validation rows are about combinations that training never shows. Raises BadInput for a file that
    cannot be read or has too few rows.
    """
    if data == WORLD:
        return list(world_rows(count, seed)), list(world_rows(unseen, seed, held_out=True))
    rows = list(read_rows(Path(data)))
    if len(rows) < 2:
        raise BadInput(f"{data} has {len(rows)} rows", "two at least, one of them to validate on")
    return [row for i, row in enumerate(rows) if i % EVERY], rows[::EVERY]


def without_targets(rows: Sequence[Row], labelled: int) -> list[Row]:
    """The rows with their targets taken away behind the first `labelled`; all as they are where that is 0."""
    return [row if not labelled or number < labelled else replace(row, y="") for number, row in enumerate(rows)]


def pairs_of(rows: Iterable[Row], strange: float = 0.0, seed: int = 0) -> list[tuple[str, str]]:
    """Prefix and target of each row; `strange` is the share that has a word exchanged."""
    rng = Random(seed)
    changed = (estranged(row, rng) if rng.random() < strange else row for row in rows)
    return [(row.prefix, row.y) for row in changed]


def estranged(row: Row, rng: Random) -> Row:
    """The row with one word that both its prompts have exchanged throughout for a strange one."""
    both = set(_WORD.findall(row.x)) & set(_WORD.findall(row.y)) - _FRAME
    if not both:
        return row
    names = ("x_o", "i", "x", "y", "y_o")
    texts = exchanged([getattr(row, name) for name in names], rng.choice(sorted(both)), stranger(rng))
    return replace(row, **dict(zip(names, texts, strict=True)))


def corpus(rows: Sequence[Row]) -> Iterator[str]:
    """What the small writer's tokenizer is made from: some rows' texts as they are written, and common words once."""
    for row in rows[:_CORPUS]:
        yield from (f" {row.x}", f" {row.i}", f" {row.y}")
    yield " " + " ".join(common_words())


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Prefix and target of a beautifier's file: JSON lines of {"simple", "long"}. Raises BadInput for anything else."""
    try:
        rows: list[Any] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [(beautify_prefix(str(row["simple"])), str(row["long"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = 'JSON lines of {"simple": ..., "long": ...}'
        raise BadInput(f"{path} has no pairs of prompts ({type(error).__name__})", hint) from None
