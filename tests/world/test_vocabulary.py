"""The nouns and the splits. Verdicts are pinned: were a split to move, models would be tested on what they saw."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from limner.world.art import STYLES
from limner.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    CONCEPTS,
    CORE_CONCEPTS,
    SHAPE_CONCEPTS,
    STYLE_PHRASES,
    binding_held_out,
    concept,
    held_out_concepts,
    pair_held_out,
    share,
)

HELD_OUT_SHAPE_PAIRS = {("circle", "diamond"), ("circle", "cross"), ("triangle", "ring"), ("hexagon", "heart")}
HELD_OUT_SHAPE_BINDINGS = {
    ("orange", "heart"), ("yellow", "circle"), ("yellow", "cross"), ("green", "pentagon"), ("green", "ring"),
    ("green", "crescent"), ("blue", "star"), ("pink", "diamond"), ("pink", "ring"), ("pink", "crescent"),
    ("pink", "arrow"),
}  # fmt: skip


def test_there_are_849_drawn_nouns() -> None:
    assert len(CONCEPTS) == 849


def test_a_drawn_noun_goes_before_the_shape_of_its_name() -> None:
    assert {"ring", "star"} == CONCEPTS.keys() & SHAPE_CONCEPTS.keys()
    assert concept("star") is CONCEPTS["star"]


def test_every_core_noun_is_drawn_and_listed_once() -> None:
    assert set(CORE_CONCEPTS) <= CONCEPTS.keys()
    assert len(set(CORE_CONCEPTS)) == len(CORE_CONCEPTS)


def test_a_native_colour_is_a_colour_of_the_world_in_a_style_of_the_world() -> None:
    native = [(style, colour) for each in CONCEPTS.values() for style, colour in each.native.items()]
    assert native
    assert all(style in STYLES and colour in COLOURS for style, colour in native)


def test_every_style_has_words() -> None:
    assert set(STYLE_PHRASES) == set(STYLES)


def test_no_background_is_said_like_another() -> None:
    phrases = [phrase for said in BACKGROUNDS.values() for phrase in said]
    assert len(set(phrases)) == len(phrases)


def test_a_concept_is_found_by_name_drawn_or_shape() -> None:
    assert concept("wolf").plural == "wolves"
    assert concept("circle").tintable
    with pytest.raises(KeyError):
        concept("blorp")


def test_36_nouns_are_held_out_and_none_of_them_is_core() -> None:
    assert len(held_out_concepts()) == 36
    assert not held_out_concepts() & set(CORE_CONCEPTS)
    assert {"alembic", "boar", "raccoon", "roller coaster", "tiger"} <= held_out_concepts()


def test_shares_stay_where_they_are_whatever_the_order() -> None:
    assert share("pair", "fox", "castle") == share("castle", "pair", "fox") == pytest.approx(0.29703606245873027)
    assert 0.0 <= share("a") < 1.0


def test_the_held_out_shape_pairs_are_these() -> None:
    assert {pair for pair in combinations(SHAPE_CONCEPTS, 2) if pair_held_out(*pair)} == HELD_OUT_SHAPE_PAIRS


def test_the_held_out_shape_bindings_are_these() -> None:
    found = {binding for binding in product(COLOURS, SHAPE_CONCEPTS) if binding_held_out(*binding)}
    assert found == HELD_OUT_SHAPE_BINDINGS


def test_the_core_splits_are_where_they_were() -> None:
    foxes = [other for other in CORE_CONCEPTS if pair_held_out("fox", other)]
    assert foxes == ["horse", "snail", "car", "helicopter", "tree", "sunflower", "soccer ball"]
    red = [name for name in CORE_CONCEPTS if binding_held_out("red", name)]
    assert red[:8] == ["penguin", "bicycle", "castle", "pizza", "cake", "tulip", "guitar", "key"]


def test_held_out_pairs_are_symmetric_and_about_an_eighth() -> None:
    pairs = list(combinations(CORE_CONCEPTS, 2))
    assert all(pair_held_out(a, b) == pair_held_out(b, a) for a, b in pairs)
    assert sum(pair_held_out(a, b) for a, b in pairs) / len(pairs) == pytest.approx(1 / 8, abs=0.02)


def test_a_thing_is_never_held_out_from_itself() -> None:
    assert not any(pair_held_out(name, name) for name in CONCEPTS)
