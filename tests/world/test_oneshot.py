"""The exam: nothing in it was seen in training but what stands beside it, and the same seed is the same exam."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import limner.world
from limner.backends.words import unknown_words
from limner.concept import check_name, in_words
from limner.types import BadInput
from limner.world import oneshot
from limner.world.art import have_art
from limner.world.caption import describe
from limner.world.oneshot import (
    NEAREST,
    POOL,
    WORLD,
    Context,
    Material,
    Reference,
    composed,
    contexts,
    references,
)
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Scene, Thing, is_true
from limner.world.vocabulary import (
    BACKGROUNDS,
    CORE_CONCEPTS,
    HELD_OUT_STYLE,
    SHAPE_CONCEPTS,
    TIMES,
    WEATHERS,
    binding_held_out,
    concept,
    held_out_concepts,
    pair_held_out,
)

WEIGHTS = Path(limner.world.__path__[0]) / "weights"
WORDS = frozenset(json.loads((WEIGHTS / "vocabulary.json").read_text())["words"])
UNSEEN = {"circle": "ring", "heart": "star", "arrow": "cross"}
SHAPES = Material(
    UNSEEN, "shapes", Palette(concepts=[name for name in SHAPE_CONCEPTS if name not in UNSEEN], styles=("shapes",))
)
SEEDS = st.integers(0, 2**32)
needs_art = pytest.mark.skipif(not all(map(have_art, ("flat", "3d", HELD_OUT_STYLE))), reason="needs the fetched art")


def thing(name: str = "tiger", style: str = "flat") -> Reference:
    """A reference of the world without its drawing, so that no art is needed."""
    truth = Scene((Thing(name, style, 0.5, 0.5, 0.7),), oneshot.PLAIN)
    return Reference(name.replace(" ", "-"), "thing", render(Scene((), "sea"), 16), NEAREST[name], truth)


def style(*shown: str) -> Reference:
    things = tuple(Thing(name, HELD_OUT_STYLE, x, 0.5, 0.4) for name, x in zip(shown, (0.3, 0.7), strict=True))
    picture = render(Scene((), "sea"), 16)
    return Reference("twemoji-1", "style", picture, "flat style", Scene(things, oneshot.PLAIN))


THING, STYLE = thing(), style("fox", "castle")
EXAMS: dict[str, Callable[[int], list[Context]]] = {
    "thing": lambda seed: contexts(THING, seed),
    "style": lambda seed: contexts(STYLE, seed),
    "two things": lambda seed: composed(THING, thing("radio"), seed),
    "thing and style": lambda seed: composed(THING, STYLE, seed),
    "style and thing": lambda seed: composed(STYLE, THING, seed),
}
EVERY_EXAM = pytest.mark.parametrize("exam", EXAMS)


def test_no_thing_of_the_exam_is_drawn_or_named_in_training() -> None:
    assert NEAREST.keys() <= held_out_concepts()
    assert not NEAREST.keys() & set(CORE_CONCEPTS)
    rng = Random(0)
    drawn = {t.concept for _ in range(2000) for t in sample_scene(rng, rng.choice(STAGES)).things}
    assert drawn == set(CORE_CONCEPTS)
    assert WORLD.style == HELD_OUT_STYLE
    assert WORLD.style not in WORLD.known.styles


def test_what_comes_nearest_is_a_word_that_models_learned() -> None:
    assert set(NEAREST.values()) <= set(CORE_CONCEPTS)
    assert len({concept(name).group for name in NEAREST}) >= 10
    assert unknown_words(" ".join(NEAREST.values()), WORDS) == []


def test_every_name_is_a_concepts() -> None:
    names = [reference.name for reference in references(4, material=SHAPES)]
    assert [check_name(name) for name in names] == names
    assert len(set(names)) == 4


def test_every_fourth_reference_is_a_style() -> None:
    made = references(4, material=SHAPES)
    assert [reference.kind for reference in made] == ["thing"] * 3 + ["style"]
    assert {t.concept for reference in made[:3] for t in reference.truth.things} == set(UNSEEN)
    shown = [t.concept for t in made[3].truth.things]
    assert len(shown) == 2
    assert not set(shown) & set(UNSEEN)
    assert [reference.like for reference in made[:3]] == [UNSEEN[reference.name] for reference in made[:3]]
    assert made[3].like == "geometric style"


def test_a_reference_shows_its_truth_large_on_a_plain_ground() -> None:
    for reference in references(4, material=SHAPES, size=96):
        assert reference.picture.sha256 == render(reference.truth, 96).sha256
        assert reference.truth.background == oneshot.PLAIN
    assert all(r.truth.things[0].size > 0.6 for r in references(3, material=SHAPES))


def test_the_same_seed_is_the_same_exam_and_another_is_another() -> None:
    def shown(seed: int) -> list[tuple[str, str, Scene]]:
        made = references(4, seed, material=SHAPES)
        return [(reference.name, reference.picture.sha256, reference.truth) for reference in made]

    assert shown(3) == shown(3)
    assert shown(3) != shown(4)
    assert contexts(THING, 3) == contexts(THING, 3)
    assert contexts(THING, 3) != contexts(THING, 4)
    assert contexts(THING, 3) != contexts(thing("radio"), 3)


def test_a_reference_does_not_depend_on_how_many_are_asked_for() -> None:
    few, many = references(2, material=SHAPES), references(4, material=SHAPES)
    assert [r.picture.sha256 for r in few] == [r.picture.sha256 for r in many[:2]]


@pytest.mark.parametrize("count", [-1, 0, 5])
def test_too_many_or_no_references_are_refused(count: int) -> None:
    with pytest.raises(BadInput, match=f"{count} references"):
        references(count, material=SHAPES)


def test_groups_come_in_turn() -> None:
    spread = oneshot._spread(NEAREST, Random(1))  # pyright: ignore[reportPrivateUsage]
    groups = [concept(name).group for name in spread]
    kinds = len(set(groups))
    assert sorted(spread) == sorted(NEAREST)
    assert len(set(groups[:kinds])) == kinds


@EVERY_EXAM
@given(seed=SEEDS)
def test_contexts_speak_of_what_models_learned_only(exam: str, seed: int) -> None:
    asked = EXAMS[exam](seed)
    assert len(asked) >= 5
    for context in asked:
        said = context.prompt.format("", "")
        assert unknown_words(said, WORDS) == []
        assert {fact.concept or fact.value for fact in context.facts} <= set(POOL)


@EVERY_EXAM
@given(seed=SEEDS)
def test_a_prompt_has_a_place_for_each_word_that_was_learned(exam: str, seed: int) -> None:
    for context in EXAMS[exam](seed):
        marks = ("{}",) if exam in ("thing", "style") else ("{0}", "{1}")
        assert [context.prompt.count(mark) for mark in marks] == [1] * len(marks)
        assert context.prompt.count("{") == len(marks)
        spelled = in_words(context.prompt.format("<one>", "<two:0.5>"), {"one": "a cat", "two": "flat style"})
        assert "a cat" in spelled
        assert not set("<>{}") & set(spelled)


@EVERY_EXAM
@given(seed=SEEDS)
def test_what_is_asked_for_is_true_of_the_true_picture(exam: str, seed: int) -> None:
    for context in EXAMS[exam](seed):
        assert context.facts
        assert all(is_true(fact, context.truth) for fact in context.facts)
        assert all(fact.concept in ("", *CORE_CONCEPTS) for fact in context.facts)
        assert context.truth.style == (HELD_OUT_STYLE if "style" in exam else "flat")
        names = [t.concept for t in context.truth.things]
        assert names.count("tiger") == ("thing" in exam)
        assert names.count("radio") == (exam == "two things")


@EVERY_EXAM
@given(seed=SEEDS)
def test_nothing_of_the_reference_is_asked_for(exam: str, seed: int) -> None:
    learned = [STYLE] if exam == "style" else [THING, STYLE] if "style" in exam else [THING]
    gone = {t.concept for reference in learned for t in reference.truth.things} | {r.like for r in learned}
    for context in EXAMS[exam](seed):
        assert not gone & {fact.concept for fact in context.facts}
        assert context.truth.background != oneshot.PLAIN


@given(SEEDS)
def test_known_things_stand_together_as_training_showed_them(seed: int) -> None:
    for context in contexts(STYLE, seed):
        names = [t.concept for t in context.truth.things]
        assert not pair_held_out(names[0], names[-1])
        colours = [t for t in context.truth.things if t.colour]
        assert not any(binding_held_out(str(t.colour), t.concept) for t in colours)
        assert context.prompt == f"{describe(context.truth)}, {{}}"


@given(SEEDS)
def test_all_that_a_caption_can_say_is_asked_for(seed: int) -> None:
    for exam in ("thing", "style"):
        kinds = [{fact.kind for fact in context.facts} for context in EXAMS[exam](seed)]
        assert set().union(*kinds) == {"object", "colour", "background", "time", "weather"}
        backgrounds = [context.truth.background for context in EXAMS[exam](seed)]
        assert len(set(backgrounds)) == len(backgrounds)


def test_a_context_reads_as_a_caption_does() -> None:
    prompts = [context.prompt for context in contexts(THING)]
    assert prompts[0] in {f"{{}} {said[0]}" for said in BACKGROUNDS.values()}
    assert any(" of a" in prompt or "above" in prompt or "front" in prompt for prompt in prompts[3:])
    assert not any("a {}" in prompt for prompt in prompts)


def test_a_car_is_not_taken_out_of_a_carrot() -> None:
    behind, before = Thing("car", "flat", 0.5, 0.45, 0.6), Thing("carrot", "flat", 0.5, 0.55, 0.4)
    scene = Scene((behind, before), "snow")
    assert describe(scene) == "a carrot in front of a car in the snow"
    context: Context = oneshot._context(scene, {"{}": THING})  # pyright: ignore[reportPrivateUsage]
    assert context.prompt == "a carrot in front of {} in the snow"
    assert context.phrases == ("carrot", "snow")


def test_two_styles_are_not_composed() -> None:
    with pytest.raises(BadInput, match="two styles"):
        composed(STYLE, style("dog", "tree"))


def test_the_pool_holds_the_worlds_nouns_once_and_nothing_that_is_always_true() -> None:
    assert len(set(POOL)) == len(POOL)
    assert set(POOL) == {*CORE_CONCEPTS, *BACKGROUNDS, *TIMES, *WEATHERS} - {"day", "clear"}


def test_two_things_of_the_small_world_are_drawn_together() -> None:
    first, second = references(2, material=SHAPES)
    for context in composed(first, second, material=SHAPES):
        names = [t.concept for t in context.truth.things]
        assert sorted(names) == sorted((first.name, second.name))
        assert render(context.truth, 32).width == 32


@needs_art
def test_the_worlds_exam_is_drawn_and_like_no_drawing_of_training() -> None:
    made = references(24)
    things = [reference.truth.things[0].concept for reference in made if reference.kind == "thing"]
    assert sorted(things) == sorted(NEAREST)
    assert all(check_name(reference.name) for reference in made)
    for name, drawn in product(NEAREST, ("flat", "3d")):
        ours = _icon(name, drawn)
        assert min(float(np.abs(ours - _icon(core, drawn)).mean()) for core in CORE_CONCEPTS) > 0.05


def _icon(name: str, drawn: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The drawing on white, 16 x 16, 0 to 1."""
    return render(Scene((Thing(name, drawn, 0.5, 0.5, 1.0),), oneshot.PLAIN), 16).pixels / 255
