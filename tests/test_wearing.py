"""Colours that are said, and the things that have them."""

from __future__ import annotations

import pytest

from limner.look import bare_name
from limner.wearing import colour_called, find_called, split_colour
from limner.world.vocabulary import COLOURS
from tests.retoucher import EYES, show

PICTURE = show(("red circle", (4, 4, 18, 18)), ("blue circle", (28, 28, 46, 46)), ("red square", (30, 4, 42, 16)))


@pytest.mark.parametrize(
    ("name", "colour", "noun"),
    [
        ("blue car", "blue", "car"),
        ("White Rabbit", "White", "Rabbit"),
        ("red apple", "red", "apple"),
        ("orange", "", "orange"),
        ("car", "", "car"),
        ("old red car", "", "old red car"),
        ("", "", ""),
    ],
)
def test_a_colour_stands_first(name: str, colour: str, noun: str) -> None:
    assert split_colour(name) == (colour, noun)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("brown teddy bear on the left", "teddy bear"),
        ("red circle", "circle"),
        ("old car", "car"),
        ("orange", "orange"),
        ("", ""),
    ],
)
def test_a_bare_name_is_whole_where_the_world_knows_it(name: str, bare: str) -> None:
    assert bare_name(name) == bare


@pytest.mark.parametrize(
    ("name", "boxes"), [("red circle", [(4, 4)]), ("blue circle", [(28, 28)]), ("green circle", [])]
)
def test_things_are_found_by_noun_and_colour(name: str, boxes: list[tuple[int, int]]) -> None:
    assert [region.box[:2] for region in find_called(EYES, PICTURE, name)] == boxes


def test_without_a_colour_all_are_found() -> None:
    assert len(find_called(EYES, PICTURE, "circle")) == 2


def test_colours_are_the_worlds_before_those_of_css() -> None:
    assert {name: colour_called(name) for name in COLOURS} == dict(COLOURS)
    assert colour_called("dark green") == (0, 100, 0)
    assert colour_called("plaid") is None
