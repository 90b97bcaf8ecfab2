import numpy as np
import pytest

from limner.image.paste import (
    Mask,
    box_mask,
    changed_fraction,
    crop,
    dilate,
    drift_outside,
    mask_from_picture,
    paste_back,
    place,
    region_box,
    resize,
)
from limner.types import BadInput, Box, Picture


def noise(width: int, height: int, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def flat(width: int, height: int, value: int) -> Picture:
    return Picture(np.full((height, width, 3), value, np.uint8))


def blob(width: int, height: int, seed: int = 0) -> Mask:
    """An uneven mask: holes, single pixels and parts at the border."""
    return np.random.default_rng(seed).random((height, width)) < 0.3


@pytest.mark.parametrize("feather", [0, 1, 5, 40])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_outside_the_mask_changes_by_a_bit(feather: int, seed: int) -> None:
    before, after, mask = noise(61, 43), noise(61, 43, 9), blob(61, 43, seed)
    pasted = paste_back(before, after, mask, feather=feather)
    assert np.array_equal(pasted.pixels[~mask], before.pixels[~mask])
    assert not np.array_equal(pasted.pixels[mask], before.pixels[mask])
    assert drift_outside(before, pasted, mask) == 0.0


def test_without_a_feather_the_inside_is_the_new_picture() -> None:
    before, after, mask = noise(20, 10), noise(20, 10, 9), blob(20, 10)
    pasted = paste_back(before, after, mask, feather=0)
    assert np.array_equal(pasted.pixels[mask], after.pixels[mask])
    assert paste_back(before, after, np.zeros((10, 20), np.bool_), feather=3).sha256 == before.sha256
    assert paste_back(before, after, np.ones((10, 20), np.bool_), feather=3).sha256 == after.sha256


def test_the_seam_rises_evenly_inside_the_mask() -> None:
    mask = box_mask((10, 0, 30, 8), 40, 8)  # from the upper border to the lower one: only two edges
    row = paste_back(flat(40, 8, 0), flat(40, 8, 200), mask, feather=3).pixels[4, :, 0]
    assert row[9:15].tolist() == [0, 50, 100, 150, 200, 200]
    assert row[25:31].tolist() == [200, 200, 150, 100, 50, 0]


def test_pasting_refuses_pictures_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        paste_back(noise(8, 8), noise(8, 9), blob(8, 8), feather=0)
    with pytest.raises(ValueError, match="different sizes"):
        paste_back(noise(8, 8), noise(8, 8), blob(8, 9), feather=0)


@pytest.mark.parametrize("pixels", [0, 1, 4])
def test_dilating_is_what_its_definition_says(pixels: int) -> None:
    mask = blob(23, 17) & blob(23, 17, 1) & blob(23, 17, 2)
    grown = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        grown[max(0, y - pixels) : y + pixels + 1, max(0, x - pixels) : x + pixels + 1] = True
    assert np.array_equal(dilate(mask, pixels), grown)
    assert 0 < mask.sum() <= grown.sum() < mask.size


@pytest.mark.parametrize(
    ("box", "margin", "least", "wanted"),
    [
        ((40, 40, 60, 60), 5, 0, (35, 35, 65, 65)),
        ((40, 50, 60, 54), 5, 0, (35, 37, 65, 67)),  # squared around its middle
        ((40, 40, 60, 60), 5, 64, (18, 18, 82, 82)),
        ((0, 0, 10, 10), 5, 0, (0, 0, 20, 20)),  # moved into the picture
        ((195, 90, 200, 100), 5, 30, (170, 70, 200, 100)),
        ((10, 10, 180, 20), 5, 0, (5, 0, 185, 100)),  # the picture is not that high
        ((0, 0, 200, 100), 5, 512, (0, 0, 200, 100)),
    ],
)
def test_a_region_has_room_and_lies_inside(box: Box, margin: int, least: int, wanted: Box) -> None:
    mask = box_mask(box, 200, 100)
    assert region_box(mask, margin=margin, least=least) == wanted


def test_a_region_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        region_box(np.zeros((9, 9), np.bool_), margin=1, least=1)


def test_a_box_covers_every_pixel_it_touches() -> None:
    mask = box_mask((1.2, 0, 2.5, 3), 4, 3)
    assert mask.shape == (3, 4)
    assert mask.any(axis=0).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    "box",
    [
        (3, 3, 3, 8),
        (3, 3, 8, 3),
        (8, 3, 3, 8),
        (-1, 0, 5, 5),
        (0, 0, 11, 5),
        (0, 0, 5, 6),
        (20, 20, 30, 30),
        (0, 0, float("nan"), 5),
        (0, 0, float("inf"), 5),
    ],
)
def test_a_box_without_area_or_outside_is_refused(box: Box) -> None:
    with pytest.raises(BadInput, match="within 0,0,10,5"):
        box_mask(box, 10, 5)


def test_a_mask_is_painted_bright() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[1, 2], pixels[2, 3], pixels[3, 4] = 255, 128, 127
    assert np.argwhere(mask_from_picture(Picture(pixels))).tolist() == [[1, 2], [2, 3]]
    with pytest.raises(BadInput, match="black"):
        mask_from_picture(flat(6, 4, 0))


def test_a_crop_goes_back_to_its_place() -> None:
    picture, box = noise(30, 20), (4, 5, 24, 17)
    part = crop(picture, box)
    assert (part.width, part.height) == (20, 12)
    assert place(picture, part, box).sha256 == picture.sha256
    assert place(flat(30, 20, 0), part, box).pixels[5:17, 4:24].sum() == part.pixels.sum()


def test_resizing_keeps_a_picture_of_that_size_and_what_is_flat() -> None:
    picture = noise(30, 20)
    assert resize(picture, (30, 20)).sha256 == picture.sha256
    small = resize(flat(30, 20, 77), (16, 8))
    assert (small.width, small.height) == (16, 8)
    assert (small.pixels == 77).all()


def test_change_and_drift_are_counted() -> None:
    before, mask = flat(10, 10, 100), box_mask((0, 0, 5, 10), 10, 10)
    pixels = before.pixels.copy()
    pixels[:, :5] = 0
    pixels[0, 9, 0] = 90  # one channel of one pixel outside
    after = Picture(pixels)
    assert changed_fraction(before, after) == pytest.approx(0.51)  # pyright: ignore[reportUnknownMemberType]
    assert drift_outside(before, after, mask) == pytest.approx(10 / 150)  # pyright: ignore[reportUnknownMemberType]
    assert drift_outside(after, before, mask) == drift_outside(before, after, mask)
    assert drift_outside(before, flat(10, 10, 3), np.ones((10, 10), np.bool_)) == 0.0
