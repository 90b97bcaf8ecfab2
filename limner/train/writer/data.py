"""Rows as the writer reads them: ids of the prefix, ids of the target with its end, batches of like length.

The two are tokenised apart and joined as ids. Tokenised as one text, a byte-pair model may merge the last mark of the
prefix with the first letters of the target, and then no mask tells where the target begins (methods 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from limner.types import BadInput

LENGTH = 384
"""Tokens of prefix and target together (DiffChat, table 3); what is longer is left out."""

IGNORED = -100
_WINDOW = 4
"""Batches drawn at once and sorted by length, so that little is padded."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the writer reads and what it is to write, as ids; the target ends with EOS."""

    prefix: tuple[int, ...]
    target: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.target)


@dataclass(frozen=True, slots=True)
class Batch:
    """ids, mask and labels, each (n, length); labels are IGNORED on the prefix and where it is padded."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text, with no begin or end added by the tokenizer."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def encode(tokenizer: Any, prefix: str, target: str) -> Sample:
    """One sample; the prefix ends without a space, and the target begins with it."""
    written = ids_of(tokenizer, " " + target.strip())
    return Sample(tuple(ids_of(tokenizer, prefix)), (*written, end_of(tokenizer)))


def encode_all(tokenizer: Any, pairs: Iterable[tuple[str, str]], longest: int = LENGTH) -> list[Sample]:
    """The samples of (prefix, target) texts that are at most `longest` tokens. Raises BadInput where none is left."""
    samples = [encode(tokenizer, *pair) for pair in pairs]
    kept = [sample for sample in samples if len(sample) <= longest]
    if not kept:
        raise BadInput(f"none of {len(samples)} rows fits into {longest} tokens", "give more or shorter rows")
    return kept


def end_of(tokenizer: Any) -> int:
    """The id that ends a text; raises BadInput for a tokenizer that has none."""
    if tokenizer.eos_token_id is None:
        raise BadInput("the base's tokenizer has no token that ends a text", "take another base")
    return int(tokenizer.eos_token_id)


def padding_of(tokenizer: Any) -> int:
    """The id to pad with. It never matters which, since the mask alone tells what is padded, but it is not EOS.

    A pad that is EOS is how an end gets masked away together with the padding, and is then never learned.
    """
    end, pad = end_of(tokenizer), tokenizer.pad_token_id
    return int(pad) if pad is not None and pad != end else int(end == 0)


def to_batch(samples: Sequence[Sample], pad: int) -> Batch:
    """Samples padded at their right to the longest of them."""
    longest = max(map(len, samples))
    ids = [[*s.prefix, *s.target, *[pad] * (longest - len(s))] for s in samples]
    labels = [[*[IGNORED] * len(s.prefix), *s.target, *[IGNORED] * (longest - len(s))] for s in samples]
    mask = torch.arange(longest)[None] < torch.tensor([[len(s)] for s in samples])
    return Batch(torch.tensor(ids), mask.long(), torch.tensor(labels))


def random_batch(rng: Random, pool: Sequence[Sample], size: int, pad: int) -> Batch:
    """Samples of like length, drawn with replacement."""
    drawn = sorted(rng.choices(pool, k=size * _WINDOW), key=len)
    first = rng.randrange(_WINDOW) * size
    return to_batch(drawn[first : first + size], pad)


def in_turn(pool: Sequence[Sample], size: int, pad: int) -> Iterable[Batch]:
    """All samples once, batches of like length."""
    ordered = sorted(pool, key=len)
    return (to_batch(ordered[i : i + size], pad) for i in range(0, len(ordered), size))
