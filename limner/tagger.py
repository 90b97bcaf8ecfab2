"""English words with their parts of speech and places, from textblob's lexicon (bundled; loads at first use).

Each token is coded by one letter, so that a grammar can be a regular expression over a sentence's letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from limner.concept import SAID

SPATIAL = (
    "to the left of",
    "to the right of",
    "on the left side of",
    "on the right side of",
    "on the left of",
    "on the right of",
    "left of",
    "right of",
    "on top of",
    "in front of",
    "next to",
    "close to",
    "above",
    "below",
    "underneath",
    "beneath",
    "under",
    "over",
    "beside",
    "behind",
    "near",
    "inside",
    "between",
)
"""Phrases that put one thing in a place relative to another. Bare «in» and «on» mostly name a backdrop."""

# Words that only introduce the thing after «of», and verbs that only introduce the picture.
_MEASURES = "pair group set mix couple bunch row series variety number lot kind type piece collection pile".split()
_FRAMES = frozenset("photo photograph picture image drawing painting illustration portrait view shot".split())
_BEFORE_OF = _FRAMES.union(_MEASURES, [f"{word}s" for word in _MEASURES])
_REQUESTS = frozenset("draw paint generate create make show imagine render design sketch illustrate".split())
_AUXILIARIES = frozenset("is are was were be been being am has have had having do does did done".split())
# After a noun or a comma «wearing hats» is something done; «glowing eyes», with any other participle, a thing.
_TRANSITIVE = frozenset(
    "wearing holding riding casting overlooking carrying eating drinking playing showing reading watching facing "
    "pulling driving using making taking doing looking nourishing chasing surrounding reflecting featuring depicting "
    "displaying covering filling saying".split()
)
# Things that the lexicon knows only as something else. It has one tag a word.
_ALSO_THINGS = frozenset(
    "baguette bear blossom carp cherry clamp coral curry drum dumpling e-mail fly jack-o-lantern key kimono mammoth "
    "net olive pump ram rose sandal saw seedling skate sled t-rex watch wrench".split()
)
_ALWAYS_ADVERBS = ("briefly", "chiefly")
_POSSESSIVE = ("'s", "’s")
_SINGULAR_DETERMINERS = frozenset("a an each every another this one".split())
_PREPOSITIONS = frozenset("of in on with at by from for into onto along across through around against amid".split())
_SPATIAL_PATTERN = "|".join(phrase.replace(" ", r"\s+") for phrase in SPATIAL)
_CONCEPT = rf"{SAID}(?:s\b)?"
_WORD = re.compile(
    rf"(?P<concept>{_CONCEPT})|(?P<spatial>\b(?:{_SPATIAL_PATTERN})\b)|\w+(?:[-'’.&]\w+)*|[^\w\s]", re.IGNORECASE
)
# What stands before and after the noun that a phrase must have.
_DETERMINED = re.compile(r"[DN]A?(?:J(?:,?C?J)*,?C?)?$")
_COUNTED = re.compile(r"N[JV]*n*$")
_DESCRIBED = re.compile(r"(?:^|[DN,.PCR])A?J+$")
_BEGINS = re.compile(r"(?:^|[,.PCRD])$")
_GOES_ON = re.compile(r",?C?A?V?[JnsN]|A?V|x")
_NAMES_MORE = re.compile(r"J*[ns]")
_WIDEST = 12
"""So many words around a noun tell that it is one."""

_CODES = {
    "DT": "D",
    "PRP$": "D",
    "CD": "N",
    "NNS": "s",
    "NNPS": "s",
    "NN": "n",
    "NNP": "n",
    "FW": "n",
    "CC": "C",
    "MD": "V",
}
_BASE_FORMS = ("VB", "VBP")
_CODES_BY_START = {"J": "J", "V": "V", "R": "A", "W": "W"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a mark or a whole spatial phrase at text[start:end].

    `code`: D determiner, N number, J adjective or what stands for one, n / s noun in singular / plural,
    V verb, U auxiliary, A adverb, W relative word, P preposition, R spatial phrase, C conjunction, Q a word
    such as «pair» or «photo» before «of», with that «of»; "," comma, "." end of a sentence, x anything else. The word
    of a learned concept, «<gizmo:0.8>», is one noun.
    """

    text: str
    start: int
    end: int
    code: str


def tag(text: str) -> list[Token]:
    """Return the tokens of `text` in order."""
    matches = list(_WORD.finditer(text))
    words = [match[0].lower() for match in matches]
    penn = _penn_tags(words)
    codes = [_matched(match) or _code(w, p) for match, w, p in zip(matches, words, penn, strict=True)]
    _mark_introductions(words, codes)
    _settle_verbs(words, codes, [p in _BASE_FORMS for p in penn])
    _settle_agreement([match[0] for match in matches], codes)
    _settle_heads(words, codes)
    _join_names([match[0] for match in matches], codes)
    return [Token(m[0], m.start(), m.end(), c) for m, c in zip(matches, codes, strict=True)]


