"""What people say of places and sizes, and the boxes that it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.moving import SIDES, SIZES, moved, resized, side_said, size_said, spoken
from limner.types import Box

SIZE = (100, 80)


@pytest.mark.parametrize(
    ("words", "side"),
    [
        ("to the left", "left"),
        ("Left", "left"),
        ("up a bit", "slightly up"),
        ("a little to the right", "slightly right"),
        ("further down", "down"),
        ("a bit higher", "slightly up"),
        ("to the top", "up"),
        ("to the lower left corner", "bottom left"),
        ("into the centre of the picture", "middle"),
        ("over to the right hand side", "right"),
        ("to the left of the castle", ""),
        ("to Mars", ""),
        ("", ""),
    ],
)
def test_sides_as_people_say_them(words: str, side: str) -> None:
    assert side_said(words) == side


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("bigger", "bigger"),
        ("a bit larger", "slightly bigger"),
        ("a lot smaller", "much smaller"),
        ("twice as big", "much bigger"),
        ("half the size", "much smaller"),
        ("even bigger", "bigger"),
        ("taller", ""),
        ("big", ""),
    ],
)
def test_sizes_as_people_say_them(words: str, size: str) -> None:
    assert size_said(words) == size


@pytest.mark.parametrize("side", [*SIDES, *(f"slightly {side}" for side in SIDES)])
def test_what_is_spoken_is_understood_again(side: str) -> None:
    assert side_said(spoken(side)) == side


def test_a_place_beside_something_is_spoken_as_it_is() -> None:
    assert spoken("left of the castle") == "to the left of the castle"
    assert spoken("above the castle") == "above the castle"


@pytest.mark.parametrize(
    ("side", "box"),
    [
        ("left", (4, 30, 24, 50)),
        ("right", (76, 30, 96, 50)),
        ("up", (40, 3, 60, 23)),
        ("bottom right", (76, 57, 96, 77)),
        ("middle", (40, 30, 60, 50)),
        ("slightly left", (25, 30, 45, 50)),
        ("slightly down", (40, 42, 60, 62)),
    ],
)
def test_a_box_goes_to_its_side(side: str, box: Box) -> None:
    assert moved((40, 30, 60, 50), side, SIZE) == box


def test_what_is_at_a_side_already_does_not_come_back_from_it() -> None:
    assert moved((0, 30, 20, 50), "left", SIZE) == (0, 30, 20, 50)
    assert moved((80, 30, 100, 50), "right", SIZE) == (80, 30, 100, 50)


def test_what_grows_stands_where_it_stood() -> None:
    assert resized((40, 30, 60, 50), "bigger", SIZE) == (36, 22, 64, 50)
    assert resized((40, 30, 60, 50), "much smaller", SIZE) == (45, 40, 55, 50)
    assert resized((0, 0, 90, 80), "much bigger", SIZE) == (0, 0, 90, 80)  # there is no room


whole = st.integers(0, 60)


@given(whole, whole, st.integers(5, 40), st.integers(5, 20), st.sampled_from([*SIDES]), st.sampled_from([*SIZES]))
def test_boxes_stay_in_the_picture(x: int, y: int, wide: int, tall: int, side: str, size: str) -> None:
    box = (float(x), float(y), float(x + wide), float(y + tall))
    for way in (side, f"slightly {side}"):
        x0, y0, x1, y1 = moved(box, way, SIZE)
        assert 0 <= x0 < x1 <= SIZE[0]
        assert 0 <= y0 < y1 <= SIZE[1]
        assert (x1 - x0, y1 - y0) == (wide, tall)
    x0, y0, x1, y1 = resized(box, size, SIZE)
    assert 0 <= x0 < x1 <= SIZE[0]
    assert 0 <= y0 < y1 <= SIZE[1]
    if size.endswith("smaller"):
        assert x1 - x0 <= wide
