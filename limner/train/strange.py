"""Strange words in the place of known ones, so that a small model learns to copy a word instead of guessing it.

What a text says of one word and its answer repeats is then only to be had by reading. No strange word names a thing
of the world: an exchange must not bring two things together that training is never to show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from random import Random

from limner.backends.hub import WEIGHTS
from limner.world.caption import article
from limner.world.clarity import BROADER, OTHER_COLOURS
from limner.world.sayings import CLEAR, OPEN, ORDINALS, PLACES, TORN, UNDO, VAGUE, WITHOUT_VALUE, YES
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CONCEPTS, STYLE_PHRASES

STRANGE_COLOURS = (*OTHER_COLOURS, *"silver beige crimson violet teal maroon cyan magenta ivory navy scarlet".split())
"""Colours that no thing of the world wears."""

_INVENTED, _CONSONANTS = 0.4, "bcdfghklmnprstvwz"
_WORD = re.compile(r"[a-z]{3,}")
_PHRASES = (*COLOURS, *STRANGE_COLOURS, *BACKGROUNDS, *chain.from_iterable(STYLE_PHRASES.values()))
_SAYINGS = (*CLEAR.values(), *WITHOUT_VALUE.values(), VAGUE, OPEN, TORN, UNDO, YES, ORDINALS, *PLACES.values())
_FRAME = (
    "see which mean weather rain rainy snow falling fog foggy clear sky picture night sunset top bottom middle "
    "one ones last you please pls could can hello nice now well great think should thanks thank then sorry oh "
    "yeah both two three for are was has have not but all any our out its let art made look looks like with and "
    "the this that from"
)


def _words(phrases: Iterable[str]) -> frozenset[str]:
    return frozenset(word for phrase in phrases for word in _WORD.findall(phrase))


_KNOWN = _words([*_PHRASES, *chain.from_iterable(_SAYINGS), _FRAME])
"""Words that mean something by themselves in a request: they are neither taken for things nor put in their place."""


@lru_cache(maxsize=1)
def common_words() -> tuple[str, ...]:
    """The whole words that the embedded model's tokenizer knows: some thousand common ones."""
    file = WEIGHTS / "stable-diffusion" / "tokenizer" / "tokenizer.json"
    table: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
    whole = (token.removesuffix("</w>") for token in table if token.endswith("</w>"))
    return tuple(sorted(word for word in whole if _WORD.fullmatch(word)))


@lru_cache(maxsize=1)
def nouns() -> frozenset[str]:
    """The words that the world's things are called by, in one word or several."""
    return _words(CONCEPTS) - _KNOWN


@lru_cache(maxsize=1)
def kinds() -> frozenset[str]:
    """The words of broader nouns: «animal», «fruit»."""
    return _words([*BROADER.values(), *(known.general for known in CONCEPTS.values())])


@lru_cache(maxsize=1)
def _taken() -> frozenset[str]:
    """Words that mean something: things of the world, kinds of things, and what requests are made of."""
    return nouns() | kinds() | _KNOWN


@lru_cache(maxsize=1)
def _strangers() -> tuple[str, ...]:
    return tuple(word for word in common_words() if word not in _taken())


def stranger(rng: Random) -> str:
    """A common word that names nothing of the world, or one that nobody has said yet, of two to four syllables."""
    if rng.random() >= _INVENTED:
        return rng.choice(_strangers())
    syllables = rng.randint(2, 4)
    while (word := "".join(rng.choice(_CONSONANTS) + rng.choice("aeiou") for _ in range(syllables))) in _taken():
        pass
    return word


def exchanged(texts: Sequence[str], old: str, new: str) -> list[str]:
    """The texts with one word exchanged throughout, in the plural too, and the right article before it."""
    swapped = (re.sub(rf"\b{old}(?=(?:e?s)?\b)", new, text) for text in texts)
    return [re.sub(rf"\ban? {new}\b", article(new), text) for text in swapped]
