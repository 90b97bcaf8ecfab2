"""What a prompt says of a scene of the picture world: which things, in which colours and numbers, where, and when.

Read from the words in any order and phrasing that people or models use for it. A colour or a number belongs to the
noun whose phrase it stands in, so that «a red fox and a blue car» says nothing of a red car.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from limner.lexicon import Term, own_synonyms
from limner.world.scene import Relation
from limner.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    CONCEPTS,
    CORE_CONCEPTS,
    PLAIN_BACKGROUNDS,
    STYLE_PHRASES,
    TIMES,
    WEATHERS,
    concept,
)

_NUMBERS = {word: n for n, word in enumerate("one two three four five six seven eight nine ten".split(), 1)}
_DETERMINERS = frozenset("a an another some many several few any no".split())
_DEFINITE = frozenset("the this that these those its his her their".split())
_BOUNDARIES = frozenset(
    "and or but with of in on at to by near from for over under above below behind beside between before after left "
    "right front top next is are was were be while as into onto around".split()
)
_OTHER_COLOURS = "brown white black grey gold turquoise".split()
_INVERSE: Mapping[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
_SIDES: tuple[tuple[str, Relation, bool], ...] = (
    (r"left", "left of", False),
    (r"right", "right of", False),
    (r"in front of|before", "in front of", False),
    (r"behind", "in front of", True),
    (r"above|over|on top of|atop", "above", False),
    (r"below|under|underneath|beneath", "below", False),
)
"""How a relation is said, and whether it is said from the other thing's side."""

_MOST_WORDS = 4
_WORD = re.compile(r"[\w'-]+")
_PREMODIFIERS = re.compile(r"(?:[\w'-]+\s+){0,7}$")
_PREDICATE = re.compile(
    r"\s+(?:(?:that|which)\s+)?(?:(?:is|are|was|painted|coloured|colored|in)\s+){1,3}(?:the\s+colou?r\s+)?"
    r"(?P<colour>\w+)(?=\s*(?:[,.;)]|$|and\b))"
)
_MORE: Mapping[str, Mapping[str, str]] = {
    "time": {
        "night": r"night(?:time)?|midnight|moonlit|starry sky",
        "sunset": r"sunset|dusk|sundown|golden hour|evening",
        "day": r"day(?:time)?|daylight|noon",
    },
    "weather": {
        "snowfall": r"while it snows|(?:it is )?snowing|snowfall|snowflakes?|falling snow",
        "rain": r"rain|rainy|raining",
        "fog": r"fog|foggy|mist|misty|hazy",
        "clear": r"clear (?:weather|sky|skies)",
    },
    "style": {
        "flat": r"flat",
        "3d": r"3d|octane render",
        "line": r"line art|line drawing|black and white icon",
        "noto": r"cartoon",
        "twemoji": r"sticker",
        "shapes": r"geometric|simple shapes",
    },
    "background": {
        "underwater": r"under\s?water|undersea|sea ?bed|sea floor",
        "space": r"(?:outer|deep) space|(?<!negative )space|cosmos",
        "city": r"city(?:scape)?|skyline|town",
        "snow": r"snow|snowy",
        "desert": r"desert|(?:sand )?dunes",
        "meadow": r"meadows?|(?:green|grassy) fields?|grassland",
        "beach": r"beach|(?:sea)?shore",
        "sea": r"sea|ocean",
        "mountains": r"mountains?",
        "forest": r"forest|woods|woodland",
        "room": r"room|indoors|interior",
        **{name: rf"{name.split()[0]} backdrop" for name in PLAIN_BACKGROUNDS},
    },
}
_PHRASES = {"time": TIMES, "weather": WEATHERS, "style": STYLE_PHRASES, "background": BACKGROUNDS}


@dataclass(frozen=True, slots=True)
class Mention:
    """A noun phrase of a thing: its colours, its number where one is said or the noun shows it (None for «foxes»),
    and whether the number was said. text[start:end] is the whole phrase."""

    concept: str
    colours: frozenset[str]
    count: int | None
    numbered: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Claims:
    """All that a prompt says: things, relations (first, relation, second), and values by kind of the whole scene."""

    things: tuple[Mention, ...]
    relations: frozenset[tuple[str, Relation, str]]
    whole: Mapping[str, frozenset[str]]

    def related(self, first: str, relation: Relation, second: str) -> bool:
        """Whether the relation is said, from whichever side, and its opposite is not."""
        inverse = _INVERSE.get(relation)
        said = (first, relation, second) in self.relations or (second, inverse, first) in self.relations
        opposite = {(second, relation, first), (first, inverse, second)} & self.relations
        return said and not opposite


def claims(text: str, names: Sequence[str] = ()) -> Claims:
    """What a text says. `names` are concepts to look for beside those that the embedded models know."""
    text = re.sub(r"\s+", " ", text.lower())
    nouns = _nouns(frozenset(names).difference(CORE_CONCEPTS))
    places = list(_found(text, nouns))
    things = [_mention(text, start, end, nouns) for start, end in places]
    for start, end in places:  # a thing's name may hold words for places
        text = text[:start] + "·" * (end - start) + text[end:]
    return Claims(tuple(things), frozenset(_relations(text, things)), _whole(text))


