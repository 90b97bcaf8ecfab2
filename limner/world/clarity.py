"""When a request for a change is clear, what is asked when it is not, and the explicit instruction in the end.

The one policy behind the world's dialogues (DialogPaint 3.1, T): a question offers what is seen, an instruction names
its thing so that no other in the picture bears that name, and each kind of change is said in one way only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from limner.moving import spoken
from limner.seen import Seen, listed
from limner.types import Change, EditKind
from limner.world.caption import article
from limner.world.scene import Relation
from limner.world.vocabulary import COLOURS, CONCEPTS, SHAPE_CONCEPTS

BROADER = {
    "bird": "animal", "reptile": "animal", "sea animal": "animal", "insect": "animal", "boat": "vehicle",
    "aircraft": "vehicle", "fruit": "food", "vegetable": "food", "dessert": "food", "flower": "plant",
}  # fmt: skip
"""What a broader noun of the world belongs to in turn."""

OFFERED: dict[EditKind, tuple[str, ...]] = {
    "recolour": ("red", "yellow", "green", "blue"),
    "move": ("to the left", "to the right", "up", "down"),
    "resize": ("bigger", "smaller"),
    "background": ("snow", "desert", "beach", "forest"),
    "restyle": ("flat style", "3d style", "line art style"),
    "time": ("day", "sunset", "night"),
    "weather": ("rain", "snow", "fog", "clear"),
}
"""What is offered where no value was said."""

OTHER_COLOURS = ("brown", "white", "black", "grey", "gold", "turquoise")
"""Colours that people ask for beyond those of the world."""

_PLACED = re.compile(r"(.+) (?:on the|at the|in the) (left|right|top|bottom|middle)")
_BESIDE = re.compile(rf"(?:{'|'.join(get_args(Relation))}) the ")
_WEATHER = {"rain": "let it rain", "snow": "let it snow", "fog": "make it foggy", "clear": "make it clear"}
_EXPLICIT: dict[EditKind, str] = {
    "remove": "remove the {name}",
    "recolour": "paint the {name} {value}",
    "resize": "make the {name} {value}",
    "restyle": "change the style to {value}",
    "background": "change the background to {value}",
    "time": "make it {value}",
}
_WANTED: dict[EditKind, str] = {
    "background": "Which background do you want",
    "restyle": "Which style do you want",
    "time": "Which time of day do you want",
    "weather": "Which weather do you want",
}


@dataclass(frozen=True, slots=True)
class Referent:
    """A thing as somebody speaks of it: a noun («car», «animal»; "" for «it»), a colour, a place, "" where unsaid."""

    noun: str = ""
    colour: str = ""
    where: str = ""

    @property
    def text(self) -> str:
        """Colour and noun, as a question repeats them: «red car»."""
        return f"{self.colour} {self.noun}".strip()


@dataclass(frozen=True, slots=True)
class Request:
    """A change as it was asked for. `values` are all that were said, so that clear is: one, or none for a removal.

    `kind` is None where it was not said what to do; `relation` says how what is added stands to the referent.
    """

    kind: EditKind | None
    referent: Referent | None = None
    values: tuple[str, ...] = ()
    relation: str = ""


def nouns_of(name: str) -> tuple[str, ...]:
    """All that a thing of this name may be called: its name, and broader nouns, the narrowest first."""
    found = CONCEPTS.get(name) or SHAPE_CONCEPTS.get(name)
    general = found.general if found and found.general != "thing" else ""
    return tuple(noun for noun in dict.fromkeys((name, general, BROADER.get(general, ""))) if noun)


def meant(referent: Referent, seen: Sequence[Seen], topic: Seen | None = None) -> list[Seen]:
    """The things seen that the words fit; `topic` is what was last spoken of, which «it» means.

    A thing of unknown colour fits a colour where nothing else does.
    """
    if not referent.noun:
        return [topic] if topic and topic in seen else list(seen)
    named = [s for s in seen if referent.noun in nouns_of(s.name) and referent.where in ("", s.where)]
    exact = [s for s in named if referent.colour in ("", s.colour)]
    return exact or [s for s in named if not s.colour]


def unique_name(thing: Seen, seen: Sequence[Seen]) -> str:
    """The shortest words that no other thing seen answers to: «car», «red car», «left car», «left red car»."""
    alike = [s for s in seen if s != thing and s.name == thing.name]
    if not alike:
        return thing.name
    if thing.colour and all(s.colour != thing.colour for s in alike):
        return thing.noun
    if thing.where and all(s.where != thing.where for s in alike):
        return f"{thing.where} {thing.name}"
    return f"{thing.where} {thing.noun}".strip()


def can_be_told_apart(seen: Sequence[Seen]) -> bool:
    """True when each thing has a name that is its own, which two on the left lack if neither's colour is known."""
    return all(len(named(unique_name(thing, seen), seen)) == 1 for thing in seen)


