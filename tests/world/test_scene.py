"""What is true of a scene: the one rule that captions, training and judging share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.world.scene import (
    Fact,
    Relation,
    Scene,
    Thing,
    boxes_related,
    colour_of,
    holds_between,
    is_true,
    relations,
)
from tests.world.small import shape

CENTRE = st.tuples(st.floats(0, 1), st.floats(0, 1))
DIRECTIONS: tuple[Relation, ...] = ("left of", "right of", "above", "below")
OPPOSITES: list[tuple[Relation, Relation]] = [("left of", "right of"), ("above", "below")]
SCENE = Scene(
    (shape("star", 0.2, 0.5, colour="red"), shape("ring", 0.8, 0.5), shape("ring", 0.8, 0.9, 0.2)),
    "snow",
    time="night",
    weather="fog",
)


@given(CENTRE, CENTRE)
def test_opposite_relations_hold_the_other_way_round(first: tuple[float, float], second: tuple[float, float]) -> None:
    for relation, opposite in OPPOSITES:
        assert boxes_related(relation, first, second) == boxes_related(opposite, second, first)


@given(CENTRE, CENTRE)
def test_at_most_one_direction_holds_and_never_both_ways(
    first: tuple[float, float], second: tuple[float, float]
) -> None:
    holding: list[Relation] = [relation for relation in DIRECTIONS if boxes_related(relation, first, second)]
    assert len(holding) <= 1
    assert not any(boxes_related(relation, second, first) for relation in holding)


def test_what_lies_close_together_is_in_no_direction() -> None:
    near, far = shape("star", 0.5, 0.5), shape("ring", 0.6, 0.5)
    assert not holds_between("left of", near, far)
    assert holds_between("left of", near, replace(far, x=0.63))


def test_in_front_is_lower_and_drawn_later() -> None:
    back, front = shape("circle", 0.5, 0.4, 0.6), shape("star", 0.55, 0.7)
    assert (1, "in front of", 0) in relations(Scene((back, front), "snow"))
    assert not [found for found in relations(Scene((front, back), "snow")) if found[1] == "in front of"]


def test_things_of_which_there_are_several_have_no_relations() -> None:
    assert list(relations(SCENE)) == []
    assert list(relations(replace(SCENE, things=SCENE.things[:2]))) == [(0, "left of", 1), (1, "right of", 0)]


@pytest.mark.parametrize(
    ("fact", "holds"),
    [
        (Fact("object", "star", "star"), True),
        (Fact("object", "heart", "heart"), False),
        (Fact("colour", "red star", "star", "red"), True),
        (Fact("colour", "blue star", "star", "blue"), False),
        (Fact("colour", "red ring", "ring", "red"), False),
        (Fact("count", "two rings", "ring", count=2), True),
        (Fact("count", "three rings", "ring", count=3), False),
        (Fact("count", "two red rings", "ring", "red", 2), False),
        (Fact("relation", "star left of a ring", "star", relation="left of", other="ring"), True),
        (Fact("relation", "star right of a ring", "star", relation="right of", other="ring"), False),
        (Fact("relation", "blue star left of a ring", "star", "blue", relation="left of", other="ring"), False),
        (Fact("background", "snow", value="snow"), True),
        (Fact("background", "sea", value="sea"), False),
        (Fact("time", "night", value="night"), True),
        (Fact("time", "sunset", value="sunset"), False),
        (Fact("weather", "fog", value="fog"), True),
        (Fact("weather", "rain", value="rain"), False),
        (Fact("style", "simple shapes", value="shapes"), True),
        (Fact("style", "3d style", value="3d"), False),
    ],
)
def test_a_fact_is_true_or_false_of_a_scene(fact: Fact, holds: bool) -> None:
    assert is_true(fact, SCENE) is holds


def test_a_thing_without_a_tint_has_the_colour_it_is_drawn_in() -> None:
    fox = Thing("fox", "flat", 0.5, 0.5, 0.6)
    orange, blue = Fact("colour", "orange fox", "fox", "orange"), Fact("colour", "blue fox", "fox", "blue")
    assert colour_of(fox) == "orange"
    assert is_true(orange, Scene((fox,), "snow"))
    painted = Scene((replace(fox, colour="blue"),), "snow")
    assert is_true(blue, painted)
    assert not is_true(orange, painted)


def test_a_line_drawing_has_no_colour_of_its_own() -> None:
    assert colour_of(Thing("fox", "line", 0.5, 0.5, 0.6)) is None


def test_counts_are_in_the_order_of_the_things() -> None:
    assert list(SCENE.counts().items()) == [(("star", "red"), 1), (("ring", None), 2)]
