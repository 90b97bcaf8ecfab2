import numpy as np
import pytest

from limner.image import draw_regions
from limner.types import Picture, Region


def plain(width: int = 64, height: int = 48) -> Picture:
    return Picture(np.full((height, width, 3), 200, np.uint8))


def changed(before: Picture, after: Picture) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Where the drawing differs from the picture enlarged to its size."""
    scale = after.width // before.width
    return (after.pixels != before.pixels.repeat(scale, 0).repeat(scale, 1)).any(axis=2)


def test_a_small_picture_is_enlarged_by_a_whole_factor() -> None:
    drawn = draw_regions(plain(), [])
    assert (drawn.width, drawn.height) == (512, 384)
    assert not changed(plain(), drawn).any()


def test_a_large_picture_keeps_its_size() -> None:
    assert draw_regions(plain(1300, 700), [Region("fox", (10, 10, 900, 600))]).pixels.shape == (700, 1300, 3)


def test_a_box_is_drawn_where_it_is() -> None:
    region = Region("fox", (16, 24, 48, 40), 0.5)
    rows, columns = np.nonzero(changed(plain(), draw_regions(plain(), [region])))
    inside = rows >= 24 * 8
    assert (columns[inside].min(), columns.max(), rows.max()) == (16 * 8, 48 * 8 - 1, 40 * 8 - 1)
    assert rows.min() > 24 * 8 - 40  # the label stands right above


def test_a_mask_is_tinted_and_lets_the_picture_through() -> None:
    mask = np.zeros((48, 64), bool)
    mask[30:36, 20:30] = True
    drawn = draw_regions(plain(), [Region("fox", (16, 24, 48, 40), mask=mask)]).pixels
    middle = drawn[33 * 8, 25 * 8].astype(int)
    assert (middle == drawn[30 * 8 + 1, 20 * 8 + 1]).all()
    assert (drawn[27 * 8, 25 * 8] == 200).all()
    outline = drawn[24 * 8 + 64, 16 * 8].astype(int)
    np.testing.assert_allclose(middle, 200 + 0.3 * (outline - 200), atol=1)


def test_labels_have_their_own_colours() -> None:
    boxes = [(2, 24, 14, 40), (20, 24, 32, 40), (40, 24, 52, 40)]
    regions = [Region(label, box) for label, box in zip(("fox", "car", "fox"), boxes, strict=True)]
    drawn = draw_regions(plain(), regions).pixels
    first, second, third = (drawn[32 * 8, x * 8].tolist() for x in (2, 20, 40))
    assert first == third != second


def test_labels_do_not_hide_each_other() -> None:
    box = (16.0, 24.0, 48.0, 40.0)
    one = changed(plain(), draw_regions(plain(), [Region("fox", box, 0.9)])).sum()
    two = changed(plain(), draw_regions(plain(), [Region("fox", box, 0.9), Region("car", box, 0.8)])).sum()
    assert two > one + 500


@pytest.mark.parametrize("box", [(0, 0, 64, 48), (60, 44, 64, 48), (0, 0, 1, 1), (63.5, 0, 64, 48), (-5, -5, 80, 90)])
def test_labels_and_boxes_stay_inside(box: tuple[float, float, float, float]) -> None:
    drawn = draw_regions(plain(), [Region("a very long label " * 8, box, 0.5)])
    assert drawn.pixels.shape == (384, 512, 3)
    assert changed(plain(), drawn).sum() > 1000


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        draw_regions(plain(), [Region("fox", (0, 0, 4, 4), mask=np.ones((64, 48), bool))])
