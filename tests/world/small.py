"""The part of the world that needs no art: twelve shapes, drawn by code."""

from __future__ import annotations

from limner.world.sample import Palette
from limner.world.scene import Thing
from limner.world.vocabulary import SHAPE_CONCEPTS

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",))


def shape(name: str, x: float = 0.5, y: float = 0.5, size: float = 0.4, colour: str | None = None) -> Thing:
    """A shape in the middle of the picture, unless it is told where."""
    return Thing(name, "shapes", x, y, size, colour)
