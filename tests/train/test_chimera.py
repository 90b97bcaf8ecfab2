"""Spoilt pictures: what is claimed of them falsely is not in their scene, and only the spoilt thing's pixels differ."""

from __future__ import annotations

from random import Random

import numpy as np

from limner.train.chimera import show, spoilt
from limner.types import Picture
from limner.world.render import annotate, render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene, is_true
from limner.world.vocabulary import SHAPE_CONCEPTS, pair_held_out

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",), tint=0.5)


def pairs(count: int) -> list[Scene]:
    rng = Random(0)
    return [sample_scene(rng, "pair", SHAPES) for _ in range(count)]


def difference(first: Picture, second: Picture) -> float:
    return float(np.abs(first.pixels.astype(float) - second.pixels).mean())


def test_the_spoilt_thing_is_gone_from_the_scene_and_is_claimed() -> None:
    for number, scene in enumerate(pairs(20)):
        shown = spoilt(scene, Random(number), SHAPES)
        [gone] = set(scene.things) - set(shown.scene.things)
        assert len(shown.scene.things) == 1
        assert gone.concept in {fact.concept for fact in shown.false}
        assert (gone.colour in {fact.colour for fact in shown.false}) or gone.colour is None
        assert not any(is_true(fact, shown.scene) for fact in shown.false)


def test_the_picture_is_neither_the_scene_nor_the_scene_without_the_thing() -> None:
    for number, scene in enumerate(pairs(20)):
        shown = spoilt(scene, Random(number), SHAPES)
        assert difference(shown.picture, render(scene)) > 0
        assert difference(shown.picture, render(shown.scene)) > 0


def test_what_is_not_spoilt_is_as_it_was() -> None:
    for number, scene in enumerate(pairs(20)):
        shown = spoilt(scene, Random(number), SHAPES)
        kept = annotate(scene).regions[scene.things.index(shown.scene.things[0])]
        left = kept.mask
        assert left is not None
        x0, y0, x1, y1 = (int(edge) for edge in kept.box)
        # The middle of the other thing, where the spoilt one's own square does not reach.
        spot = (slice((y0 + y1) // 2, (y0 + y1) // 2 + 1), slice((x0 + x1) // 2, (x0 + x1) // 2 + 1))
        if left[spot].all() and not _reaches(scene, shown.scene, (x0 + x1) / 256, (y0 + y1) / 256):
            off = np.abs(shown.picture.pixels[spot].astype(int) - render(scene).pixels[spot].astype(int))
            assert off.max() <= 1


def _reaches(whole: Scene, rest: Scene, x: float, y: float) -> bool:
    [gone] = set(whole.things) - set(rest.things)
    return max(abs(gone.x - x), abs(gone.y - y)) <= gone.size / 2 + 0.02


def test_single_things_and_twins_are_left_alone() -> None:
    rng = Random(0)
    for stage in ("single", "count"):
        scene = sample_scene(rng, stage, SHAPES)
        shown = show(scene, rng, SHAPES, share=1.0)
        assert shown.scene == scene
        assert not shown.false
        assert difference(shown.picture, render(scene)) == 0


def test_about_the_asked_share_is_spoilt() -> None:
    rng = Random(0)
    spoiled = [bool(show(scene, rng, SHAPES, share=0.3).false) for scene in pairs(200)]
    assert 0.2 < sum(spoiled) / 200 < 0.4


def test_a_held_out_pair_is_not_even_half_shown() -> None:
    for number, scene in enumerate(pairs(40)):
        present = {thing.concept for thing in scene.things}
        mixed = {fact.concept for fact in spoilt(scene, Random(number), SHAPES).false}
        assert not any(pair_held_out(a, b) for a in mixed for b in present)
