"""What a writer reaches on rows that it has not seen: greedily written, many at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from limner.evaluate.slots import slot_accuracy
from limner.instructpe import Row
from limner.integrity import integrity, reference
from limner.train.writer.base import Base
from limner.train.writer.data import LENGTH, end_of, ids_of, padding_of
from limner.train.writer.ppo import text_of
from limner.train.writer.rollout import sample

_AT_ONCE = 50
_LONGEST = 160


def written(base: Base, rows: Sequence[Row], at_once: int = _AT_ONCE) -> list[str]:
    """The writer's prompts for the rows, in their order."""
    prefixes = [ids_of(base.tokenizer, row.prefix)[-LENGTH:] for row in rows]
    order = sorted(range(len(rows)), key=lambda i: len(prefixes[i]))
    texts = [""] * len(rows)
    for first in range(0, len(order), at_once):
        places = order[first : first + at_once]
        ids = sample(
            base.model, [prefixes[i] for i in places], end=end_of(base.tokenizer), pad=padding_of(base.tokenizer),
            longest=_LONGEST, generator=torch.Generator(base.model.device), mass=0,
        )  # fmt: skip
        for place, each in zip(places, ids, strict=True):
            texts[place] = text_of(base.tokenizer, each)
    return texts


def examine(base: Base, rows: Sequence[Row]) -> dict[str, Any]:
    """Content integrity without threshold; how many prompts are the row's own to the letter; of rows of the world also
    how much of the scene is said, and how many prompts say all of it. With the speed, in tokens and prompts a second.
    """
    base.model.eval()
    began = time.perf_counter()
    texts = written(base, rows)
    seconds = time.perf_counter() - began
    tokens = sum(len(ids_of(base.tokenizer, text)) + 1 for text in texts)
    found = {
        "exact": fmean(text == row.y for text, row in zip(texts, rows, strict=True)),
        "integrity": fmean(
            integrity(reference(row.x_o, row.i, row.reference), text) for text, row in zip(texts, rows, strict=True)
        ),
    }
    world = [(text, row) for text, row in zip(texts, rows, strict=True) if "present" in row.more]
    if world:
        slots = [slot_accuracy(text, row)[0] for text, row in world]
        found |= {"slots": fmean(slots), "all_slots": fmean(share == 1 for share in slots)}
    speed = {"tokens_per_second": round(tokens / seconds), "prompts_per_second": round(len(rows) / seconds, 1)}
    return {name: round(value, 4) for name, value in found.items()} | speed
