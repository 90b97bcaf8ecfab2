"""How people ask for changes of a picture, answer questions and take things back: the phrasings of the dialogues.

In a saying, {t} is the thing as it is spoken of («the red car», «it»), {v} what it is to become or what is new, and
{p} where something is added. What a saying leaves open is asked for.
"""

from __future__ import annotations

import re
from random import Random

from limner.types import EditKind
from limner.world.scene import Relation

Sayings = tuple[str, ...]

CLEAR: dict[EditKind, Sayings] = {
    "replace": (
        "replace {t} with {v}",
        "turn {t} into {v}",
        "swap {t} for {v}",
        "change {t} to {v}",
        "change {t} into {v}",
        "put {v} in place of {t}",
        "make {t} {v}",
        "i want {v} instead of {t}",
        "{t} should be {v}",
    ),
    "add": (
        "add {v}{p}",
        "put {v}{p}",
        "draw {v}{p}",
        "place {v}{p}",
        "i want {v}{p}",
        "there should be {v}{p}",
        "can i have {v}{p}",
    ),
    "remove": (
        "remove {t}",
        "delete {t}",
        "take away {t}",
        "get rid of {t}",
        "erase {t}",
        "take {t} away",
        "take {t} out",
        "i don't want {t}",
        "{t} should go",
    ),
    "recolour": (
        "paint {t} {v}",
        "make {t} {v}",
        "turn {t} {v}",
        "colour {t} {v}",
        "color {t} {v}",
        "change the colour of {t} to {v}",
        "change {t} to {v}",
        "{t} should be {v}",
        "i want {t} to be {v}",
        "can {t} be {v}",
    ),
    "restyle": (
        "change the style to {v}",
        "make the picture {v}",
        "redraw it in {v}",
        "draw it in {v}",
        "i want the picture in {v}",
    ),
    "background": (
        "change the background to {v}",
        "make the background {v}",
        "i want {v} as background",
        "use {v} as the background",
    ),
    "time": (
        "make it {v}",
        "let it be {v}",
        "change the time of day to {v}",
        "it should be {v}",
        "i want it to be {v}",
    ),
    "weather": ("{v}",),
}
"""Everything that is needed is said."""

WITHOUT_VALUE: dict[EditKind, Sayings] = {
    "replace": (
        "replace {t}",
        "swap {t} for something else",
        "turn {t} into something else",
        "put something else there",
    ),
    "add": ("add something{p}", "put something{p}", "add something else{p}", "draw something{p}"),
    "recolour": (
        "make {t} another colour",
        "paint {t} another colour",
        "change the colour of {t}",
        "another colour for {t}",
        "paint {t}",
        "give {t} a different color",
        "another colour",
        "a different colour",
    ),
    "restyle": ("another style", "change the style", "a different style", "draw it in another style"),
    "background": ("another background", "change the background", "a different background", "put it somewhere else"),
    "time": ("change the time of day", "another time of day", "a different time of day"),
    "weather": ("change the weather", "different weather", "i want other weather"),
}
"""What is to change is said, but not to what."""

VAGUE: Sayings = (
    "change {t}",
    "do something with {t}",
    "make {t} different",
    "i don't like {t}",
    "make {t} nicer",
    "can {t} look better",
)
"""Only the thing is said, not what is to become of it."""

OPEN: Sayings = (
    "something else",
    "change something",
    "i want something different",
    "make a change",
    "do something else",
    "another one",
    "hello",
    "thanks, i like that",
)
"""Nothing is said at all."""

TORN: Sayings = ("remove {t} and paint it {v}", "paint {t} {v} and remove it", "delete {t} and make it {v}")
"""One thing is to go and to stay."""

UNDO: Sayings = (
    "undo",
    "undo that",
    "forget that",
    "forget it",
    "go back",
    "take that back",
    "no, go back",
    "i liked it better before",
    "undo the last change",
    "that was wrong, undo it",
)
YES: Sayings = ("yes", "yes please", "yeah", "right", "yes, that one", "yes, the {t}", "the {t}")
ORDINALS = ("first", "second", "third", "fourth")

_OPENINGS = (
    "please ", "can you ", "could you ", "can you please ", "now ", "ok, ", "ok now ", "hi, ", "hello! ", "nice, now ",
    "thanks, now ", "hmm, ", "well, ", "and ", "pls ", "great! ", "i think you should ", "let's ", "and then ",
)  # fmt: skip
_CLOSINGS = (" please", " pls", ", please", " thanks", " for me", " now", " then", ", thank you", "!", ".", "?")
_VERBS = (
    "replace turn swap change put make add draw place remove delete take get erase paint colour color redraw use let "
    "do give undo forget go"
).split()
_NOISE = 0.45
_SLOPPY = 0.12

PLACES: dict[Relation, Sayings] = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "in front of": ("in front of",),
}


def as_people_write(rng: Random, text: str) -> str:
    """The saying with some of what people put around it, now and then without articles, and sometimes capitalised."""
    text = " ".join(text.split())
    if rng.random() < _SLOPPY:
        text = re.sub(r"\b(?:the|an?) (?=\w+)", "", text)
    if rng.random() < _NOISE and text.split()[0] in _VERBS:
        text = rng.choice(_OPENINGS) + text
    if rng.random() < _NOISE:
        text += rng.choice(_CLOSINGS)
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text
