"""Turns of dialogues with a strange word in them, for the small dialogue model to copy (see `limner.train.strange`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import Any

from limner.backends.pairs import DELIMITER, Sample, encoded, pairs
from limner.train.strange import STRANGE_COLOURS, exchanged, kinds, nouns, stranger
from limner.world.dialogue import EDIT, Dialogue
from limner.world.vocabulary import COLOURS

STRANGE = 0.4
"""The share of turns with a strange word in them."""

ANSWERS = 3
"""Samples of a turn that settles a question: which of the things offered is meant is what is learned last."""

_COLOUR = 0.25


def estranged(read: str, say: str, rng: Random) -> tuple[str, str]:
    """The pair with one thing or colour that is read and said exchanged for a strange one, where that can be learned.

    What kind of thing a strange word means nobody can know: a pair that speaks of «the animal» stays as it is.
    """
    words = set(re.findall(r"[a-z]+", read))
    both = words & set(re.findall(r"[a-z]+", say))
    things, colours = sorted(both & nouns()), sorted(both & set(COLOURS) - {"orange"})
    if words & kinds() or not things + colours or "which colour" in say:
        return read, say
    old = rng.choice(colours if not things or (colours and rng.random() < _COLOUR) else things)
    new = rng.choice(STRANGE_COLOURS) if old in colours else stranger(rng)
    read, say = exchanged((read, say), old, new)
    return read, say


def is_answer(read: str, say: str) -> bool:
    """Whether the user answers a question, and that settles it: what was said before the picture ends with «?»."""
    return say.startswith(EDIT.lower()) and bool(re.search(rf"\?{DELIMITER}i see [^?]*$", read))


def learned_samples(tokenizer: Any, dialogues: Iterable[Dialogue], strange: float) -> list[Sample]:
    """A sample for each system turn (see `limner.backends.pairs`), several for what settles a question.

    The share `strange` of them has a strange word; of several samples of one turn each has another.
    """
    rng = Random("strange")
    several = (pair for pair in pairs(dialogues) for _ in range(ANSWERS if is_answer(*pair) else 1))
    changed = (estranged(*pair, rng) if rng.random() < strange else pair for pair in several)
    return [Sample(encoded(tokenizer, read), encoded(tokenizer, say)) for read, say in changed]
