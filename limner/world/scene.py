"""A scene of the picture world is data: what stands where, in which colour and style, before which background.

Coordinates here are shares of the picture, 0 to 1, origin top left, so that a scene renders at any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from limner.world.vocabulary import concept

Relation = Literal["left of", "right of", "above", "below", "in front of"]
FactKind = Literal["object", "colour", "count", "relation", "background", "time", "weather", "style"]
RELATIONS: tuple[Relation, ...] = ("left of", "right of", "above", "below", "in front of")

_PLANAR: tuple[Relation, ...] = RELATIONS[:4]
"""The relations that hold whatever is drawn first; «in front of» holds for the later thing only."""

_APART = 0.12
"""How far two centres lie apart, as a share of the picture, before one counts as left of or above the other."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: its longer side is `size` of the picture, its centre is at (x, y)."""

    concept: str
    style: str
    x: float
    y: float
    size: float
    colour: str | None = None
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """Things from back to front, before a background. `variant` picks one drawing of the background."""

    things: tuple[Thing, ...]
    background: str
    time: str = "day"
    weather: str = "clear"
    variant: int = 0

    @property
    def style(self) -> str:
        """The style of the scene, all of whose things are drawn alike; "" where there is none."""
        return self.things[0].style if self.things else ""

    def counts(self) -> Counter[tuple[str, str | None]]:
        """How many things there are of each (concept, colour), in the order they first occur."""
        return Counter((thing.concept, thing.colour) for thing in self.things)


@dataclass(frozen=True, slots=True)
class Fact:
    """One claim about a scene that can be true or false of any picture.

    `text` says it as people do («two red cars», «a fox left of a castle», «snow»). Which fields count depends on
    `kind`: concept and colour and count for what is there, relation and other (a second concept) for where,
    `value` for background, time, weather and style.
    """

    kind: FactKind
    text: str
    concept: str = ""
    colour: str | None = None
    count: int = 1
    relation: Relation | None = None
    other: str = ""
    value: str = ""


def holds_between(relation: Relation, first: Thing, second: Thing) -> bool:
    """True when `first` stands in this relation to `second`. «In front of» is decided by overlap and order."""
    return boxes_related(relation, (first.x, first.y), (second.x, second.y))


def boxes_related(relation: Relation, first: tuple[float, float], second: tuple[float, float]) -> bool:
    """The relation between two centres (x, y) in shares of the picture; the one rule for truth and for judging."""
    dx, dy = second[0] - first[0], second[1] - first[1]
    if relation == "in front of":
        return abs(dx) < 0.25 and 0.0 <= -dy < 0.35
    wide, tall = abs(dx) >= abs(dy), abs(dy) > abs(dx)
    tests = {
        "left of": dx >= _APART and wide,
        "right of": dx <= -_APART and wide,
        "above": dy >= _APART and tall,
        "below": dy <= -_APART and tall,
    }
    return tests[relation]


def relations(scene: Scene) -> Iterator[tuple[int, Relation, int]]:
    """Every relation that holds between things of which there is one each, as (index, relation, index)."""
    single = [i for i, t in enumerate(scene.things) if sum(t.concept == o.concept for o in scene.things) == 1]
    for i, j in permutations(single, 2):
        for relation in RELATIONS if i > j else _PLANAR:
            if holds_between(relation, scene.things[i], scene.things[j]):
                yield i, relation, j


def colour_of(thing: Thing) -> str | None:
    """The colour a thing is seen in: its tint, or the one its drawing has anyway."""
    return thing.colour or concept(thing.concept).native.get(thing.style)


def is_true(fact: Fact, scene: Scene) -> bool:
    """Whether a claim holds of a scene, exactly. A car of any colour makes «car» true; counts must be equal."""
    things = [t for t in scene.things if t.concept == fact.concept and fact.colour in (None, colour_of(t))]
    match fact.kind:
        case "object" | "colour":
            return bool(things)
        case "count":
            return len(things) == fact.count
        case "relation":
            others = [t for t in scene.things if t.concept == fact.other]
            assert fact.relation is not None
            return any(holds_between(fact.relation, a, b) for a in things for b in others)
        case "background" | "time" | "weather" | "style":
            return getattr(scene, fact.kind) == fact.value
