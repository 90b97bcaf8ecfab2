"""Which colour a thing is said to have, and which things have it.

The thing is found by its noun, its colour measured in its pixels: a detector that is asked for a «blue cow» knows cows,
and mostly misses blue ones (docs/decisions/0019).
"""

from __future__ import annotations

from collections.abc import Mapping

from limner.image.hue import Rgb, colour_share, named_colour
from limner.look import bare_name
from limner.protocols import Eyes, Mask
from limner.types import Picture, Region
from limner.world.vocabulary import COLOURS, CONCEPTS

WORN = 0.5
"""The share of a thing's pixels that must have a colour for the thing to have it."""

# What people call brown is darker and yellower than CSS has it.
_PLAIN: Mapping[str, Rgb] = {
    **COLOURS,
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
    "brown": (139, 90, 43),
}


def colour_called(word: str) -> Rgb | None:
    """Red, green and blue (0 to 255) of «blue» as the world has it, of «dark green» as CSS has it; else None."""
    return _PLAIN.get(word.lower()) or named_colour(word)


def split_colour(name: str) -> tuple[str, str]:
    """«blue car» as ("blue", "car"); the colour is "" where the name begins with none, or names no such thing without
    it («white flag» where the world knows no flag)."""
    first, _, rest = name.partition(" ")
    whole = name in CONCEPTS and rest not in CONCEPTS
    return (first, rest) if first.lower() in _PLAIN and rest and not whole else ("", name)


def find_called(eyes: Eyes, picture: Picture, name: str, least: float = 1.0) -> list[Region]:
    """The regions that «car» or «red car» names, best first. Their scores are the detector's for the car, of which
    `least` times its threshold is enough."""
    colour, noun = split_colour(name)
    rgb = colour_called(colour) if colour else None
    return find_wearing(eyes, picture, bare_name(noun), rgb, least) if rgb else _find(eyes, picture, name, least)


def find_wearing(eyes: Eyes, picture: Picture, noun: str, colour: Rgb, least: float = 1.0) -> list[Region]:
    """The regions that a noun names, and of which the greater part has that colour."""
    regions = _find(eyes, picture, noun, least)
    masks = eyes.segmenter.segment(picture, [region.box for region in regions])
    return [r for r, mask in zip(regions, masks, strict=True) if worn_share(picture, mask, colour) >= WORN]


def worn_share(picture: Picture, mask: Mask, colour: Rgb) -> float:
    """The share of the masked pixels that are of a colour, told apart from all that the world knows."""
    return colour_share(picture, mask, colour, COLOURS.values())


def _find(eyes: Eyes, picture: Picture, name: str, least: float) -> list[Region]:
    [regions] = eyes.detector.detect([picture], [[name]], threshold=least * eyes.detector.threshold)
    return regions
