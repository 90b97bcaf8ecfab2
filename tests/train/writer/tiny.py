"""A tiny writer with random weights, and rows to write for."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Any

import torch

from limner.instructpe import TEMPLATE, Row
from limner.train.libraries import seed_torch
from limner.train.writer.base import Sizes, new_model, new_tokenizer
from limner.train.writer.fit import pieces_of
from limner.world.instructions import world_rows

SIZES = Sizes(tokens=360, width=32, inner=48, heads=2, layers=3)


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    return tuple(world_rows(40, 0))


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    texts = (f" {text}" for row in rows() for text in (row.x, row.i, row.y))
    return new_tokenizer(texts, SIZES.tokens, pieces_of(TEMPLATE))


def model(spread: float = 1.0) -> Any:
    """A writer that has learned nothing; `spread` makes it surer of what it writes."""
    seed_torch(0)
    made = new_model(tokenizer(), SIZES).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(spread)
    return made


def prefixes(count: int = 6) -> list[list[int]]:
    """Ids of prefixes of unlike length."""
    rng = Random(0)
    return [list(tokenizer()(row.prefix)["input_ids"])[: rng.randint(8, 60)] for row in rows()[:count]]


def listed(tensor: Any) -> Any:
    """The numbers of a tensor; torch leaves the type of its own `tolist` open."""
    return tensor.tolist()
