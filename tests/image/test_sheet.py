import math

import numpy as np
import pytest

from limner.image import contact_sheet, psnr
from limner.types import Picture


def plain(value: int, width: int = 32, height: int = 32) -> Picture:
    return Picture(np.full((height, width, 3), value, np.uint8))


def test_each_picture_is_on_the_sheet_enlarged() -> None:
    sheet = contact_sheet([plain(10), plain(90), plain(200)], ["a", "b", "c"], columns=2, scale=2).pixels
    for value in (10, 90, 200):
        assert (sheet == value).all(axis=2).sum() >= 64 * 64
    assert np.flatnonzero((sheet == 200).all(axis=2))[0] > np.flatnonzero((sheet == 90).all(axis=2))[-1]


def test_highlight_frames_one_picture_only() -> None:
    bare = contact_sheet([plain(10), plain(90)], ["", ""])
    marked = contact_sheet([plain(10), plain(90)], ["", ""], highlight=[1])
    changed = np.flatnonzero((bare.pixels != marked.pixels).any(axis=(0, 2)))
    assert len(changed) > 0
    assert changed[0] > 160


def test_captions_are_drawn_and_long_ones_end() -> None:
    short, long = (contact_sheet([plain(255)], [text]) for text in ("fox", "fox " * 500))
    assert (short.pixels < 128).any()
    assert long.width == short.width
    assert long.height <= short.height + 2 * 20


def test_small_pictures_are_made_large_enough_to_read() -> None:
    assert contact_sheet([plain(0, 16, 16)], ["x"]).width >= 160


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([], [])


def test_psnr_of_a_known_error() -> None:
    assert psnr(plain(100), plain(110)) == pytest.approx(20 * math.log10(25.5))
    assert psnr(plain(1), plain(1)) == math.inf
    with pytest.raises(ValueError, match="compare"):
        psnr(plain(1), plain(1, width=8))