@functools.lru_cache(maxsize=256)
def _nouns(names: frozenset[str]) -> dict[str, tuple[str, bool]]:
    """What each noun names, and whether it is a plural."""
    known = dict.fromkeys([*CORE_CONCEPTS, *sorted(names)])
    nouns: dict[str, tuple[str, bool]] = {}
    for name in known:
        for other in sorted(own_synonyms(Term(name, "noun")) - CONCEPTS.keys() - _colour_words().keys()):
            many = re.sub(r"(?<![aeiou])y$", "ie", other) + "s"
            nouns |= {other: (name, False), many: (name, True)}
    for name in known:
        nouns |= {concept(name).plural: (name, True), name: (name, False)}
    return nouns


def _found(text: str, nouns: Mapping[str, object]) -> Iterator[tuple[int, int]]:
    """Where nouns stand; of those that begin at a word the longest."""
    words, free = list(_WORD.finditer(text)), 0
    for place, word in enumerate(words):
        ends = [each.end() for each in words[place : place + _MOST_WORDS]]
        end = next((end for end in reversed(ends) if text[word.start() : end] in nouns), 0)
        if end and word.start() >= free:
            free = end
            yield word.start(), end


@functools.cache
def _colour_words() -> dict[str, str]:
    """Every word for a colour, as the world's own word or, for the colours that it lacks, another one."""
    found: dict[str, str] = {}
    for colour in (*_OTHER_COLOURS, *COLOURS):
        found |= dict.fromkeys(own_synonyms(Term(colour, "adjective")), colour) | {colour: colour}
    return found


def _mention(text: str, start: int, end: int, nouns: Mapping[str, tuple[str, bool]]) -> Mention:
    name, plural = nouns[text[start:end]]
    many = plural and concept(name).plural != name
    number, colours, begin, determined = _read_back(text[:start])
    predicate = _PREDICATE.match(text, end)
    if predicate and predicate["colour"] in _colour_words():
        colours.add(_colour_words()[predicate["colour"]])
    same = plural and not many and not determined  # «sheep», of which there may be any number
    count = number if number is not None else None if many or same else 1
    return Mention(name, frozenset(colours), count, number is not None, begin, end)


def _read_back(before: str) -> tuple[int | None, set[str], int, bool]:
    """Number and colours that stand before a noun in its phrase, where the phrase begins, and whether an article did.

    Only blanks part the words of a phrase, so that nothing is read across a comma or a bracket.
    """
    found, colours = _PREMODIFIERS.search(before), set[str]()
    start = len(before)
    for word in reversed(list(_WORD.finditer(found[0] if found else ""))):
        said, place = word[0], (found.start() if found else 0) + word.start()
        if said in _NUMBERS or said.isdecimal():
            return _NUMBERS.get(said) or int(said), colours, place, False
        if said in _DETERMINERS or said in _DEFINITE:
            return None, colours, place, said in ("a", "an")
        if said == "of" and re.search(r"\b(?:pair|couple) $", before[:place]):
            return 2, colours, place, False
        if said in _BOUNDARIES:
            break
        if said in _colour_words():
            colours.add(_colour_words()[said])
        start = place
    return None, colours, start, False


def _relations(text: str, things: Sequence[Mention]) -> Iterator[tuple[str, Relation, str]]:
    """What stands between one thing and the next, unless a comma or an «and» parts them."""
    for first, second in pairwise(things):
        between = text[first.end : second.start]
        if re.search(r"[,.;]|\band\b", between):
            continue
        for words, relation, turned in _SIDES:
            if re.search(rf"\b(?:{words})\b", between):
                a, b = (second, first) if turned else (first, second)
                yield a.concept, relation, b.concept
                break


@functools.cache
def _whole_pattern(kind: str) -> re.Pattern[str]:
    """One group a value, with the world's own phrases, its names and other words; the longest phrases first."""
    groups = list[tuple[int, str, str]]()
    for number, (value, phrases) in enumerate(_PHRASES[kind].items()):
        own = [*phrases, *([value] if value in PLAIN_BACKGROUNDS else [])]
        groups += [(len(phrase), f"v{number}_{place}", re.escape(phrase)) for place, phrase in enumerate(own)]
        groups.append((0, f"v{number}_more", f"(?:{_MORE[kind][value]})"))
    ordered = sorted(groups, key=lambda group: -group[0])
    return re.compile(r"\b(?:" + "|".join(rf"(?P<{name}>{pattern})\b" for _, name, pattern in ordered) + ")")


def _whole(text: str) -> dict[str, frozenset[str]]:
    """The values said of the whole scene. What says one kind is not read again for another («falling snow»)."""
    found: dict[str, frozenset[str]] = {}
    for kind in ("weather", "time", "style", "background"):
        values = list(_PHRASES[kind])
        matches = list(_whole_pattern(kind).finditer(text))
        found[kind] = frozenset(values[int((match.lastgroup or "v0").split("_")[0][1:])] for match in matches)
        for match in matches:
            text = text[: match.start()] + "·" * len(match[0]) + text[match.end() :]
    return found