def named(words: str, seen: Sequence[Seen]) -> list[Seen]:
    """The things that bear a name such as `unique_name` gives: «car», «red car», «left red car»."""
    return [thing for thing in seen if _answers_to(words, thing)]


def _answers_to(words: str, thing: Seen) -> bool:
    said = words.removesuffix(thing.name)
    return said != words and set(said.split()) <= {thing.colour, thing.where}


def read_seen(text: str) -> Seen:
    """What was seen, from its text: «green palm tree on the left». A first word that is a colour is the colour."""
    found = _PLACED.fullmatch(text)
    noun, where = found.groups() if found else (text, "")
    first, _, rest = noun.partition(" ")
    return Seen(rest, first, where) if rest and first in (*COLOURS, *OTHER_COLOURS) else Seen(noun, "", where)


def is_sound(change: Change, seen: Sequence[Seen], read: str) -> bool:
    """Whether an instruction can be meant: it names one thing seen, and of things says no word that was not `read`.

    Of a change of the whole picture nothing is asked, as its words are the world's and not the user's.
    """
    if not change.local:
        return True
    name = change.target or _BESIDE.sub("", change.place)
    said = set(f"{name} {change.value}".split()) - {"a", "an", "the"}
    return said <= set(re.findall(r"[^\s,.?!:;]+", read.lower())) and (not name or len(named(name, seen)) == 1)


def is_offered(question: str, seen: Sequence[Seen]) -> bool:
    """Whether a question of which thing is meant offers nothing but what is seen."""
    asks, _, offered = question.rstrip("?").partition(": ")
    if not offered or not asks.lower().endswith(("do you mean", "should i change")):
        return True
    return set(choices_of(question, ())) <= {thing.text for thing in seen}


def explicit(kind: EditKind, name: str, value: str = "", relation: str = "") -> str:
    """The instruction T: one wording for each kind. `name` is the thing's, of an addition the one beside it."""
    match kind:
        case "replace":
            return f"replace the {name} with {article(value)}"
        case "add":
            return f"add {article(value)} {relation} the {name}" if relation else f"add {article(value)}"
        case "move":
            return f"move the {name} {spoken(value)}"
        case "weather":
            return _WEATHER[value]
        case _:
            return _EXPLICIT[kind].format(name=name, value=value)


def which(referent: Referent, fitting: Sequence[Seen], seen: Sequence[Seen]) -> str:
    """What is asked when several things or none are meant."""
    noun = f" {referent.text}" if referent.noun and fitting else ""
    missing = "" if fitting or not referent.noun else f"I see no {referent.text}. "
    texts = [f"the {each.text}" for each in fitting or seen]
    if not texts:
        return f"{missing}What do you mean?"
    if len(texts) == 1:
        return f"{missing}Do you mean {texts[0]}?"
    return f"{missing}Which{noun} do you mean: {listed(texts, 'or')}?"


def what_of(seen: Sequence[Seen]) -> str:
    """What is asked when nothing was said."""
    texts = [f"the {each.text}" for each in seen]
    return f"What should I change: {listed(texts, 'or')}?" if len(texts) > 1 else "What should I change?"


def whereto(request: Request, name: str, colour: str = "") -> str:
    """What is asked of a thing that is known, called `name` and of this colour, when its value is not, or is torn."""
    if len(request.values) > 1:
        return f"Which do you want: {listed(request.values, 'or')}?"
    match request.kind:
        case None:
            return f"What should I do with the {name}?"
        case "replace":
            return f"What should I put in place of the {name}?"
        case "add":
            return "What should I add?"
        case "recolour":
            choices = [each for each in OFFERED["recolour"] if each != colour]
            return f"Which colour should the {name} be: {listed(choices, 'or')}?"
        case "move":
            return f"Where should the {name} go: {listed(OFFERED['move'], 'or')}?"
        case "resize":
            return f"How should the {name} be: {listed(OFFERED['resize'], 'or')}?"
        case kind:
            return f"{_WANTED[kind]}: {listed(OFFERED[kind], 'or')}?"


def choices_of(question: str, seen: Sequence[str]) -> tuple[str, ...]:
    """What a question offers: what stands behind its colon, else the one thing among those `seen` that it names."""
    _, _, offered = question.rstrip("?").partition(": ")
    if offered:
        return tuple(part.removeprefix("the ") for part in offered.replace(" or ", ", ").split(", "))
    return tuple(text for text in dict.fromkeys(seen) if question.endswith(f"the {text}?"))
