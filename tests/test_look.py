"""Looking at pictures: what is looked for, what is found, and its masks."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import numpy as np
import pytest

from limner.look import MAX_QUERIES, cut_out, head_noun, in_place, look, named_things, parse_queries, split_place
from limner.types import BadInput, Event, Region
from tests.retoucher import EYES, is_colour, show

PICTURE = show(("red circle", (4, 4, 20, 20)), ("blue square", (28, 26, 42, 40)))
Result = TypeVar("Result")


def finish(work: Generator[Event, None, Result]) -> tuple[list[Event], Result]:
    """A piece of work's events and its result."""
    events: list[Event] = []
    try:
        while True:
            events.append(next(work))
    except StopIteration as end:
        return events, end.value


def test_what_the_caption_names_is_looked_for() -> None:
    events, seen = finish(look(EYES, PICTURE))
    assert seen.caption == "a red circle and a blue square"
    assert {region.label: region.box for region in seen.regions} == {
        "red circle": (4, 4, 20, 20),
        "blue square": (28, 26, 42, 40),
    }
    assert [event.done for event in events] == [0, 1, 2, 3]
    assert {event.total for event in events} == {3}


def test_every_region_has_its_own_mask() -> None:
    _, seen = finish(look(EYES, PICTURE))
    for region, rgb in zip(seen.regions, ((220, 30, 30), (40, 70, 220)), strict=True):
        assert region.mask is not None
        np.testing.assert_array_equal(region.mask, is_colour(PICTURE.pixels, rgb))


def test_what_is_asked_for_is_found_and_nothing_else() -> None:
    _, seen = finish(look(EYES, PICTURE, ("square", "green circle")))
    assert [region.label for region in seen.regions] == ["square"]


def test_a_picture_of_nothing_has_no_regions() -> None:
    _, seen = finish(look(EYES, show()))
    assert list(seen.regions) == []
    assert cut_out(EYES, show(), []) == []


def test_masks_keep_the_order_of_their_regions() -> None:
    boxes = [(28.0, 26.0, 42.0, 40.0), (4.0, 4.0, 20.0, 20.0)]
    masks = [region.mask for region in cut_out(EYES, PICTURE, [Region("", box) for box in boxes])]
    assert [mask is not None and bool(mask[30, 30]) for mask in masks] == [True, False]


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("red car,cat", ("red car", "cat")),
        (" red   car , cat,, cat ", ("red car", "cat")),
        ("ein Hund", ("ein Hund",)),
    ],
)
def test_queries_have_commas_between_them(text: str, queries: tuple[str, ...]) -> None:
    assert parse_queries(text) == queries


@pytest.mark.parametrize("text", ["", " , ,", "x" * 81, ",".join(map(str, range(MAX_QUERIES + 1)))])
def test_bad_queries_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_queries(text)


def test_relations_are_no_things() -> None:
    assert named_things("a red fox to the left of a castle in the snow") == ("red fox", "castle", "snow")


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("car", "car"),
        ("red car", "car"),
        ("red car next to the house", "car"),
        ("cup of tea", "cup"),
        ("man with a hat", "man"),
        ("old inn", "inn"),
        ("", ""),
    ],
)
def test_the_head_of_a_name_is_its_noun(name: str, noun: str) -> None:
    assert head_noun(name) == noun


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("left car", ("left", "car")),
        ("leftmost red car", ("left", "red car")),
        ("Upper window", ("top", "window")),
        ("lower window", ("bottom", "window")),
        ("central tower", ("middle", "tower")),
        ("red car", ("", "red car")),
        ("left", ("", "left")),
        ("lefty loosey", ("", "lefty loosey")),
        ("", ("", "")),
    ],
)
def test_a_place_in_a_name_stands_before_it(name: str, parts: tuple[str, str]) -> None:
    assert split_place(name) == parts


ROW = [Region("a", (20, 0, 30, 30)), Region("b", (0, 10, 10, 40)), Region("c", (36, 5, 46, 60))]


@pytest.mark.parametrize(
    ("place", "order"),
    [("left", "bac"), ("right", "cab"), ("top", "abc"), ("bottom", "cba"), ("middle", "acb"), ("", "abc")],
)
def test_what_lies_furthest_to_a_place_comes_first(place: str, order: str) -> None:
    assert [region.label for region in in_place(ROW, place)] == list(order)
    assert in_place([], place) == []
