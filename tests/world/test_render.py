"""Pictures of scenes whose boxes and masks are checked against the pixels themselves."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from limner.types import Picture
from limner.world.backdrop import VARIANTS
from limner.world.render import annotate, render
from limner.world.sample import STAGES, sample_scene
from limner.world.scene import Scene, Thing
from limner.world.vocabulary import BACKGROUNDS, COLOURS, TIMES
from tests.world.small import SHAPES, shape

WHITE = "white background"
BACK, FRONT = shape("square", 0.45, 0.45, 0.5), shape("circle", 0.65, 0.65, 0.4)


def differing(first: Picture, second: Picture) -> npt.NDArray[np.bool_]:
    """Where two pictures differ by more than the faintest trace of a rim."""
    return np.abs(first.pixels.astype(int) - second.pixels).max(axis=2) > 8


def grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask and its neighbours, two pixels wide: where a rim may be antialiased."""
    return np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(5))) > 0


def mask_of(scene: Scene, number: int) -> npt.NDArray[np.bool_]:
    mask = annotate(scene).regions[number].mask
    assert mask is not None
    return mask


@pytest.mark.parametrize("name", SHAPES.concepts)
def test_a_mask_is_where_the_picture_differs_without_the_thing(name: str) -> None:
    scene = Scene((BACK, shape(name, 0.6, 0.6, 0.45, "purple")), "meadow")
    changed, mask = differing(render(scene), render(replace(scene, things=(BACK,)))), mask_of(scene, 1)
    assert not (mask & ~grown(changed)).any()
    assert not (changed & ~grown(mask)).any()


def test_what_stands_behind_is_hidden_by_what_stands_before() -> None:
    apart, together = Scene((BACK,), WHITE), Scene((BACK, FRONT), WHITE)
    behind, before = mask_of(together, 0), mask_of(together, 1)
    assert not (behind & before).any()
    assert 0 < behind.sum() < mask_of(apart, 0).sum()


def test_a_thing_wholly_hidden_has_no_region() -> None:
    hidden = Scene((shape("circle", size=0.1), shape("square", size=0.8)), WHITE)
    assert [region.label for region in annotate(hidden).regions] == ["square"]


def test_a_box_is_tight_around_its_mask_and_labelled() -> None:
    scene = Scene((shape("heart", 0.4, 0.6, colour="red"),), WHITE)
    (region,) = annotate(scene).regions
    x0, y0, x1, y1 = (int(edge) for edge in region.box)
    mask = mask_of(scene, 0)
    assert region.label == "red heart"
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert all(edge.any() for edge in (mask[y0], mask[y1 - 1], mask[:, x0], mask[:, x1 - 1]))


@pytest.mark.parametrize("size", [64, 256, 384])
def test_boxes_scale_with_the_picture(size: int) -> None:
    scene = Scene((BACK, FRONT), "sea")
    small, large = annotate(scene, 128), annotate(scene, size)
    assert (large.picture.width, large.picture.height) == (size, size)
    for before, after in zip(small.regions, large.regions, strict=True):
        assert np.array(after.box) / size == pytest.approx(np.array(before.box) / 128, abs=1.5 / min(size, 128))


@pytest.mark.parametrize("colour", COLOURS)
def test_a_tint_makes_a_thing_the_colour_it_is_called(colour: str) -> None:
    scene = Scene((shape("square", size=0.6, colour=colour),), WHITE)
    seen = np.median(render(scene).pixels[mask_of(scene, 0)], axis=0)
    nearest = min(COLOURS, key=lambda name: float(np.abs(np.array(COLOURS[name]) - seen).sum()))
    assert nearest == colour


def test_an_untinted_shape_is_grey() -> None:
    scene = Scene((shape("square", size=0.6),), WHITE)
    red, green, blue = np.median(render(scene).pixels[mask_of(scene, 0)], axis=0)
    assert red == green == blue


def test_mirrored_is_the_other_way_round() -> None:
    arrow = shape("arrow", size=0.5)
    picture, mirror = (render(Scene((thing,), WHITE)) for thing in (arrow, replace(arrow, mirrored=True)))
    assert differing(picture, mirror).any()
    turned = np.abs(picture.pixels[:, ::-1].astype(int) - mirror.pixels)
    assert turned.max() <= 1  # resizing may round the other way


def test_the_same_scene_gives_the_same_bytes() -> None:
    scene = sample_scene(Random(7), "crowd", SHAPES)
    assert render(scene).sha256 == render(scene).sha256


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_can_be_told_from_every_other(background: str) -> None:
    star = (shape("star", size=0.2),)
    mine = render(Scene(star, background), 64)
    for other in BACKGROUNDS.keys() - {background}:
        assert differing(mine, render(Scene(star, other), 64)).mean() > 0.2


def test_hour_weather_and_variant_change_the_picture() -> None:
    scene = Scene((FRONT,), "snow")
    others = [replace(scene, time=hour) for hour in TIMES if hour != "day"]
    others += [replace(scene, weather=weather) for weather in ("rain", "snowfall", "fog")]
    others += [replace(scene, variant=number) for number in range(1, VARIANTS)]
    pictures = [render(each, 64).sha256 for each in (scene, *others)]
    assert len(set(pictures)) == len(pictures)


def test_things_stand_in_the_light_of_their_hour() -> None:
    day = Scene((shape("square", size=0.6),), "snow")
    light = [render(replace(day, time=hour)).pixels[64, 64].sum() for hour in ("day", "sunset", "night")]
    assert light == sorted(light, reverse=True)
    assert light[0] > light[2]


def test_rendering_keeps_up_with_training() -> None:
    scenes = [sample_scene(Random(seed), STAGES[seed % 4], SHAPES) for seed in range(150)]
    for scene in scenes:  # the first pass fills the caches, as the first minutes of a training do
        render(scene)
    begun = time.process_time()
    for scene in scenes:
        render(scene)
    rate = len(scenes) / (time.process_time() - begun)
    print(f"\n{rate:.0f} scenes a second at 128 px")  # noqa: T201 (a figure for whoever runs with -s)
    assert rate >= 150


def test_a_thing_stands_where_its_scene_says() -> None:
    thing = Thing("circle", "shapes", 0.3, 0.7, 0.25)
    (region,) = annotate(Scene((thing,), WHITE)).regions
    x0, y0, x1, y1 = region.box
    assert ((x0 + x1) / 256, (y0 + y1) / 256) == pytest.approx((0.3, 0.7), abs=0.01)
    assert max(x1 - x0, y1 - y0) / 128 == pytest.approx(0.25, abs=0.02)
