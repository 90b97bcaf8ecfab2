"""Pictures of what a drawing model gets wrong: two things in one, halves of two, a mere ghost of one.

A scorer that has only ever seen things drawn well takes the half-drawn for the thing. These are made of rendered
truth, and their truth is known: the spoilt thing is not there, and neither is the one that it was mixed with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import numpy.typing as npt

from limner.types import Picture
from limner.world.render import render
from limner.world.sample import Palette
from limner.world.scene import Fact, Scene, Thing
from limner.world.vocabulary import pair_held_out

SHARE = 0.3
"""How many of the scenes with several things have one of them spoilt."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture, what is truly there, and what is claimed of it falsely because it was spoilt."""

    scene: Scene
    picture: Picture
    false: tuple[Fact, ...] = ()


def show(scene: Scene, rng: Random, palette: Palette, share: float = SHARE) -> Shown:
    """The scene rendered; in a `share` of those with several things, each of its own kind, one is spoilt."""
    several = len(scene.things) > 1 and len({thing.concept for thing in scene.things}) == len(scene.things)
    wanted = several and rng.random() < share and _mixable(scene, palette)
    return spoilt(scene, rng, palette) if wanted else Shown(scene, render(scene))


def _mixable(scene: Scene, palette: Palette) -> list[str]:
    """Nouns that may stand half in the scene: never one of a held-out pair, however badly it is seen."""
    present = {thing.concept for thing in scene.things}
    return [
        name for name in palette.concepts if name not in present and not any(pair_held_out(name, p) for p in present)
    ]


def spoilt(scene: Scene, rng: Random, palette: Palette) -> Shown:
    """The scene with one thing spoilt; what is true of it is the scene without that thing. Raises IndexError where
    nothing may be mixed in."""
    number = rng.randrange(len(scene.things))
    thing, other = scene.things[number], rng.choice(_mixable(scene, palette))
    rest = replace(scene, things=(*scene.things[:number], *scene.things[number + 1 :]))
    if rng.random() < 0.3:
        # Rest and thing as seen through each other, so that hardly more than an outline is left.
        picture = _mixed(rest, scene, rng.uniform(0.1, 0.3))
        return Shown(rest, picture, _claims(thing))
    swapped = replace(thing, concept=other, colour=None)
    second = replace(scene, things=(*scene.things[:number], swapped, *scene.things[number + 1 :]))
    picture = _mixed(scene, second, rng.uniform(0.35, 0.65)) if rng.random() < 0.5 else _halves(scene, second, thing)
    return Shown(rest, picture, (*_claims(thing), *_claims(swapped)))


def _claims(thing: Thing) -> tuple[Fact, ...]:
    """«car», and «red car» for a red one."""
    bare = Fact("object", thing.concept, thing.concept)
    coloured = Fact("colour", f"{thing.colour} {thing.concept}", thing.concept, thing.colour)
    return (bare, coloured) if thing.colour else (bare,)


def _mixed(first: Scene, second: Scene, share: float) -> Picture:
    """The two renders laid over each other; `share` is the second's."""
    pair: Sequence[npt.NDArray[np.float32]] = [render(each).pixels.astype(np.float32) for each in (first, second)]
    return Picture(np.rint(pair[0] * (1 - share) + pair[1] * share).astype(np.uint8))


def _halves(first: Scene, second: Scene, thing: Thing) -> Picture:
    """The second render from the thing's middle downwards, the first above it: one's head on another's body."""
    pixels = render(first).pixels.copy()
    middle = round(thing.y * len(pixels))
    pixels[middle:] = render(second).pixels[middle:]
    return Picture(pixels)
