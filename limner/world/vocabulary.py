"""What the world's words mean: nouns, colours, backgrounds, times, weathers, styles, and the held-out splits.

The splits are decided by hashes of names, so that they never move: nothing held out is ever drawn in training.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from limner.world.shapes import SHAPES


@dataclass(frozen=True, slots=True)
class Concept:
    """A noun of the world. `general` is a broader noun; `tintable` says whether a colour may be put on it; `native`
    is the colour it mostly has untinted, by style, where it has one («fox» is orange in the flat style)."""

    name: str
    plural: str
    group: str
    general: str
    tintable: bool
    hexcode: str = ""
    native: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


def _load() -> dict[str, Concept]:
    table = json.loads(Path(__file__).with_name("concepts.json").read_text())
    return {name: Concept(name, **row) for name, row in table.items()}


CONCEPTS = _load()
SHAPE_CONCEPTS = {name: Concept(name, f"{name}s", "shape", "shape", True) for name in SHAPES}

COLOURS = {
    "red": (222, 36, 36),
    "orange": (244, 132, 20),
    "yellow": (248, 214, 32),
    "green": (44, 164, 58),
    "blue": (36, 96, 222),
    "purple": (136, 60, 190),
    "pink": (244, 120, 178),
}
"""Colour words and their RGB, 0-255."""

BACKGROUNDS = {
    "snow": ("in the snow", "in a snowy landscape"),
    "desert": ("in the desert", "among sand dunes"),
    "meadow": ("on a meadow", "in a green field"),
    "beach": ("on the beach", "at the beach"),
    "city": ("in the city", "in front of a city skyline"),
    "sea": ("on the sea", "on the ocean"),
    "mountains": ("in the mountains", "in front of mountains"),
    "forest": ("in the forest", "in the woods"),
    "space": ("in space", "in outer space"),
    "underwater": ("under water", "at the bottom of the sea"),
    "room": ("in a room", "indoors"),
    "white background": ("on a white background", "on plain white"),
    "grey background": ("on a grey background", "on plain grey"),
    "blue background": ("on a blue background", "on plain blue"),
    "green background": ("on a green background", "on plain green"),
    "pink background": ("on a pink background", "on plain pink"),
}
"""Background names and the phrases that say them, the commonest first."""

PLAIN_BACKGROUNDS = frozenset(name for name in BACKGROUNDS if name.endswith("background"))
INDOOR_BACKGROUNDS = PLAIN_BACKGROUNDS | {"space", "underwater", "room"}
"""Backgrounds that know neither time of day nor weather."""

TIMES = {"day": ("by day",), "sunset": ("at sunset", "at dusk"), "night": ("at night", "by night")}
WEATHERS = {
    "clear": ("in clear weather",),
    "rain": ("in the rain",),
    "snowfall": ("while it snows",),
    "fog": ("in fog",),
}
STYLE_PHRASES = {
    "flat": ("flat style", "flat illustration"),
    "3d": ("3d style", "3d render"),
    "line": ("line art style", "black and white icon"),
    "noto": ("cartoon style", "cartoon drawing"),
    "twemoji": ("sticker style", "sticker drawing"),
    "shapes": ("geometric style", "simple shapes"),
}

HELD_OUT_STYLE = "twemoji"
HELD_OUT_CONCEPTS = 36

CORE_CONCEPTS = tuple(
    "fox,cat,dog,lion,elephant,panda,horse,penguin,butterfly,rabbit,frog,owl,turtle,tropical fish,whale,bee,snail,cow,"
    "pig,monkey,duck,octopus,crab,bear,"
    "car,bus,bicycle,airplane,sailboat,rocket,helicopter,tractor,castle,house,tent,"
    "pizza,hamburger,apple,banana,strawberry,cake,donut,ice cream,pineapple,carrot,watermelon,"
    "tree,palm tree,cactus,sunflower,tulip,rose,mushroom,"
    "chair,umbrella,balloon,guitar,alarm clock,camera,key,crown,teddy bear,soccer ball,snowman".split(",")
)
"""The nouns that the embedded models learn first."""


def concept(name: str) -> Concept:
    """The concept of a name, drawn or shape. Raises KeyError for an unknown one."""
    return CONCEPTS.get(name) or SHAPE_CONCEPTS[name]


def share(*names: str) -> float:
    """A fixed number in [0, 1) for these names, whatever their order; the source of every split."""
    digest = hashlib.sha256("|".join(sorted(names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def pair_held_out(first: str, second: str) -> bool:
    """True for the eighth of all object pairs that never share a picture in training."""
    return first != second and share("pair", first, second) < 1 / 8


def binding_held_out(colour: str, name: str) -> bool:
    """True for the eighth of all (colour, object) bindings that training never shows."""
    return share("binding", colour, name) < 1 / 8


@functools.cache
def held_out_concepts() -> frozenset[str]:
    """The 36 concepts kept for one-shot learning: never drawn, never named in training."""
    others = [name for name in CONCEPTS if name not in CORE_CONCEPTS]
    return frozenset(sorted(others, key=lambda name: share("concept", name))[:HELD_OUT_CONCEPTS])
