"""A new colour without a model."""

from __future__ import annotations

import numpy as np
import pytest

from limner.image.paste import box_mask
from limner.image.tint import tint
from limner.types import Picture

MASK = box_mask((4, 4, 28, 28), 32, 32)


def shaded() -> Picture:
    """Grey from dark to bright, from left to right."""
    row = np.linspace(20, 240, 32).astype(np.uint8)
    return Picture(np.repeat(np.repeat(row[None, :, None], 32, axis=0), 3, axis=2))


def test_what_is_marked_wears_the_colour_and_keeps_its_light() -> None:
    picture = shaded()
    pixels = tint(picture, MASK, (0, 160, 0)).pixels
    assert np.array_equal(pixels[~MASK], picture.pixels[~MASK])
    inside = pixels[8, 4:28].astype(int)
    assert (inside[:, 1] > inside[:, 0]).all()
    assert (np.diff(inside.sum(axis=1)) >= 0).all()
    np.testing.assert_allclose(inside[len(inside) // 2], (0, 160, 0), atol=12)


@pytest.mark.parametrize("level", [0, 255])
def test_what_is_all_black_or_all_white_is_no_trouble(level: int) -> None:
    picture = Picture(np.full((32, 32, 3), level, np.uint8))
    assert tint(picture, MASK, (200, 0, 0)).pixels.shape == (32, 32, 3)
    assert tint(picture, ~np.ones_like(MASK), (200, 0, 0)).sha256 == picture.sha256
