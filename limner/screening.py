"""What keeps a row out of InstructPE, each reason a small function (DiffChat 3.1, post-processing).

The paper says «non-English», «not safe for work» and «low-quality» and no more. What is done here is plain and can be
read: it is a first sieve for data, no judgement on a language or a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

from limner.instructpe import Row
from limner.lexicon import words

Score = Callable[[str, str], float]
"""(short prompt, long prompt) -> how good the long one is."""

UNSAFE = frozenset(
    "nude nudes naked nsfw porn porno pornographic erotic erotica hentai sex sexual sexy topless bottomless genitals "
    "penis vagina nipples nipple orgasm fetish bondage lingerie gore gory beheaded decapitated mutilated "
    "dismembered rape raped suicide".split()
)
"""Words that no row may have: of nakedness, sex, and the worst of violence. Exact words, so that «sussex» passes."""

_ENGLISH = frozenset(
    "a an the of in on at with and to by from for over under into is are it its his her their this that as it's make "
    "add change turn put remove have".split()
)
_OTHERS = frozenset(
    "el los las una uno unos con del por para que es su y le les des du dans avec sur et une pour est der die das ein "
    "eine und mit im auf den dem ist von zu il lo gli di della che con sono een het van met op og ett med som em uma "
    "um do da os na no".split()
) - {"do", "no", "die"}  # fmt: skip
_ASCII_SHARE = 0.9
_SHORT, _HALF_SHORT, _SHORT_SHARE = 25, 35, 0.3


def is_english(text: str) -> bool:
    """Whether nearly all letters are plain Latin ones and the small words are more often English than another's.

    A text without any small word passes: prompts are often lists of tags.
    """
    letters = [letter for letter in text if letter.isalpha()]
    said = words(text)
    plain = sum(letter.isascii() for letter in letters) >= _ASCII_SHARE * len(letters)
    return bool(letters) and plain and sum(w in _OTHERS for w in said) <= sum(w in _ENGLISH for w in said)


def unsafe_words(text: str) -> list[str]:
    """The words of the text that are in UNSAFE."""
    return [word for word in words(text) if word in UNSAFE]


@dataclass(frozen=True, slots=True)
class Screen:
    """What a row must pass. `scores` maps a scorer's name to the scorer and the least score of x and of y; `lengths`
    takes BeautifulPrompt's rule for y: none under 25 words, and only 70 % of those under 35."""

    scores: Mapping[str, tuple[Score, float]]
    lengths: bool = False
    english: bool = True
    safe: bool = True


def refusal(row: Row, screen: Screen) -> str:
    """Why a row is kept out, "" for one that is not. The same row always gets the same answer."""
    return next(_refusals(row, screen), "")


def _refusals(row: Row, screen: Screen) -> Iterator[str]:
    texts = (row.x_o, row.i, row.x, row.y)
    if screen.english and not all(map(is_english, texts)):
        yield "not English"
    if screen.safe and any(map(unsafe_words, texts)):
        yield "not safe"
    if row.x.casefold() == row.y.casefold():
        yield "nothing is changed"
    if screen.lengths and _is_too_short(row.y):
        yield "too short"
    for name, (score, least) in screen.scores.items():
        if min(score(row.x_o, row.x), score(row.reference, row.y)) < least:
            yield f"low {name}"


def _is_too_short(prompt: str) -> bool:
    """By a throw of dice that depends on the prompt alone, so that a stopped job goes on as it began."""
    length = len(prompt.split())
    return length < _SHORT or (length < _HALF_SHORT and crc32(prompt.encode()) % 1000 < 1000 * _SHORT_SHARE)
