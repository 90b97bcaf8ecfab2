"""Colours of pixels, as people call them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from limner.image.hue import Rgb, colour_share, keep_hues, named_colour
from limner.image.paste import Mask
from limner.types import Picture

ALL = np.ones((8, 8), np.bool_)
NAMED = ((222, 36, 36), (244, 132, 20), (248, 214, 32), (44, 164, 58), (36, 96, 222), (136, 60, 190), (244, 120, 178))
HUES = {"crimson": "red", "gold": "yellow", "navy": "blue", "limegreen": "green", "darkorange": "orange"}


def share(picture: Picture, mask: Mask, colour: Rgb) -> float:
    return colour_share(picture, mask, colour, NAMED)


def plain(colour: Rgb) -> Picture:
    return Picture(np.full((8, 8, 3), colour, np.uint8))


@pytest.mark.parametrize(("shade", "colour"), HUES.items())
def test_a_shade_counts_as_its_colour_and_as_no_other(shade: str, colour: str) -> None:
    seen = plain(ImageColor.getrgb(shade)[:3])
    assert share(seen, ALL, ImageColor.getrgb(colour)[:3]) == 1
    others = set(HUES.values()) - {colour}
    assert [share(seen, ALL, ImageColor.getrgb(other)[:3]) for other in others] == [0, 0, 0, 0]


@pytest.mark.parametrize("dark", [0.3, 0.6, 1.0])
def test_light_and_shade_change_no_hue(dark: float) -> None:
    assert share(plain((round(220 * dark), round(40 * dark), round(40 * dark))), ALL, (222, 36, 36)) == 1


def test_only_the_mask_counts_and_the_share_is_of_it() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4], pixels[4:6] = (40, 90, 220), (220, 40, 40)
    mask = np.zeros((8, 8), np.bool_)
    mask[2:6] = True
    assert share(Picture(pixels), mask, (36, 96, 222)) == 0.5
    assert share(Picture(pixels), ~ALL, (36, 96, 222)) == 0


@pytest.mark.parametrize(("name", "grey"), [("white", 250), ("gray", 120), ("black", 10)])
def test_what_has_no_hue_is_told_by_its_lightness(name: str, grey: int) -> None:
    seen, colour = plain((grey, grey, grey)), named_colour(name)
    assert colour
    assert share(seen, ALL, colour) == 1
    assert share(plain((220, 40, 40)), ALL, colour) == 0
    assert [share(plain((255 - grey, 255 - grey, 255 - grey)), ALL, colour)] == [float(name == "gray")]


def test_grey_is_of_no_hue() -> None:
    assert share(plain((128, 124, 124)), ALL, (222, 36, 36)) == 0


def test_every_pixel_is_of_one_colour_or_of_none() -> None:
    seen = Picture(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    turned = np.array(Image.fromarray(seen.pixels).convert("HSV")) / 255
    # A hue half-way between two colours is of both.
    coloured = (turned[..., 1] >= 0.15) & (turned[..., 2] >= 0.12)
    assert sum(share(seen, ALL, each) for each in NAMED) == pytest.approx(coloured.mean(), abs=2 / 64)


@pytest.mark.parametrize(
    ("name", "rgb"),
    [("crimson", (220, 20, 60)), ("Dark Green", (0, 100, 0)), ("plaid", None), ("#ff0000", None), ("", None)],
)
def test_colours_have_the_names_of_css(name: str, rgb: Rgb | None) -> None:
    assert named_colour(name) == rgb


def test_hues_stay_and_light_changes() -> None:
    before, after = plain((220, 40, 40)), plain((90, 70, 110))
    kept = keep_hues(before, after, ALL)
    assert share(kept, ALL, (222, 36, 36)) == 1
    assert int(kept.pixels[0, 0].max()) == 110
    saturation = [np.asarray(Image.fromarray(each.pixels).convert("HSV"))[0, 0, 1] for each in (before, kept)]
    assert saturation[1] == pytest.approx(0.7 * saturation[0], abs=2)


def test_what_had_no_hue_and_what_lies_outside_is_left() -> None:
    half = ALL.copy()
    half[4:] = False
    after = plain((90, 70, 110))
    assert keep_hues(plain((128, 128, 128)), after, ALL).sha256 == after.sha256
    assert np.array_equal(keep_hues(plain((220, 40, 40)), after, half).pixels[4:], after.pixels[4:])
    assert keep_hues(plain((220, 40, 40)), after, ~ALL).sha256 == after.sha256