@lru_cache(maxsize=1)
def _parser() -> Any:
    """textblob's parser; it has no types. Imported late: with nltk it takes most of a second."""
    from textblob.en import parser  # pyright: ignore

    return cast(Any, parser)


def _penn_tags(words: Sequence[str]) -> list[str]:
    """Penn Treebank tags. The words come in lower case: titles and first words would pass for names."""
    return [str(tagged[1]) for tagged in _parser().find_tags(list(words))]


def _matched(match: re.Match[str]) -> str:
    """The code of what the pattern alone tells: a concept («two <gizmo>s»), a spatial phrase."""
    if match["concept"]:
        return "s" if match[0].endswith("s") else "n"
    return "R" if match["spatial"] else ""


def _code(word: str, penn: str) -> str:
    if word in _AUXILIARIES:
        return "U"
    if word in _PREPOSITIONS:
        return "P"
    if word.endswith(_POSSESSIVE):
        return "J"
    if word == "that":
        return "W"
    if word in ",.;!?":
        return "," if word == "," else "."
    return _CODES.get(penn) or _CODES_BY_START.get(penn[:1], "x") if word[0].isalnum() else "x"


def _mark_introductions(words: Sequence[str], codes: list[str]) -> None:
    """Mark «a pair of», an opening «photo of» (but «oil painting of» names a style) and «draw me»."""
    for i, word in enumerate(words[:-1]):
        opening = not set(codes[:i]) & set("JNns")
        if word in _BEFORE_OF and words[i + 1] == "of" and (opening or word not in _FRAMES):
            codes[i] = codes[i + 1] = "Q"
    if words and words[0] in _REQUESTS:
        codes[0] = "V"


def _settle_verbs(words: Sequence[str], codes: list[str], base_forms: Sequence[bool]) -> None:
    """Decide by its neighbours whether a verb form is an attribute («a ruined castle») or a noun («book cover»)."""
    for i in reversed(range(len(codes))):
        if codes[i] != "V":
            continue
        before = codes[i - 1] if i else "."
        after = "".join(codes[i + 1 : i + 3])
        attributive = after[:1] in ("J", "n", "s") or (after == ",J" and before in "DRP")
        participle = words[i].endswith(("ing", "ed", "en", "wn")) and words[i] not in _TRANSITIVE
        if attributive and (before in "DN" or (participle and before in "JRPC,.")):
            codes[i] = "J"
        elif (before == "D" and not attributive) or (before == "n" and base_forms[i]):
            codes[i] = "n"


def _settle_agreement(words: Sequence[str], codes: list[str]) -> None:
    """Find verbs that the lexicon takes for nouns: in «a mountain towers» and «streams flow» number tells."""
    tags = "".join(codes)
    for match in re.finditer(r"D[JN]*n+s", tags):
        if words[match.start()].lower() in _SINGULAR_DETERMINERS:
            codes[match.end() - 1] = "V"
    for i in range(1, len(codes)):
        plural = codes[i - 1] == "s" and not words[i - 1].endswith(("ss", "us", "is", "as", "ports"))
        if plural and codes[i] == "n" and not words[i].istitle():
            codes[i] = "V"


def _settle_heads(words: Sequence[str], codes: list[str]) -> None:
    """Find nouns that the lexicon takes for something else: «a polar bear», «two teddy bears», «a red key».

    What an article or a number begins, and what adjectives begin where a phrase may, has a noun at its end.
    """
    for i in reversed(range(len(codes))):
        word = words[i]
        if codes[i] not in ("J", "V", "A"):
            continue
        known = word in _ALSO_THINGS or word.removesuffix("s") in _ALSO_THINGS
        if word.endswith(_POSSESSIVE) or (word.endswith(("ing", "ed")) and not known):
            continue
        before, after = "".join(codes[max(i - _WIDEST, 0) : i]), "".join(codes[i + 1 : i + _WIDEST])
        if codes[i] == "J" and known:
            noun = not _NAMES_MORE.match(after)
        elif codes[i] == "J":
            noun = not _GOES_ON.match(after) and bool(_DETERMINED.search(before))
        elif codes[i] == "V" and _COUNTED.search(before) and "one" not in words[max(i - 2, 0) : i]:
            noun = word.endswith("s")
        elif codes[i] == "V":
            begins = known and after[:1] != "D" and bool(_BEGINS.search(before))
            noun = begins or bool(_DESCRIBED.search(before)) or (word == "leaves" and after[:1] != "D")
        else:
            noun = word.endswith("fly") or (i > 0 and words[i - 1].endswith(_POSSESSIVE))
        if noun and word not in _ALWAYS_ADVERBS:
            codes[i] = "s" if word.endswith("s") and not word.endswith("ss") else "n"


def _join_names(words: Sequence[str], codes: list[str]) -> None:
    """Make one noun of «Statue of Liberty»; lower case around «of» keeps «bowl of soup» two things."""
    for i in range(1, len(codes) - 1):
        if words[i] == "of" and words[i - 1].istitle() and words[i + 1].istitle() and codes[i + 1] in "ns":
            codes[i] = "n"
