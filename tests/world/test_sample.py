"""Random scenes: inside the picture, the same for the same seed, and never across a split."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.world.caption import facts
from limner.world.sample import STAGES, sample_scene
from limner.world.scene import Scene
from limner.world.vocabulary import COLOURS, binding_held_out, concept, pair_held_out
from tests.world.small import SHAPES

COLOURED = replace(SHAPES, tint=1.0)
SEEDS = st.integers(0, 2**32)
ANY_STAGE = st.sampled_from(STAGES)


def scene_of(seed: int, stage: str, *, held_out: bool = False) -> Scene:
    return sample_scene(Random(seed), stage, COLOURED, held_out=held_out)


def pairs_held_out(scene: Scene) -> list[bool]:
    names = sorted({thing.concept for thing in scene.things})
    return [pair_held_out(first, second) for first, second in combinations(names, 2)]


def bindings_held_out(scene: Scene) -> list[bool]:
    return [binding_held_out(thing.colour, thing.concept) for thing in scene.things if thing.colour]


@settings(max_examples=150, deadline=None)
@given(SEEDS, ANY_STAGE)
def test_training_never_sees_what_is_held_out(seed: int, stage: str) -> None:
    scene = scene_of(seed, stage)
    assert not any(pairs_held_out(scene))
    assert not any(bindings_held_out(scene))


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(["pair", "crowd"]))
def test_the_held_out_side_always_holds_a_held_out_pair(seed: int, stage: str) -> None:
    assert any(pairs_held_out(scene_of(seed, stage, held_out=True)))


@settings(max_examples=100, deadline=None)
@given(SEEDS, ANY_STAGE)
def test_on_the_held_out_side_every_colour_is_a_held_out_binding(seed: int, stage: str) -> None:
    scene = scene_of(seed, stage, held_out=True)
    assert all(bindings_held_out(scene))
    for thing in scene.things:
        has_one = concept(thing.concept).tintable and any(binding_held_out(colour, thing.concept) for colour in COLOURS)
        assert (thing.colour is not None) == has_one


@settings(max_examples=150, deadline=None)
@given(SEEDS, ANY_STAGE, st.booleans())
def test_things_lie_inside_the_picture(seed: int, stage: str, held_out: bool) -> None:
    for thing in scene_of(seed, stage, held_out=held_out).things:
        half = thing.size / 2
        assert min(thing.x, thing.y) - half >= -0.04  # a rim of a few pixels may be cut off, never more
        assert max(thing.x, thing.y) + half <= 1.04


@settings(max_examples=50, deadline=None)
@given(SEEDS, ANY_STAGE)
def test_a_seed_gives_its_scene_again(seed: int, stage: str) -> None:
    assert scene_of(seed, stage) == scene_of(seed, stage)


@pytest.mark.parametrize(
    ("stage", "least", "most"), [("single", 1, 1), ("pair", 2, 2), ("count", 2, 4), ("crowd", 3, 4)]
)
def test_a_stage_has_its_number_of_things(stage: str, least: int, most: int) -> None:
    numbers = {len(scene_of(seed, stage).things) for seed in range(60)}
    assert (min(numbers), max(numbers)) == (least, most)


def test_what_is_counted_is_all_alike() -> None:
    assert all(len(scene_of(seed, "count").counts()) == 1 for seed in range(60))


def test_a_pair_is_about_one_relation_nearly_always() -> None:
    told = [any(fact.kind == "relation" for fact in facts(scene_of(seed, "pair"))) for seed in range(100)]
    assert sum(told) >= 95


def test_indoors_it_is_day_and_clear() -> None:
    indoors = replace(SHAPES, backgrounds=("room", "space", "white background"), other_time=1.0, weather=1.0)
    scenes = [sample_scene(Random(seed), "single", indoors) for seed in range(30)]
    assert {(scene.time, scene.weather) for scene in scenes} == {("day", "clear")}


def test_outdoors_it_is_any_hour_and_weather() -> None:
    outdoors = replace(SHAPES, backgrounds=("snow",), other_time=0.5, weather=0.5)
    scenes = [sample_scene(Random(seed), "single", outdoors) for seed in range(100)]
    assert {scene.time for scene in scenes} == {"day", "sunset", "night"}
    assert {scene.weather for scene in scenes} == {"clear", "rain", "snowfall", "fog"}
