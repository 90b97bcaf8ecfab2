"""Editing: one change, verified and tried again, and every other pixel as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limner.edit import EditOptions, EditResult, edit
from limner.image.paste import box_mask, dilate
from limner.instruction import parse_instruction
from limner.protocols import EditModels, EditRequest, Hands, Mask
from limner.types import BadInput, Box, Picture
from limner.verify import check_edit
from limner.wearing import colour_called, worn_share
from tests.painter import COLOURS
from tests.retoucher import EYES, GROUNDS, Filler, Retoucher, found_in, grainy, ground_of, is_colour, models, show
from tests.test_look import finish

PICTURE = show(("red circle", (28, 6, 40, 18)), ("blue square", (4, 30, 16, 42)))
SEED = 7
EVERY_SEED = range(SEED, SEED + 20)


def edited(picture: Picture, instruction: str, with_models: EditModels | None = None, **options: Any) -> EditResult:
    given: dict[str, Any] = {"seed": SEED} | options
    asked = EditOptions(parse_instruction(instruction), **given)
    return finish(edit(with_models or models(), picture, asked))[1]


def labels(picture: Picture) -> set[str]:
    return {region.label for region in found_in(picture)}


def same_outside(before: Picture, after: Picture, mask: Mask) -> bool:
    return np.array_equal(before.pixels[~mask], after.pixels[~mask])


LOCAL = {
    "make the red circle green": {"green circle", "blue square"},
    "make the circle blue": {"blue circle", "blue square"},
    "replace the red circle with a green triangle": {"green triangle", "blue square"},
    "remove the red circle": {"blue square"},
    "add a green square left of the red circle": {"red circle", "blue square", "green square"},
    "add a green triangle": {"red circle", "blue square", "green triangle"},
}


@pytest.mark.parametrize(("instruction", "there"), LOCAL.items())
def test_what_was_said_is_done_and_nothing_else(instruction: str, there: set[str]) -> None:
    result = edited(PICTURE, instruction)
    assert result.best.passed
    assert labels(result.best.picture) == there
    assert same_outside(PICTURE, result.best.picture, result.mask)
    assert result.best.drift == 0
    assert 0 < result.best.changed <= result.mask.mean() < 0.3
    assert result.warnings == ()


def test_the_editor_disturbs_everything_so_that_only_pasting_back_keeps_it() -> None:
    [raw] = models().hands.editor.edit([EditRequest(PICTURE, "make the red circle green", SEED, 3, 5.0, 1.5)])
    assert float((raw.pixels != PICTURE.pixels).any(axis=2).mean()) > 0.8


def test_an_edit_that_succeeds_is_the_only_one() -> None:
    events, result = finish(edit(models(), PICTURE, EditOptions(parse_instruction("remove the red circle"), seed=SEED)))
    [attempt] = result.attempts
    assert result.best is attempt
    assert (attempt.method, attempt.seed, attempt.steps) == ("instruct", SEED, 3)
    assert (attempt.text_guidance, attempt.image_guidance) == (5.0, 1.5)
    assert [(event.kind, event.done, event.total) for event in events] == [("attempt", 0, 4)]


def test_an_editor_that_fails_is_followed_by_a_fill() -> None:
    result = edited(PICTURE, "add a green triangle", models(Retoucher(deaf=EVERY_SEED)))
    assert [(a.method, a.seed, a.passed) for a in result.attempts] == [("instruct", 7, False), ("fill", 8, True)]
    assert labels(result.best.picture) == {"red circle", "blue square", "green triangle"}
    assert same_outside(PICTURE, result.best.picture, result.mask)
    # A fill has one guidance, the inpainter's; with s_I = 1 that is what Eq. 3 says.
    assert (result.best.text_guidance, result.best.image_guidance, result.best.steps) == (4.0, 1.0, 2)


def test_an_editor_that_fails_is_tried_with_other_seeds_and_scales() -> None:
    hands = models(Retoucher(deaf=[7], least_guidance=6.0), Filler(deaf=EVERY_SEED))
    result = edited(PICTURE, "add a green triangle", hands)
    assert [a.method for a in result.attempts] == ["instruct", "fill", "instruct"]
    assert [a.seed for a in result.attempts] == [7, 8, 9]
    assert result.best is result.attempts[-1]
    assert result.best.passed
    assert result.best.text_guidance == 5.0 * 1.6
    assert result.best.image_guidance == pytest.approx(1.5 * 0.9)


def test_what_is_added_stands_where_the_editor_put_it() -> None:
    result = edited(PICTURE, "add a green triangle")
    assert [a.method for a in result.attempts] == ["instruct"]
    new = is_colour(result.best.picture.pixels, COLOURS["green"])
    assert np.array_equal(result.mask, dilate(new, 1))
    assert same_outside(PICTURE, result.best.picture, result.mask)


@pytest.mark.parametrize(("box", "passed"), [((2, 14, 14, 26), True), ((34, 14, 46, 26), False)])
def test_what_is_added_must_stand_on_the_side_that_was_said(box: Box, passed: bool) -> None:
    after, everywhere = show(("red circle", (18, 14, 30, 26)), ("green square", box)), np.ones((48, 48), np.bool_)
    change = parse_instruction("add a green square left of the red circle")
    checks = check_edit(models(), PICTURE, after, change, everywhere)
    assert checks["green square is there"].passed
    assert checks["it is left of the red circle"].passed is passed
    assert len(check_edit(models(), PICTURE, after, replace(change, place="left of the house"), everywhere)) == 1


def test_what_was_drawn_again_around_a_replacement_is_not_taken() -> None:
    result = edited(PICTURE, "replace the red circle with a green triangle")
    came, went = is_colour(result.best.picture.pixels, COLOURS["green"]), is_colour(PICTURE.pixels, COLOURS["red"])
    assert np.array_equal(result.mask, dilate(came | went, 1) & dilate(box_mask((28, 6, 40, 18), 48, 48), 1))
    assert result.mask.sum() < 14 * 14
    given = edited(PICTURE, "replace the red circle with a green triangle", mask=box_mask((26, 4, 42, 20), 48, 48))
    assert given.mask.sum() == 16 * 16


def test_a_replacement_is_filled_in_before_the_editor_is_asked() -> None:
    result = edited(PICTURE, "replace the red circle with a green triangle", models())
    assert [a.method for a in result.attempts] == ["fill"]
    deaf = models(inpainter=Filler(deaf=EVERY_SEED))
    after = edited(PICTURE, "replace the red circle with a green triangle", deaf)
    assert [a.method for a in after.attempts] == ["fill", "instruct"]
    assert after.best.passed


def test_a_new_colour_that_the_editor_does_not_bring_is_a_tint() -> None:
    result = edited(PICTURE, "make the red circle green", models(Retoucher(deaf=EVERY_SEED)))
    assert [a.method for a in result.attempts] == ["instruct", "tint"]
    assert result.best.passed
    assert (result.best.steps, result.best.text_guidance, result.best.image_guidance) == (0, 1.0, 1.0)
    assert labels(result.best.picture) == {"green circle", "blue square"}
    assert same_outside(PICTURE, result.best.picture, result.mask)


def test_what_gets_a_named_colour_keeps_its_shape_and_is_never_filled_in() -> None:
    filler, nothing = Filler(), box_mask((2, 2, 12, 12), 48, 48)
    result = edited(show(), "make the circle green", models(Retoucher(deaf=EVERY_SEED), filler), mask=nothing)
    assert [a.method for a in result.attempts] == ["instruct", "tint", "instruct", "instruct"]
    assert [a.text_guidance for a in result.attempts] == [5.0, 1.0, 5.0 * 1.6, 5.0]
    assert not filler.asked


def test_a_colour_without_a_name_is_no_tint() -> None:
    hands = models(Retoucher(deaf=EVERY_SEED), Filler(deaf=EVERY_SEED))
    result = edited(PICTURE, "make the red circle golden", hands, mask=box_mask((28, 6, 40, 18), 48, 48))
    assert [a.method for a in result.attempts] == ["instruct", "fill", "instruct", "fill"]


@pytest.mark.parametrize(("picture", "all_of_it"), [(PICTURE, False), (show(ground=(140, 140, 140)), True)])
def test_a_tint_takes_what_stands_in_a_given_mask_or_else_all_of_it(picture: Picture, all_of_it: bool) -> None:
    mask = box_mask((26, 4, 42, 20), 48, 48)
    result = edited(picture, "make the circle green", models(Retoucher(deaf=EVERY_SEED)), mask=mask)
    tinted = next(a for a in result.attempts if a.method == "tint").picture.pixels
    thing = mask if all_of_it else (picture.pixels[..., 1] < 100) & mask
    inner = thing & ~dilate(~mask, 1)
    assert (tinted[inner] != picture.pixels[inner]).any(axis=1).all()
    assert np.array_equal(tinted[~thing], picture.pixels[~thing])


@pytest.mark.parametrize(("shade", "red"), [("crimson", True), ("dark red", True), ("dark green", False)])
def test_shades_are_measured_too(shade: str, red: bool) -> None:
    change, everywhere = parse_instruction(f"make the circle {shade}"), np.ones((48, 48), np.bool_)
    [check] = check_edit(models(), PICTURE, PICTURE, change, everywhere).values()
    assert check.passed is red


def test_the_colour_of_what_a_mask_marks_is_that_of_what_stands_in_it() -> None:
    [check] = check_edit(
        models(), PICTURE, PICTURE, parse_instruction("make it red"), box_mask((20, 0, 48, 26), 48, 48)
    ).values()
    assert (check.value, check.passed) == (1.0, True)


def test_the_thing_of_the_colour_that_was_said_is_changed() -> None:
    several = show(("red circle", (4, 4, 16, 16)), ("blue circle", (28, 28, 46, 46)))
    result = edited(several, "make the blue circle green")
    assert labels(result.best.picture) == {"red circle", "green circle"}


def test_a_removal_is_filled_with_what_is_around() -> None:
    filler = Filler()
    result = edited(PICTURE, "remove the red circle", models(Retoucher(deaf=EVERY_SEED), filler))
    assert result.best.method == "fill"
    assert labels(result.best.picture) == {"blue square"}
    [asked] = filler.asked
    assert asked.prompt == "a blue square"
    assert (asked.picture.width, asked.picture.height) == (48, 48)
    assert asked.strength == 1


def test_what_comes_new_is_filled_in_from_close_by() -> None:
    night = show(("red circle", (28, 6, 40, 18)), ("blue square", (4, 30, 16, 42)), ground=GROUNDS["night"])
    filler = Filler()
    result = edited(night, "replace the red circle with a green triangle", models(Retoucher(deaf=EVERY_SEED), filler))
    assert labels(result.best.picture) == {"green triangle", "blue square"}
    [asked] = filler.asked
    assert asked.prompt == "a green triangle in the night"
    assert asked.mask.mean() > 0.4  # of what the model sees; of the picture it is a tenth
    assert same_outside(night, result.best.picture, result.mask)


def test_a_thing_that_only_changes_its_colour_shines_through() -> None:
    filler = Filler()
    edited(PICTURE, "make the red circle golden", models(Retoucher(deaf=EVERY_SEED), filler))
    assert filler.asked[0].prompt == "a golden circle"
    assert 0.5 < filler.asked[0].strength < 1


def test_a_whole_picture_that_fails_is_edited_with_another_seed() -> None:
    filler = Filler()
    result = edited(PICTURE, "make it night", models(Retoucher(deaf=[SEED]), filler))
    assert [(a.method, a.seed, a.passed) for a in result.attempts] == [("instruct", 7, False), ("instruct", 8, True)]
    assert result.best.text_guidance == result.attempts[0].text_guidance
    assert filler.asked == []


def test_what_loses_all_things_has_not_passed() -> None:
    result = edited(PICTURE, "make it night", models(Retoucher(careless=True)), attempts=2)
    assert not result.best.passed
    assert result.best.kept < 0.5


def test_a_new_background_fades_into_the_outermost_pixel_of_things_and_leaves_all_else_of_them() -> None:
    result = edited(PICTURE, "put everything in the desert")
    assert result.best.passed
    assert ground_of(result.best.picture) == "desert"
    assert same_outside(PICTURE, result.best.picture, result.mask)
    things = EYES.segmenter.segment(PICTURE, [region.box for region in found_in(PICTURE)])
    for thing in things:
        assert np.array_equal(thing & ~result.mask, ~dilate(~thing, 1))
    [painted] = models().hands.editor.edit([EditRequest(PICTURE, "put everything in the desert", SEED, 3, 5.0, 1.5)])
    ground = ~np.logical_or.reduce(things)
    assert np.array_equal(result.best.picture.pixels[ground], painted.pixels[ground])  # no rim of the old one


def test_a_background_with_nothing_before_it_may_change_all_over() -> None:
    assert edited(show(), "make the background a desert").mask.all()


def test_when_nothing_passes_the_best_is_returned_with_a_plain_warning() -> None:
    nothing = models(Retoucher(deaf=EVERY_SEED), Filler(deaf=EVERY_SEED))
    result = edited(PICTURE, "replace the red circle with a green triangle", nothing, attempts=3)
    assert len(result.attempts) == 3
    assert not result.best.passed
    assert result.best in result.attempts
    assert result.warnings == ("no attempt of 3 did all that was asked; this is the nearest",)
    assert same_outside(PICTURE, result.best.picture, result.mask)


def test_the_best_of_failures_is_the_one_that_did_most() -> None:
    class Eraser(Filler):
        """An inpainter that empties the mask whatever it is asked for."""

        def fill(self, requests: Any, **_: Any) -> list[Picture]:
            return super().fill([replace(request, prompt="") for request in requests])

    hands = Hands(Retoucher(deaf=EVERY_SEED), Eraser())
    result = edited(PICTURE, "replace the red circle with a green triangle", replace(models(), hands=hands))
    assert not result.best.passed
    assert result.best.method == "fill"  # at least the red circle is gone
    assert result.best.checks["red circle is gone"].passed


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_attempts_are_bounded(attempts: int) -> None:
    deaf = models(Retoucher(deaf=EVERY_SEED), Filler(deaf=EVERY_SEED))
    assert len(edited(PICTURE, "remove the red circle", deaf, attempts=attempts).attempts) == attempts


def test_an_unchanged_picture_has_not_passed() -> None:
    there = edited(PICTURE, "make the red circle red", models(Retoucher(deaf=EVERY_SEED, noise=0)), attempts=1)
    assert all(check.passed for check in there.best.checks.values())
    assert there.best.changed == 0
    assert not there.best.passed


EIGHT = (
    "make the red circle green",
    "replace the blue square with a red triangle",
    "add a blue circle left of the green circle",
    "make the red triangle blue",
    "remove the green circle",
    "make the blue triangle green",
    "replace the blue circle with a red square",
    "make the red square blue",
)


def test_eight_edits_in_a_row_leave_what_was_never_touched_bit_equal() -> None:
    first = picture = grainy(show(("red circle", (50, 8, 74, 32)), ("blue square", (8, 60, 30, 82)), size=(96, 96)))
    touched = np.zeros((96, 96), np.bool_)
    for number, instruction in enumerate(EIGHT):
        result = edited(picture, instruction, seed=number)
        assert result.best.passed, instruction
        assert result.best.drift == 0
        touched |= result.mask
        picture = result.best.picture
    assert labels(picture) == {"blue square", "green triangle"}
    assert 0.1 < touched.mean() < 0.6
    assert same_outside(first, picture, touched)


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones() -> None:
    one, same, other = (edited(PICTURE, "make the red circle green", seed=seed) for seed in (3, 3, 4))
    assert one.best.picture.sha256 == same.best.picture.sha256
    assert one.best.picture.sha256 != other.best.picture.sha256


def test_without_a_seed_one_is_drawn_and_told() -> None:
    result = edited(PICTURE, "make the red circle green", seed=None)
    again = edited(PICTURE, "make the red circle green", seed=result.best.seed)
    assert result.best.picture.sha256 == again.best.picture.sha256


def test_scales_and_steps_are_the_users() -> None:
    result = edited(PICTURE, "remove the red circle", steps=9, text_guidance=4.5, image_guidance=1.25)
    [attempt] = result.attempts
    assert (attempt.steps, attempt.text_guidance, attempt.image_guidance) == (9, 4.5, 1.25)


def large() -> Picture:
    shown = (("red circle", (1200.0, 300.0, 1500.0, 600.0)), ("blue square", (200.0, 800.0, 500.0, 1100.0)))
    return grainy(show(*shown, size=(2000, 1400)))


@pytest.mark.parametrize(
    ("instruction", "there"),
    [
        ("make the red circle green", {"green circle", "blue square"}),
        ("remove the blue square", {"red circle"}),
        ("replace the red circle with a green square", {"green square", "blue square"}),
    ],
)
def test_a_large_picture_is_edited_in_a_crop_and_kept_at_full_resolution(instruction: str, there: set[str]) -> None:
    seen: list[EditRequest] = []

    class Watched(Retoucher):
        def edit(self, requests: Any, **_: Any) -> list[Picture]:
            seen.extend(requests)
            return super().edit(requests)

    before = large()
    result = edited(before, instruction, models(Watched(), Filler(deaf=EVERY_SEED)))
    [request] = seen
    assert (request.picture.width, request.picture.height) == (48, 48)
    after = result.best.picture
    assert (after.width, after.height) == (2000, 1400)
    assert result.best.passed
    assert labels(after) == there
    assert same_outside(before, after, result.mask)
    assert result.mask.mean() < 0.1


def test_a_change_of_all_of_a_large_picture_is_seen_whole() -> None:
    result = edited(large(), "make it night")
    assert result.best.passed
    assert (result.best.picture.width, result.best.picture.height) == (2000, 1400)


@pytest.mark.parametrize("size", [(50, 37), (33, 64), (121, 40), (17, 17)])
def test_pictures_of_any_size_keep_it(size: tuple[int, int]) -> None:
    picture = show(("red square", (2, 2, 14, 14)), size=size)
    result = edited(picture, "make the red square blue")
    assert (result.best.picture.width, result.best.picture.height) == size
    assert labels(result.best.picture) == {"blue square"}
    assert same_outside(picture, result.best.picture, result.mask)


def test_a_given_mask_says_where() -> None:
    two = show(("red square", (4, 4, 20, 20)), ("red square", (28, 28, 44, 44)))
    mask = box_mask((26, 26, 46, 46), 48, 48)
    result = edited(two, "make the square blue", models(Retoucher(deaf=EVERY_SEED)), mask=mask)
    assert result.mask is mask
    boxes = {region.label: region.box for region in found_in(result.best.picture)}
    assert boxes["red square"] == (4, 4, 20, 20)
    assert boxes["blue square"] == pytest.approx((28, 28, 44, 44), abs=2)


def test_a_given_mask_bounds_a_change_of_the_whole_picture_too() -> None:
    mask = box_mask((0, 0, 48, 36), 48, 48)
    result = edited(PICTURE, "make it night", mask=mask)
    assert result.best.passed
    assert same_outside(PICTURE, result.best.picture, mask)
    inner = ~dilate(~mask, 2)
    assert np.abs(result.best.picture.pixels[inner][0].astype(int) - GROUNDS["night"]).max() < 8


@pytest.mark.parametrize("shape", [(48, 47), (24, 24), (1400, 2000)])
def test_a_mask_of_another_size_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="the mask is"):
        edited(PICTURE, "make the red circle green", mask=np.ones(shape, np.bool_))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        edited(PICTURE, "make the red circle green", mask=np.zeros((48, 48), np.bool_))


def test_it_is_found_before_it_is_changed() -> None:
    one = show(("red circle", (28, 6, 40, 18)))
    result = edited(one, "make it blue", models(Retoucher(deaf=EVERY_SEED)))
    assert result.best.passed
    assert labels(result.best.picture) == {"blue circle"}
    assert result.change.target == "red circle"


def test_what_is_not_there_is_not_changed() -> None:
    with pytest.raises(BadInput, match="no green dragon was found"):
        edited(PICTURE, "remove the green dragon")


@pytest.mark.parametrize(
    ("instruction", "ground"),
    [("make it night", "night"), ("change the background to a desert", "desert"), ("make it sunset", "sunset")],
)
def test_the_whole_picture_may_change_and_keeps_its_things(instruction: str, ground: str) -> None:
    result = edited(PICTURE, instruction)
    assert result.best.passed
    assert result.best.checks["the rest is kept"].value == 1
    assert result.mask.mean() > 0.8
    assert labels(result.best.picture) == labels(PICTURE)
    assert np.abs(np.median(result.best.picture.pixels, axis=(0, 1)) - GROUNDS[ground]).max() <= 2


def test_a_change_of_the_whole_picture_that_loses_its_things_does_not_pass() -> None:
    result = edited(PICTURE, "make it night", models(Retoucher(careless=True), Filler(deaf=EVERY_SEED)))
    assert result.best.checks["night"].passed
    assert not result.best.checks["the rest is kept"].passed
    assert not result.best.passed
    assert result.warnings


@pytest.mark.parametrize(
    "bad",
    [
        {"attempts": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"text_guidance": 1.0},
        {"text_guidance": float("nan")},
        {"text_guidance": float("inf")},
        {"image_guidance": 0.5},
        {"image_guidance": float("nan")},
    ],
)
def test_options_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        EditOptions(parse_instruction("make it night"), **bad)


def test_a_photograph_by_night_is_as_sharp_as_by_day() -> None:
    small = show(("red circle", (28, 6, 40, 18)), ("blue square", (4, 30, 16, 42)), ground=GROUNDS["desert"])
    large = Picture(small.pixels.repeat(8, axis=0).repeat(8, axis=1))
    result = edited(large, "make it night", attempts=1)
    assert result.best.passed
    row = result.best.picture.pixels[288, 96:160].astype(int)  # over the right edge of the square
    steps = np.abs(np.diff(row, axis=0)).sum(axis=1)
    assert steps.argmax() == 128 - 96 - 1
    assert steps.max() > 0.6 * np.abs(row[0] - row[-1]).sum()  # one step; enlarged by eight it would be many


@pytest.mark.parametrize("instruction", ["make it night", "make it look like a sunset"])
def test_in_another_light_things_keep_their_colours(instruction: str) -> None:
    result = edited(PICTURE, instruction, models(Retoucher(colourblind=True)), attempts=1)
    for name, box in (("red circle", (31, 9, 37, 15)), ("blue square", (6, 32, 14, 40))):  # all but their rims
        thing, colour = box_mask(box, 48, 48), colour_called(name.split()[0])
        assert colour
        assert [worn_share(each, thing, colour) for each in (PICTURE, result.best.picture)] == [1.0, 1.0]


def test_a_thing_s_outermost_pixels_fade_into_its_new_surroundings() -> None:
    result = edited(PICTURE, "make it night", models(Retoucher(colourblind=True, noise=0)), attempts=1)
    row = result.best.picture.pixels[36].astype(int)
    rim, inside = row[4], row[5:15]  # of the blue square, which the editor has made red
    assert np.abs(inside - inside[0]).max() <= 2
    assert rim[0] - inside[0, 0] > 60
