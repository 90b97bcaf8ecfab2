"""Random scenes, by stage of the curriculum: from one large object to a crowd, never crossing a split.

`sample_scene` draws from the training side only, unless it is asked for what is held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

from limner.world.backdrop import VARIANTS
from limner.world.scene import Relation, Scene, Thing
from limner.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    CORE_CONCEPTS,
    INDOOR_BACKGROUNDS,
    binding_held_out,
    concept,
    pair_held_out,
)

STAGES = ("single", "pair", "count", "crowd")


@dataclass(frozen=True, slots=True)
class Palette:
    """What a sampler may use, and how often: `tint` is the share of tintable things that get a colour."""

    concepts: Sequence[str] = CORE_CONCEPTS
    styles: Sequence[str] = ("flat", "3d")
    backgrounds: Sequence[str] = tuple(BACKGROUNDS)
    tint: float = 0.25
    other_time: float = 0.25
    weather: float = 0.12


def sample_scene(rng: Random, stage: str, palette: Palette | None = None, *, held_out: bool = False) -> Scene:
    """A random scene of one stage: «single», «pair» (one relation), «count» (2-4 alike) or «crowd» (3-4 things).

    With `held_out`, pairs and crowds hold a held-out object pair, and every coloured thing wears a held-out
    binding where it has one; without it neither ever occurs.
    """
    palette = palette or Palette()
    style = rng.choice(list(palette.styles))
    things = {"single": _single, "pair": _pair, "count": _count, "crowd": _crowd}[stage](rng, palette, held_out)
    coloured = _dress(rng, things, palette, held_out)
    dressed = tuple(replace(thing, style=style, mirrored=rng.random() < 0.3) for thing in coloured)
    background = rng.choice(list(palette.backgrounds))
    scene = Scene(dressed, background, variant=rng.randrange(VARIANTS))
    return scene if background in INDOOR_BACKGROUNDS else _hour_and_weather(rng, scene, palette)


def _hour_and_weather(rng: Random, scene: Scene, palette: Palette) -> Scene:
    time = rng.choice(("sunset", "night")) if rng.random() < palette.other_time else "day"
    weather = rng.choice(("rain", "snowfall", "fog")) if rng.random() < palette.weather else "clear"
    return replace(scene, time=time, weather=weather)


def _place(name: str, x: float, y: float, size: float) -> Thing:
    return Thing(name, "", x, y, size)


def _single(rng: Random, palette: Palette, held_out: bool) -> list[Thing]:
    size = rng.uniform(0.5, 0.8)
    slack = (1 - size) / 2
    x, y = 0.5 + rng.uniform(-slack, slack) * 0.8, 0.52 + rng.uniform(-slack, slack) * 0.6
    return [_place(rng.choice(list(palette.concepts)), x, y, size)]


def _pair(rng: Random, palette: Palette, held_out: bool) -> list[Thing]:
    first, second = _choose(rng, palette.concepts, 2, held_out)
    relation: Relation = rng.choice(("left of", "right of", "left of", "right of", "above", "below", "in front of"))
    if relation == "in front of":
        return _overlapping(rng, second, first)
    return _apart(rng, first, second, relation)


def _overlapping(rng: Random, behind: str, before: str) -> list[Thing]:
    """A large thing and a smaller one that stands lower, before it."""
    back = _place(behind, rng.uniform(0.38, 0.62), rng.uniform(0.36, 0.44), rng.uniform(0.55, 0.68))
    x, y = back.x + rng.uniform(-0.16, 0.16), rng.uniform(0.66, 0.72)
    return [back, _place(before, x, y, rng.uniform(0.36, 0.46))]


def _apart(rng: Random, first: str, second: str, relation: Relation) -> list[Thing]:
    """Two things beside or above each other that do not touch."""
    sizes = rng.uniform(0.36, 0.5), rng.uniform(0.36, 0.5)
    near, far = rng.uniform(0.24, 0.3), rng.uniform(0.7, 0.76)
    if relation in ("right of", "below"):
        near, far = far, near
    if relation in ("left of", "right of"):
        base = rng.uniform(0.5, 0.66)
        level = base + rng.uniform(-0.06, 0.06), base + rng.uniform(-0.06, 0.06)
        return [_place(first, near, level[0], sizes[0]), _place(second, far, level[1], sizes[1])]
    column = rng.uniform(0.36, 0.64)
    across = column + rng.uniform(-0.06, 0.06), column + rng.uniform(-0.06, 0.06)
    return [_place(first, across[0], near, sizes[0]), _place(second, across[1], far, sizes[1])]


def _count(rng: Random, palette: Palette, held_out: bool) -> list[Thing]:
    name, number = rng.choice(list(palette.concepts)), rng.randint(2, 4)
    size = rng.uniform(*((0.36, 0.48) if number == 2 else (0.3, 0.38) if number == 3 else (0.28, 0.36)))
    return [_place(name, x, y, size) for x, y in _grid(rng, number)]


def _crowd(rng: Random, palette: Palette, held_out: bool) -> list[Thing]:
    number = rng.choice((3, 3, 4))
    names = _choose(rng, palette.concepts, number, held_out)
    spots = _grid(rng, number)
    rng.shuffle(spots)
    return [_place(name, x, y, rng.uniform(0.3, 0.4)) for name, (x, y) in zip(names, spots, strict=True)]


def _grid(rng: Random, number: int) -> list[tuple[float, float]]:
    """Places that do not overlap: a row of two, a triangle or row of three, a square of four."""
    layouts = {
        2: [[(0.27, 0.58), (0.73, 0.58)]],
        3: [
            [(0.25, 0.7), (0.75, 0.7), (0.5, 0.27)],
            [(0.5, 0.73), (0.25, 0.3), (0.75, 0.3)],
            [(0.19, 0.6), (0.5, 0.6), (0.81, 0.6)],
        ],
        4: [[(0.27, 0.28), (0.73, 0.28), (0.27, 0.74), (0.73, 0.74)]],
    }
    return [(x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.04, 0.04)) for x, y in rng.choice(layouts[number])]


def _choose(rng: Random, names: Sequence[str], number: int, held_out: bool) -> list[str]:
    """Different names whose pairs are all on the training side, or at least one of them held out."""
    while True:
        chosen = rng.sample(list(names), number)
        if any(pair_held_out(a, b) for a, b in combinations(chosen, 2)) == held_out:
            return chosen


def _dress(rng: Random, things: list[Thing], palette: Palette, held_out: bool) -> list[Thing]:
    """Put colours on some of what can be tinted; things alike wear the same colour."""
    colours = {name: _colour(rng, name, palette, held_out) for name in sorted({t.concept for t in things})}
    return [replace(t, colour=colours[t.concept]) for t in things]


def _colour(rng: Random, name: str, palette: Palette, held_out: bool) -> str | None:
    if not concept(name).tintable or rng.random() >= palette.tint:
        return None
    allowed = [c for c in COLOURS if binding_held_out(c, name) == held_out]
    return rng.choice(allowed) if allowed else None
