"""Things moved and resized: they stay themselves, what was behind them is filled, and all else stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from limner.carrying import carried, put_down
from limner.edit import EditOptions, EditResult, edit
from limner.image.paste import box_mask
from limner.instruction import parse_instruction
from limner.protocols import EditModels, Mask
from limner.types import BadInput, Box, Picture
from tests.retoucher import EYES, Filler, Retoucher, found_in, models, show
from tests.test_look import finish

RED, BLUE = (28, 6, 40, 18), (4, 30, 16, 42)
PICTURE = show(("red circle", RED), ("blue square", BLUE))
EVERY_SEED = range(20)


def edited(
    instruction: str, picture: Picture = PICTURE, with_models: EditModels | None = None, mask: Mask | None = None
) -> EditResult:
    options = EditOptions(parse_instruction(instruction), mask, seed=7)
    return finish(edit(with_models or models(), picture, options))[1]


def boxes(picture: Picture) -> dict[str, Box]:
    return {region.label: region.box for region in found_in(picture)}


MOVES = {
    "move the red circle to the left": (2, 6, 14, 18),
    "move the red circle down": (28, 34, 40, 46),
    "move the circle slightly to the right": (35, 6, 47, 18),
    "move the red circle to the bottom right corner": (34, 34, 46, 46),
    "move the red circle above the blue square": (4, 18, 16, 30),
    "move the red circle to the right of the blue square": (16, 30, 28, 42),
}


@pytest.mark.parametrize(("instruction", "box"), MOVES.items())
def test_a_thing_goes_where_it_was_told_to(instruction: str, box: Box) -> None:
    result = edited(instruction)
    assert result.best.passed, result.best.checks
    there = boxes(result.best.picture)
    assert there.keys() == {"red circle", "blue square"}
    assert np.abs(np.subtract(there["red circle"], box)).max() <= 1  # its outermost pixel fades
    assert there["blue square"] == BLUE
    assert result.best.drift == 0
    assert np.array_equal(PICTURE.pixels[~result.mask], result.best.picture.pixels[~result.mask])


@pytest.mark.parametrize(("value", "side"), [("bigger", 17), ("much bigger", 24), ("slightly smaller", 10)])
def test_a_thing_becomes_as_large_as_it_was_told_to(value: str, side: int) -> None:
    result = edited(f"make the blue square {value}")
    assert result.best.passed, result.best.checks
    x0, _, x1, y1 = boxes(result.best.picture)["blue square"]
    assert abs(x1 - x0 - side) <= 2
    assert abs(y1 - BLUE[3]) <= 1  # it stands where it stood
    assert boxes(result.best.picture)["red circle"] == RED
    assert result.best.checks[f"it is {value}"].passed


def test_a_thing_is_the_same_pixels_somewhere_else() -> None:
    grain = np.random.default_rng(0).integers(0, 20, (12, 12, 1), np.uint8)
    pixels = PICTURE.pixels.copy()
    pixels[BLUE[1] : BLUE[3], BLUE[0] : BLUE[2]] -= np.minimum(grain, pixels[BLUE[1] : BLUE[3], BLUE[0] : BLUE[2]])
    picture = Picture(pixels)
    thing = carried(EYES, picture, parse_instruction("move the blue square to the right"))
    after, covered = put_down(picture, show(), thing)
    x0, y0, x1, y1 = thing.goal
    assert np.array_equal(covered, box_mask(thing.goal, 48, 48))
    inner = picture.pixels[BLUE[1] + 1 : BLUE[3] - 1, BLUE[0] + 1 : BLUE[2] - 1]
    assert np.array_equal(after.pixels[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1], inner)
    assert np.array_equal(after.pixels[~covered], show().pixels[~covered])


def test_a_place_that_does_not_empty_is_tried_in_another_way() -> None:
    result = edited("move the red circle to the left", with_models=models(Retoucher(deaf=EVERY_SEED)))
    assert [(a.method, a.passed) for a in result.attempts] == [("instruct", False), ("fill", True)]
    assert not result.attempts[0].checks["it has left its place"].passed


def test_a_side_that_has_no_room_is_not_called_reached() -> None:
    crowded = show(("red circle", (4, 6, 16, 18)), ("blue square", (32, 14, 46, 28)))
    result = edited("move the red circle to the right of the blue square", crowded)
    assert not result.best.passed
    assert result.warnings


def test_what_it_will_hide_is_said() -> None:
    result = edited("move the red circle to the bottom left corner")
    assert result.warnings[0] == "it stands before the blue square now"
    assert edited("move the red circle to the left").warnings == ()


def test_it_is_the_thing_in_the_region_given() -> None:
    twins = show(("red square", (4, 6, 16, 18)), ("red square", (30, 6, 42, 18)))
    result = edited("make it smaller", twins, mask=box_mask((28, 4, 44, 20), 48, 48))
    sizes = sorted(region.box[2] - region.box[0] for region in found_in(result.best.picture))
    assert sizes[-1] == 12
    assert sizes[0] < 11
    assert result.change.target == "red square"


@pytest.mark.parametrize(
    ("instruction", "told"),
    [
        ("move the green triangle to the left", "no green triangle was found"),
        ("move the red circle next to the green triangle", "no green triangle was found"),
        ("move the blue square left", "is there already"),
    ],
)
def test_what_cannot_be_moved_is_said(instruction: str, told: str) -> None:
    picture = show(("red circle", RED), ("blue square", (1, 30, 13, 42)))
    with pytest.raises(BadInput, match=told):
        edited(instruction, picture)


def test_a_filler_alone_moves_things_too() -> None:
    filler = Filler()
    edited("move the red circle to the left", with_models=models(Retoucher(deaf=EVERY_SEED), filler))
    assert all("circle" not in request.prompt for request in filler.asked)
