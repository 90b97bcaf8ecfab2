"""Where an edit happens: the masks of what is there and of what comes new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from limner.image.paste import box_mask, dilate
from limner.instruction import parse_instruction
from limner.protocols import Mask
from limner.regions import (
    area,
    checked_mask,
    describe_around,
    find_background,
    find_mask,
    find_thing,
    find_things,
    lies_in,
    mask_box,
    name_target,
    overlap,
    parse_box,
)
from limner.types import BadInput, Change, Picture, Region
from tests.retoucher import EYES, GROUNDS, ShapeDetector, show

CIRCLE, SQUARE = (28.0, 6.0, 40.0, 18.0), (4.0, 30.0, 16.0, 42.0)
PICTURE = show(("red circle", CIRCLE), ("blue square", SQUARE))


def found(picture: Picture, instruction: str) -> Mask:
    return find_mask(EYES, picture, parse_instruction(instruction))


def test_a_recoloured_thing_keeps_its_outline_and_a_little_room() -> None:
    outline = (PICTURE.pixels == (220, 30, 30)).all(axis=2)
    np.testing.assert_array_equal(found(PICTURE, "make the red circle blue"), dilate(outline, 1))
    np.testing.assert_array_equal(found(PICTURE, "remove the red circle"), dilate(outline, 1))


def test_a_replaced_thing_gives_its_whole_box() -> None:
    mask = found(PICTURE, "replace the red circle with a green square")
    np.testing.assert_array_equal(mask, dilate(box_mask(CIRCLE, 48, 48), 1))


def test_room_grows_with_the_picture() -> None:
    large = show(("red circle", (280, 60, 400, 180)), size=(480, 480))
    assert mask_box(found(large, "replace the red circle with a green square")) == (266, 46, 414, 194)


@pytest.mark.parametrize(
    ("place", "axis", "sign"),
    [("left of", 0, -1), ("to the right of", 0, 1), ("next to", 0, 1), ("above", 1, -1), ("below", 1, 1)],
)
def test_what_is_added_lies_on_the_side_that_is_named(place: str, axis: int, sign: int) -> None:
    middle = show(("red circle", (18, 18, 30, 30)), ("blue square", (2, 2, 10, 10)))
    mask = found(middle, f"add a green square {place} the red circle")
    box = mask_box(mask)
    centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    assert sign * (centre[axis] - 24) >= 10
    assert centre[1 - axis] == 24
    assert overlap(box, (18, 18, 30, 30)) == 0
    assert mask.sum() == 12 * 12


def test_before_a_thing_is_over_its_lower_part() -> None:
    middle = show(("red circle", (18, 18, 30, 30)))
    box = mask_box(found(middle, "add a green square in front of the red circle"))
    assert 0 < overlap(box, (18, 18, 30, 30)) < area(box)
    assert (box[1] + box[3]) / 2 > 24


@pytest.mark.parametrize("where", ["left of", "right of", "above", "below"])
@pytest.mark.parametrize("size", [(48, 48), (50, 37), (31, 97), (200, 50)])
def test_what_has_no_room_there_is_moved_into_the_picture(where: str, size: tuple[int, int]) -> None:
    tight = show(("red square", (0, 0, size[0], size[1])), size=size)
    box = mask_box(found(tight, f"add a green square {where} the red square"))
    assert 0 <= box[0] < box[2] <= size[0]
    assert 0 <= box[1] < box[3] <= size[1]


@pytest.mark.parametrize(
    ("place", "corner"),
    [
        ("on the left", (0, 12)),
        ("on the right side", (24, 12)),
        ("in the top left corner", (0, 0)),
        ("at the bottom", (12, 24)),
        ("in the sky", (12, 0)),
        ("in the middle", (12, 12)),
    ],
)
def test_a_place_may_be_one_of_the_picture(place: str, corner: tuple[int, int]) -> None:
    change = Change("add", "", "", "green square", place)
    assert mask_box(find_mask(EYES, PICTURE, change)) == (*corner, corner[0] + 24, corner[1] + 24)


def test_without_a_place_what_is_there_is_avoided() -> None:
    box = mask_box(found(PICTURE, "add a green triangle"))
    assert overlap(box, CIRCLE) == 0
    assert overlap(box, SQUARE) == 0


@pytest.mark.parametrize("width", [33, 47, 48, 61, 100, 127, 333])
def test_in_a_picture_of_nothing_there_is_room_whatever_its_size(width: int) -> None:
    assert found(show(size=(width, 40)), "add a green triangle").any()


@pytest.mark.parametrize(
    "instruction",
    ["remove the dragon", "make the dragon red", "replace the dragon by a cat", "add a cat left of the dragon"],
)
def test_what_is_not_there_is_named(instruction: str) -> None:
    with pytest.raises(BadInput, match="no dragon was found") as told:
        found(PICTURE, instruction)
    assert "a red circle and a blue square" in str(told.value)
    assert "--box" in told.value.hint


def test_a_thing_is_found_by_its_noun_when_its_colour_is_not_seen() -> None:
    assert find_thing(EYES, PICTURE, "crimson circle").box == CIRCLE
    assert find_thing(EYES, PICTURE, "circle left of the house").box == CIRCLE


def test_the_thing_of_that_colour_comes_before_a_larger_one_of_another() -> None:
    picture = show(("red circle", (2, 2, 30, 30)), ("blue circle", (34, 34, 44, 44)))
    assert find_thing(EYES, picture, "blue circle").box == (34, 34, 44, 44)


def test_it_is_what_the_picture_shows() -> None:
    picture = show(("red circle", CIRCLE))
    named = name_target(EYES, picture, parse_instruction("make it blue"), None)
    assert (named.target, named.value, named.instruction) == ("red circle", "blue", "make it blue")
    with pytest.raises(BadInput, match="nothing was found to recolour"):
        name_target(EYES, show(), parse_instruction("make it blue"), None)


def test_it_is_what_lies_in_the_given_mask() -> None:
    change = parse_instruction("make it green")
    assert name_target(EYES, PICTURE, change, box_mask(CIRCLE, 48, 48)).target == "red circle"
    assert name_target(EYES, PICTURE, change, box_mask(SQUARE, 48, 48)).target == "blue square"
    assert name_target(EYES, PICTURE, change, box_mask((20, 20, 30, 30), 48, 48)) == change


def test_whoever_names_the_thing_means_that() -> None:
    change = parse_instruction("make the circle green")
    assert name_target(EYES, PICTURE, change, None) is change


def test_boxes_are_read() -> None:
    assert parse_box("10, 20,60.5,90") == (10, 20, 60.5, 90)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4"])
def test_other_than_four_numbers_are_no_box(text: str) -> None:
    with pytest.raises(BadInput, match="box"):
        parse_box(text)


def test_masks_must_fit_and_mark_something() -> None:
    mask = box_mask(CIRCLE, 48, 48)
    assert checked_mask(mask, PICTURE) is mask
    with pytest.raises(BadInput, match="the mask is 48x24, the picture 48x48"):
        checked_mask(mask[:24], PICTURE)
    with pytest.raises(BadInput, match="empty"):
        checked_mask(np.zeros((48, 48), np.bool_), PICTURE)


def test_boxes_around_and_in_others() -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[2:4, 1:7] = True
    assert mask_box(mask) == (1, 2, 7, 4)
    assert area((1, 2, 7, 4)) == 12
    assert overlap((0, 0, 4, 4), (2, 3, 9, 9)) == 2
    assert overlap((0, 0, 4, 4), (5, 0, 9, 4)) == 0
    assert lies_in((0, 0, 4, 4), (2, 0, 8, 8))
    assert not lies_in((0, 0, 4, 4), (3, 0, 8, 8))
    assert not lies_in((2, 2, 2, 2), (0, 0, 8, 8))


def test_the_background_is_what_no_thing_covers() -> None:
    mask = find_background(EYES, PICTURE)
    assert not mask[30:42, 4:16].any()
    assert mask[29, 4]  # no rim of the old background stays around a thing
    assert mask[0].all()
    assert mask[24].all()


def test_what_fills_the_picture_is_no_thing() -> None:
    assert find_background(EYES, show(("blue square", (0, 0, 48, 44)))).all()


def test_what_is_around_a_thing_is_said_without_it() -> None:
    night = show(("red circle", CIRCLE), ("blue square", SQUARE), ground=GROUNDS["night"])
    around = describe_around(EYES, night, ("circle",))
    assert around.others == ("blue square",)
    assert around.place == "in the night"
    assert around.all == "a blue square in the night"
    assert describe_around(EYES, show(), ()).all == "nothing"


TWINS = show(("red circle", (2, 2, 26, 26)), ("red circle", (34, 34, 44, 44)), ("blue circle", (34, 4, 46, 16)))


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("left circle", (2, 2, 26, 26)),
        ("right red circle", (34, 34, 44, 44)),
        ("bottom circle", (34, 34, 44, 44)),
        ("top blue circle", (34, 4, 46, 16)),
        ("right crimson circle", (34, 4, 46, 16)),
        ("red circle", (2, 2, 26, 26)),
    ],
)
def test_of_several_things_the_place_tells_which(name: str, box: tuple[int, ...]) -> None:
    assert find_thing(EYES, TWINS, name).box == box


def test_only_the_thing_in_its_place_is_changed() -> None:
    mask = found(TWINS, "remove the right red circle")
    assert mask[39, 39]
    assert not mask[14, 14]
    with pytest.raises(BadInput, match="no left dragon was found"):
        found(TWINS, "remove the left dragon")


class Silent:
    """A Captioner that sees nothing worth a word."""

    name = "silent"

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        return ["nothing"] * len(pictures)


class Knowing(ShapeDetector):
    """A detector that was made for some nouns."""

    things = frozenset({"triangle", "red triangle", "circle"})


def test_what_the_caption_leaves_out_is_found_by_the_nouns_that_the_detector_knows() -> None:
    picture = show(("red circle", CIRCLE), ("green triangle", (30, 28, 44, 44)))
    silent = replace(EYES, captioner=Silent())
    assert find_things(silent, picture) == []
    knowing = replace(silent, detector=Knowing())
    assert sorted(region.label for region in find_things(knowing, picture)) == ["circle", "triangle"]
    assert not find_background(knowing, picture)[30:42, 36:38].any()


@dataclass
class Unsure(Knowing):
    """One that is not sure of anything."""

    score: float = 0.0

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        least = self.threshold if threshold is None else threshold
        found = super().detect(pictures, queries)
        return [[replace(r, score=self.score) for r in each if self.score >= least] for each in found]


@pytest.mark.parametrize(
    ("score", "told", "found"),
    [
        (0.1, False, True),  # the detector's threshold
        (0.05, False, True),  # unsure, but it looks like nothing else
        (0.03, True, True),  # hardly seen, but the caption tells of it
        (0.03, False, False),
        (0.01, True, False),
    ],
)
def test_what_is_hardly_seen_is_found_where_something_else_speaks_for_it(score: float, told: bool, found: bool) -> None:
    eyes = replace(EYES, detector=Unsure(score=score), captioner=EYES.captioner if told else Silent())
    if found:
        assert find_thing(eyes, PICTURE, "circle").box == CIRCLE
    else:
        with pytest.raises(BadInput, match="no circle was found"):
            find_thing(eyes, PICTURE, "circle")


def test_what_may_be_a_thing_is_no_background() -> None:
    unsure = replace(EYES, detector=Unsure(score=0.05), captioner=Silent())
    assert find_things(unsure, PICTURE) == []
    assert not find_background(unsure, PICTURE)[10:14, 32:36].any()


def test_a_thing_with_two_names_is_found_once() -> None:
    knowing = replace(EYES, detector=Knowing())
    [region] = find_things(knowing, show(("red circle", CIRCLE)))
    assert region.box == CIRCLE
