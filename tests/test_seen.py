"""What is seen, in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.seen import Seen, centre, listed, summary, whereabouts


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (Seen("car", "red", "left"), "red car on the left"),
        (Seen("dog", "", "middle"), "dog in the middle"),
        (Seen("bird", "", "top"), "bird at the top"),
        (Seen("boat", "blue", "bottom"), "blue boat at the bottom"),
        (Seen("boat", "blue"), "blue boat"),
        (Seen("boat"), "boat"),
    ],
)
def test_a_thing_is_called_by_colour_name_and_place(thing: Seen, text: str) -> None:
    assert thing.text == text
    assert text.startswith(thing.noun)


@pytest.mark.parametrize(
    ("x", "y", "where"),
    [
        (0.1, 0.5, "left"),
        (0.9, 0.5, "right"),
        (0.5, 0.1, "top"),
        (0.5, 0.9, "bottom"),
        (0.5, 0.5, "middle"),
        (0.1, 0.1, "left"),
        (0.42, 0.5, "middle"),
        (0.41, 0.5, "left"),
    ],
)
def test_a_place_is_where_the_centre_lies(x: float, y: float, where: str) -> None:
    assert whereabouts(x, y) == where


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_mirrored_things_have_mirrored_places(x: float, y: float) -> None:
    mirrored = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    where, across = whereabouts(x, y), whereabouts(1 - x, 1 - y)
    if min(abs(x - 0.42), abs(x - 0.58), abs(y - 0.42), abs(y - 0.58)) > 1e-9:
        assert across == mirrored.get(where, where)


def test_a_centre_is_a_share_of_the_picture() -> None:
    assert centre((10, 20, 30, 40), 40, 120) == (0.5, 0.25)


def test_a_summary_lists_all_that_is_seen() -> None:
    assert summary([]) == "I see nothing that I know."
    assert summary([Seen("ant", "", "left")]) == "I see an ant on the left."
    three = [Seen("car", "red", "left"), Seen("car", "orange", "middle"), Seen("dog")]
    assert summary(three) == "I see a red car on the left, an orange car in the middle and a dog."


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=1, max_size=5))
def test_a_list_names_each_once_and_its_word_once(texts: list[str]) -> None:
    said = listed(texts, "OR")
    assert said.replace(" OR ", ", ").split(", ") == texts
    assert said.count(" OR ") == (len(texts) > 1)


def test_nothing_is_an_empty_list() -> None:
    assert listed([], "or") == ""
