"""Detail that outlives an edit of colours or light."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from limner.image.detail import keep_detail
from limner.image.paste import Mask, box_mask, resize
from limner.types import Picture


def face(size: int = 96) -> Picture:
    """A round thing with two dark eyes, shaded from left to right, on a bright ground."""
    ys, xs = np.mgrid[0:size, 0:size] / size
    pixels = np.full((size, size, 3), 235.0)
    inside = (xs - 0.5) ** 2 + (ys - 0.5) ** 2 < 0.16
    pixels[inside] = (200 - 60 * xs[inside])[:, None] * np.array((1.0, 0.7, 0.3))
    for x in (0.38, 0.62):
        pixels[(abs(xs - x) < 0.03) & (abs(ys - 0.42) < 0.05)] = 20
    return Picture(pixels.astype(np.uint8))


def recoloured(picture: Picture) -> Picture:
    """Every pixel in another colour of the same lightness, as a perfect editor would."""
    turned = picture.pixels.astype(np.float32) @ np.array(((0.2, 0.5, 0.1), (0.1, 0.6, 0.2), (0.0, 0.2, 0.9))).T
    return Picture(turned.clip(0, 255).astype(np.uint8))


def softened(picture: Picture, radius: float = 1.3) -> Picture:
    return Picture(np.asarray(Image.fromarray(picture.pixels).filter(ImageFilter.GaussianBlur(radius))))


def whole(picture: Picture) -> Mask:
    return np.ones((picture.height, picture.width), np.bool_)


def error(picture: Picture, truth: Picture) -> float:
    return float(np.abs(picture.pixels.astype(np.float32) - truth.pixels).mean())


def test_a_soft_edit_comes_back_sharp_in_its_new_colours() -> None:
    before, truth = face(), recoloured(face())
    soft = softened(truth)
    kept = keep_detail(before, before, soft, whole(before))
    assert error(kept, truth) < 0.5 * error(soft, truth)


def test_another_light_falls_on_what_was_there() -> None:
    before = face()
    night = Picture((before.pixels * np.array((0.4, 0.5, 0.8))).astype(np.uint8))
    kept = keep_detail(before, before, softened(night), whole(before))
    assert error(kept, night) < 0.5 * error(softened(night), night)


def test_outside_the_mask_the_edit_stays_as_it_was_painted() -> None:
    before, soft = face(), softened(recoloured(face()))
    mask = box_mask((20, 20, 60, 70), 96, 96)
    kept = keep_detail(before, before, soft, mask)
    assert np.array_equal(kept.pixels[~mask], soft.pixels[~mask])
    assert not np.array_equal(kept.pixels[mask], soft.pixels[mask])
    assert keep_detail(before, before, soft, ~whole(before)).sha256 == soft.sha256


def test_a_share_of_the_detail_is_between_the_edit_and_all_of_it() -> None:
    before, soft = face(), softened(recoloured(face()))
    mask = box_mask((20, 20, 60, 70), 96, 96)
    none, half, all_of_it = (keep_detail(before, before, soft, mask, share) for share in (0.0, 0.5, 1.0))
    assert none.sha256 == soft.sha256
    middle = (soft.pixels.astype(np.float32) + all_of_it.pixels) / 2
    assert np.abs(half.pixels - middle).max() <= 1


def test_what_lies_beyond_the_mask_does_not_colour_what_is_in_it() -> None:
    before = face()
    edit = before.pixels.copy()
    mask = box_mask((30, 30, 66, 66), 96, 96)
    edit[~mask] = (255, 0, 0)
    kept = keep_detail(before, before, Picture(edit), mask)
    assert error(Picture(kept.pixels[30:66, 30:66]), Picture(before.pixels[30:66, 30:66])) < 4


def test_a_large_picture_keeps_the_detail_that_the_model_never_saw() -> None:
    before = face(384)
    truth, small = recoloured(before), resize(before, (96, 96))
    painted = softened(recoloured(small), 1)
    kept = keep_detail(before, small, painted, whole(before))
    assert (kept.width, kept.height) == (384, 384)
    assert error(kept, truth) < 0.6 * error(resize(painted, (384, 384)), truth)


@pytest.mark.parametrize("size", [(8, 8), (8, 128), (1, 1)])
def test_small_and_even_pictures_are_no_trouble(size: tuple[int, int]) -> None:
    flat = Picture(np.full((size[1], size[0], 3), 90, np.uint8))
    other = Picture(np.full((size[1], size[0], 3), 140, np.uint8))
    assert error(keep_detail(flat, flat, other, whole(flat)), other) < 2
