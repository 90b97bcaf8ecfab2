"""Captions: English as people write it, and nothing said that is not so."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.world.caption import article, caption, describe, facts, named, phrase, tagged
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Fact, Scene, Thing, is_true
from limner.world.vocabulary import STYLE_PHRASES
from tests.world.small import SHAPES, shape

STAR, RING = shape("star", 0.25, 0.55, colour="red"), shape("ring", 0.75, 0.55)
SEEDS, ANY_STAGE = st.integers(0, 2**32), st.sampled_from(STAGES)
COLOURED = replace(SHAPES, tint=0.5)


@pytest.mark.parametrize(
    ("noun", "said"),
    [("fox", "a fox"), ("owl", "an owl"), ("unicorn", "a unicorn"), ("ufo", "a ufo"), ("umbrella", "an umbrella")],
)
def test_article_follows_the_sound(noun: str, said: str) -> None:
    assert article(noun) == said


@pytest.mark.parametrize(
    ("name", "colour", "count", "said"),
    [
        ("fox", None, 1, "a fox"),
        ("apple", "red", 1, "a red apple"),
        ("car", "orange", 1, "an orange car"),
        ("fox", None, 2, "two foxes"),
        ("wolf", "blue", 3, "three blue wolves"),
        ("sheep", None, 4, "four sheep"),
    ],
)
def test_things_are_named_with_colour_and_number(name: str, colour: str | None, count: int, said: str) -> None:
    assert named(name, colour, count) == said


def test_the_plain_caption_says_the_relation_and_the_background() -> None:
    assert describe(Scene((STAR, RING), "snow")) == "a red star to the left of a ring in the snow"


def test_day_and_clear_weather_go_without_saying() -> None:
    scene = Scene((RING,), "sea")
    assert describe(scene) == "a ring on the sea"
    assert describe(replace(scene, time="night", weather="fog")) == "a ring on the sea at night in fog"


def test_tags_name_everything_and_the_style() -> None:
    scene = Scene((STAR, RING, replace(RING, y=0.2)), "sea", time="sunset", weather="rain")
    assert tagged(scene) == "a red star, two rings, sea, sunset, rain, geometric style"


def test_facts_are_one_a_keyword_in_the_order_they_are_said() -> None:
    scene = Scene((STAR, RING), "snow", time="night", weather="fog")
    assert [(fact.kind, fact.text) for fact in facts(scene)] == [
        ("colour", "red star"),
        ("object", "ring"),
        ("relation", "star to the left of a ring"),
        ("background", "snow"),
        ("time", "night"),
        ("weather", "fog"),
    ]


@settings(max_examples=200, deadline=None)
@given(SEEDS, ANY_STAGE, st.booleans())
def test_every_fact_of_a_scene_is_true_of_it(seed: int, stage: str, drawn: bool) -> None:
    palette = Palette(tint=0.5) if drawn else COLOURED
    scene = sample_scene(Random(seed), stage, palette)
    assert all(is_true(fact, scene) for fact in facts(scene))


@settings(max_examples=50, deadline=None)
@given(SEEDS, ANY_STAGE)
def test_without_a_generator_the_caption_is_a_fixed_name(seed: int, stage: str) -> None:
    scene = sample_scene(Random(seed), stage, COLOURED)
    assert describe(scene) == describe(scene)
    assert tagged(scene) == tagged(scene)
    assert caption(scene, Random(seed)) == caption(scene, Random(seed))


@settings(max_examples=100, deadline=None)
@given(SEEDS, ANY_STAGE, SEEDS)
def test_every_phrasing_names_every_thing(seed: int, stage: str, luck: int) -> None:
    scene = sample_scene(Random(seed), stage, COLOURED)
    said = caption(scene, Random(luck))
    assert all(named(name, colour, count) in said for (name, colour), count in scene.counts().items())


def test_phrasings_vary_with_the_generator() -> None:
    scene = Scene((STAR, RING), "snow")
    assert len({caption(scene, Random(seed)) for seed in range(60)}) >= 20


def test_a_keyword_is_said_in_several_ways_with_the_same_meaning() -> None:
    relation = Fact("relation", "fox above an owl", "fox", relation="above", other="owl")
    assert {phrase(relation, Random(seed)) for seed in range(20)} == {"fox above an owl", "fox over an owl"}
    assert {phrase(Fact("object", "owl", "owl"), Random(seed)) for seed in range(20)} == {"owl", "an owl"}
    style = Fact("style", "flat style", value="flat")
    assert {phrase(style, Random(seed)) for seed in range(20)} == set(STYLE_PHRASES["flat"])


def test_what_has_one_wording_only_is_said_in_it() -> None:
    two = Fact("count", "two foxes", "fox", count=2)
    assert {phrase(two, Random(seed)) for seed in range(5)} == {"two foxes"}


def test_style_is_told_apart_from_things() -> None:
    drawn = Scene((Thing("fox", "line", 0.5, 0.5, 0.6),), "snow")
    assert tagged(drawn) == "a fox, snow, line art style"
