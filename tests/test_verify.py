"""Judging edits: what must be there, what must be gone, and what must be kept."""

from __future__ import annotations

import numpy as np
import pytest

from limner.image.paste import box_mask
from limner.instruction import parse_instruction
from limner.protocols import Mask
from limner.types import Box, Change, Picture
from limner.verify import Check, check_edit, directional_similarity, kept_share, wanted_thing
from tests.retoucher import GROUNDS, models, show

LEFT: Box = (4, 16, 20, 32)
RIGHT: Box = (28, 16, 44, 32)
BEFORE = show(("red circle", LEFT), ("blue square", RIGHT))
ROOM = box_mask((2, 14, 22, 34), 48, 48)
EVERYWHERE: Mask = np.ones((48, 48), np.bool_)


def checked(instruction: str, after: Picture, mask: Mask = ROOM, before: Picture = BEFORE) -> dict[str, bool]:
    checks = check_edit(models(), before, after, parse_instruction(instruction), mask)
    assert all(isinstance(check, Check) for check in checks.values())
    return {name: check.passed for name, check in checks.items()}


def test_a_recoloured_thing_must_have_its_colour() -> None:
    done = show(("green circle", LEFT), ("blue square", RIGHT))
    said = "make the red circle green"
    assert checked(said, done) == {"green circle is there": True}
    assert checked(said, BEFORE) == {"green circle is there": False}


def test_a_thing_named_without_its_colour_need_not_go() -> None:
    done = show(("green circle", LEFT), ("blue square", RIGHT))
    assert checked("make the circle green", done) == {"green circle is there": True}


def test_only_the_region_counts() -> None:
    said = "make the red circle blue"
    elsewhere = show(("blue circle", RIGHT))
    assert checked(said, elsewhere) == {"blue circle is there": False}
    twin = show(("blue circle", LEFT), ("red circle", RIGHT))
    assert checked(said, twin) == {"blue circle is there": True}


def test_a_replaced_thing_must_be_there_and_the_old_one_gone() -> None:
    said = "replace the red circle with a green triangle"
    names = ("green triangle is there", "red circle is gone")
    assert tuple(checked(said, show(("green triangle", LEFT))).values()) == (True, True)
    assert tuple(checked(said, show()).values()) == (False, True)
    assert tuple(checked(said, BEFORE)) == names


def test_a_name_that_is_part_of_another_word_must_be_gone_all_the_same() -> None:
    change = Change("replace", "", "cat", "caterpillar")
    assert set(check_edit(models(), BEFORE, BEFORE, change, ROOM)) == {"caterpillar is there", "cat is gone"}


def test_what_is_removed_must_be_gone_and_nothing_else_is_asked() -> None:
    assert checked("remove the red circle", show(("blue square", RIGHT))) == {"red circle is gone": True}
    assert checked("remove the red circle", BEFORE) == {"red circle is gone": False}


def test_what_is_added_must_be_there() -> None:
    free = box_mask((2, 34, 20, 48), 48, 48)
    done = show(("red circle", LEFT), ("green square", (6, 36, 16, 46)))
    assert checked("add a green square", done, free) == {"green square is there": True}
    assert checked("add a green square", BEFORE, free) == {"green square is there": False}


def test_a_check_says_how_sure_the_detector_is() -> None:
    check = check_edit(models(), BEFORE, BEFORE, parse_instruction("add a red circle"), ROOM)["red circle is there"]
    assert check == Check(0.95, True)


def at(ground: str, *things: tuple[str, Box]) -> Picture:
    return show(*things, ground=GROUNDS[ground])


THINGS = (("red circle", LEFT), ("blue square", RIGHT))


@pytest.mark.parametrize(
    ("said", "ground", "checks"),
    [
        ("make it night", "night", {"night": True, "the rest is kept": True}),
        ("make it night", "sunset", {"night": False, "the rest is kept": True}),
        ("change the background to a desert", "desert", {"desert": True, "the rest is kept": True}),
        ("make it day", "white", {"no sunset": True, "no night": True, "the rest is kept": True}),
        ("make it day", "night", {"no sunset": True, "no night": False, "the rest is kept": True}),
    ],
)
def test_the_whole_picture_must_become_what_was_said(said: str, ground: str, checks: dict[str, bool]) -> None:
    assert checked(said, at(ground, *THINGS), EVERYWHERE) == checks


@pytest.mark.parametrize(
    ("left", "share"), [((), 0.0), ((("red circle", LEFT),), 0.5), ((("red circle", RIGHT),), 0.0), (THINGS, 1.0)]
)
def test_things_must_stay_where_they_stood(left: tuple[tuple[str, Box], ...], share: float) -> None:
    after = at("night", *left)
    assert kept_share(models(), BEFORE, after) == share
    assert checked("make it night", after, EVERYWHERE)["the rest is kept"] == (share >= 0.5)


def test_in_a_picture_of_nothing_all_is_kept() -> None:
    assert kept_share(models(), show(), at("night")) == 1


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (Change("recolour", "", "red car", "blue"), "blue car"),
        (Change("recolour", "", "red car next to the house", "blue"), "blue car"),
        (Change("recolour", "", "", "blue"), "blue"),
        (Change("replace", "", "red car", "dog"), "dog"),
        (Change("add", "", "", "dog", "left of the car"), "dog"),
        (Change("remove", "", "dog"), ""),
    ],
)
def test_what_must_be_found_afterwards(change: Change, wanted: str) -> None:
    assert wanted_thing(change) == wanted


def test_a_change_in_the_direction_that_was_said_is_similar() -> None:
    change = parse_instruction("make the red circle green")
    done = show(("green circle", LEFT), ("blue square", RIGHT))
    wrong = show(("red circle", LEFT), ("green square", RIGHT))
    right, astray = (directional_similarity(models(), BEFORE, after, change) for after in (done, wrong))
    assert right is not None
    assert astray is not None
    assert right > 0.5 > astray


def test_what_is_added_moves_towards_caption_and_thing() -> None:
    change = parse_instruction("add a green triangle")
    done = show(*THINGS, ("green triangle", (18, 34, 30, 46)))
    similar = directional_similarity(models(), BEFORE, done, change)
    assert similar is not None
    assert similar > 0.4


def test_nothing_is_similar_to_no_change() -> None:
    assert directional_similarity(models(), BEFORE, BEFORE, parse_instruction("make it night")) is None
    assert directional_similarity(models(), BEFORE, show(), parse_instruction("remove the red circle")) is None


def test_a_place_is_no_part_of_what_must_be_found() -> None:
    green = show(("green circle", LEFT), ("red circle", RIGHT))
    assert checked("make the left red circle green", green) == {"green circle is there": True}
    assert checked("remove the left circle", show(("red circle", RIGHT))) == {"circle is gone": True}
    assert checked("remove the left circle", BEFORE) == {"circle is gone": False}
    assert wanted_thing(parse_instruction("paint the left circle green")) == "green circle"


def test_a_place_is_no_part_of_the_direction_either() -> None:
    done = show(("green circle", LEFT), ("blue square", RIGHT))
    said = ("make the red circle green", "make the left red circle green")
    first, second = (directional_similarity(models(), BEFORE, done, parse_instruction(each)) for each in said)
    assert first is not None
    assert first == second
