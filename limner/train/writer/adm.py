"""Negative samples: a mistake that writers make, put into a few of the texts (DiffChat 3.3, equation 4).

Of a chosen text one keyword is left out, or exchanged for another of the training set's that is the same part of speech
and says something else. Positive samples need nothing but typical sampling (`rollout.typical`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from limner.lexicon import OWN, Lexicon, Mention, Pos, accepted, mentions

SHARE = 0.04
"""The share of texts that is spoiled; half of these lose a keyword, half get another (3.3)."""


@dataclass(frozen=True, slots=True)
class Wordstock:
    """The keywords of a training set as they are written there, by part of speech, with their lemmas."""

    words: dict[Pos, tuple[tuple[str, str], ...]]
    lexicon: Lexicon = OWN

    def other(self, found: Mention, rng: Random) -> str | None:
        """A word of the same part of speech that is no synonym; None where there is none."""
        same = accepted(found.term, self.lexicon)
        others = [word for word, lemma in self.words.get(found.term.pos, ()) if lemma not in same]
        return rng.choice(others) if others else None


def wordstock(texts: Iterable[str], lexicon: Lexicon = OWN) -> Wordstock:
    """All keywords of the texts."""
    words: dict[Pos, dict[tuple[str, str], None]] = {}
    for text in texts:
        for each in mentions(text, lexicon):
            words.setdefault(each.term.pos, {})[text[each.start : each.end].lower(), each.term.lemma] = None
    return Wordstock({pos: tuple(found) for pos, found in words.items()}, lexicon)


def spoil(text: str, stock: Wordstock, rng: Random, share: float = SHARE) -> str | None:
    """The text with one keyword left out or exchanged; None for most texts, and where there is nothing to spoil."""
    if rng.random() >= share:
        return None
    found = list(mentions(text, stock.lexicon))
    if not found:
        return None
    one = rng.choice(found)
    other = "" if rng.random() < 0.5 else stock.other(one, rng)
    if other is None:
        return None
    return _tidied(text[: one.start] + other + text[one.end :]) or None


def _tidied(text: str) -> str:
    """Without the doubled blanks and commas that a word which is gone leaves behind."""
    text = re.sub(r"\s+", " ", re.sub(r"\s+,", ",", text))
    return re.sub(r"(?:,\s*)+,", ",", text).strip(" ,")
