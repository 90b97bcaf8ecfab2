"""Things, sides and numbers, checked by finding the things: one vector for a picture hardly knows left from right, or
counts, and takes the half-drawn for the thing.

docs/decisions/0007-relations.md and 0011-things-are-looked-for.md have the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limner import rules
from limner.protocols import Detector
from limner.tagger import SPATIAL
from limner.types import Picture, Region

APART = 0.12
"""The least distance of two centres, as a share of the picture's side, that counts as being left of or above."""

EXACT = 1.0
"""The score of a right count; each one too many or too few takes 1 off."""

_NOT_FOUND = -1.0
_FAINT = 0.02
"""Regions too unsure to count tell how far a thing is from being there, which steers the search."""

# Places are not things with boxes: «under water», «over the sea».
_PLACES = frozenset(
    "water sea ocean sky snow city forest desert beach mountains meadow field ground clouds space".split()
)
_NUMBERS = {word: number for number, word in enumerate("two three four five six seven eight nine ten".split(), 2)}
_Side = Literal["left", "right", "above", "below"]
_SIDES: Mapping[str, _Side] = {
    **{phrase: "left" for phrase in SPATIAL if "left" in phrase},
    **{phrase: "right" for phrase in SPATIAL if "right" in phrase},
    **dict.fromkeys(("above", "over", "on top of"), "above"),
    **dict.fromkeys(("below", "under", "underneath", "beneath"), "below"),
}


@dataclass(frozen=True, slots=True)
class Stated:
    """«A red fox to the left of a castle» taken apart: which thing, on which side, of which other thing."""

    first: str
    side: _Side
    second: str


def parse_relation(text: str) -> Stated | None:
    """The relation that a keyword states, or None for one that is no relation or that boxes cannot tell («near»)."""
    for phrase in SPATIAL:  # longest first where one holds another
        first, found, second = text.partition(f" {phrase} ")
        if found and phrase in _SIDES and (things := (_thing(first), _thing(second))) and all(things):
            return None if _PLACES & set(things) else Stated(things[0], _SIDES[phrase], things[1])
    return None


def parse_count(text: str) -> tuple[int, str] | None:
    """«Three red apples» as (3, "red apple"); None for what states no number from 2 on, or a relation as well."""
    number, _, things = text.partition(" ")
    count = int(number) if number.isdecimal() and len(number) < 3 else _NUMBERS.get(number.lower(), 0)
    if count < 2 or not things or any(f" {phrase} " in text for phrase in SPATIAL):
        return None
    return count, _thing(things)


def parse_thing(text: str, known: Collection[str]) -> str | None:
    """«A red car» as "red car" where that is among the `known` names; None for what is no such thing."""
    name = _thing(text)
    return name if name in known else None


def is_checked(text: str, detector: Detector) -> bool:
    """Whether a keyword says something that the detector's boxes can tell."""
    return bool(parse_relation(text) or parse_count(text) or parse_thing(text, detector.things))


def least_score(text: str, detector: Detector) -> float:
    """The least score at which what a checked text says holds: EXACT for a number, APART for a side, the detector's
    own for a thing."""
    if parse_count(text):
        return EXACT
    return APART if parse_relation(text) else detector.present


def box_scores(detector: Detector, pictures: Sequence[Picture], texts: Sequence[str]) -> dict[str, list[float]]:
    """For each text that boxes can tell, how clearly it holds in each picture; all are looked for at once.

    A side's score is its `displacement`; a number's is EXACT where just so many are found, 1 less for each one off,
    at least -1; a thing's is that of the surest region, 0 for none.
    """
    sides = {text: relation for text in texts if (relation := parse_relation(text))}
    counts = {text: count for text in texts if (count := parse_count(text))}
    rest = (text for text in texts if text not in sides and text not in counts)
    things = {text: thing for text in rest if (thing := parse_thing(text, detector.things))}
    names = [name for each in sides.values() for name in (each.first, each.second)]
    names += [*(name for _, name in counts.values()), *things.values()]
    if not names or not pictures:
        return {}
    found = detector.detect(pictures, [list(dict.fromkeys(names))] * len(pictures), threshold=_FAINT)
    sure = [[region for region in regions if region.score >= detector.threshold] for regions in found]
    pairs = list(zip(pictures, sure, strict=True))
    scores = {
        text: [displacement(each, regions, picture) for picture, regions in pairs] for text, each in sides.items()
    }
    scores |= {text: [_exactness(*count, regions) for regions in sure] for text, count in counts.items()}
    return scores | {text: [_surest(name, regions) for regions in found] for text, name in things.items()}


def _surest(name: str, regions: Sequence[Region]) -> float:
    return max((region.score for region in regions if region.label == name), default=0.0)


def _exactness(count: int, name: str, regions: Sequence[Region]) -> float:
    return max(-1.0, EXACT - abs(sum(region.label == name for region in regions) - count))


def displacement(stated: Stated, regions: Sequence[Region], picture: Picture) -> float:
    """How far the first thing lies on the stated side of the second: a share of the picture's side, -1 to 1.

    APART or more means that the relation holds. Negative when it lies on another side, -1 when one is not found; of
    several things of a name the surest counts.
    """
    centres = [_centre(name, regions, picture) for name in (stated.first, stated.second)]
    if centres[0] is None or centres[1] is None:
        return _NOT_FOUND
    (x, y), (other_x, other_y) = centres[0], centres[1]
    rightwards, downwards = x - other_x, y - other_y
    along = {"left": -rightwards, "right": rightwards, "above": -downwards, "below": downwards}[stated.side]
    across = downwards if stated.side in ("left", "right") else rightwards
    return along if abs(along) >= abs(across) else -abs(across)


def _centre(name: str, regions: Sequence[Region], picture: Picture) -> tuple[float, float] | None:
    named = [region for region in regions if region.label == name]
    if not named:
        return None
    x0, y0, x1, y1 = max(named, key=lambda region: region.score).box
    return (x0 + x1) / 2 / picture.width, (y0 + y1) / 2 / picture.height


def _thing(phrase: str) -> str:
    """«two red cats» as what a detector is asked for: «red cat»."""
    return rules.singular(rules.without_article(phrase))
