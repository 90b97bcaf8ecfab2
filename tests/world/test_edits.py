"""Edit triples: the facts hold, nothing else changes, what is named is unique, and no split is crossed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.types import BadInput, EditKind
from limner.world.edits import KINDS, EditTriple, changed_mask, sample_edit
from limner.world.render import annotate
from limner.world.sample import Palette
from limner.world.scene import Scene, Thing, colour_of, is_true
from limner.world.vocabulary import INDOOR_BACKGROUNDS, binding_held_out, concept, pair_held_out
from tests.world.small import SHAPES

WORLD = Palette(tint=0.6)
SHAPES_ONLY = replace(SHAPES, tint=0.6)
SEEDS = st.integers(0, 2**32)
ANY_KIND = st.sampled_from(KINDS)
LOCAL: tuple[EditKind, ...] = ("replace", "add", "remove", "recolour")


def edit_of(seed: int, kind: EditKind, *, held_out: bool = False) -> EditTriple:
    return sample_edit(Random(seed), kind, WORLD, held_out=held_out)


def is_held_out(scene: Scene) -> bool:
    names = sorted({thing.concept for thing in scene.things})
    bindings = [(thing.colour, thing.concept) for thing in scene.things if thing.colour]
    return any(pair_held_out(*pair) for pair in combinations(names, 2)) or any(binding_held_out(*b) for b in bindings)


def changed(edit: EditTriple) -> tuple[list[Thing], list[Thing]]:
    """The things that only one of the two scenes has."""
    before, after = Counter(edit.before.things), Counter(edit.after.things)
    return list((before - after).elements()), list((after - before).elements())


@settings(max_examples=100, deadline=None)
@given(SEEDS, ANY_KIND, st.booleans())
def test_the_facts_hold_after_the_edit_and_some_not_before(seed: int, kind: EditKind, held_out: bool) -> None:
    edit = edit_of(seed, kind, held_out=held_out)
    assert edit.change.kind == kind
    assert edit.present or edit.absent
    assert all(is_true(fact, edit.after) for fact in edit.present)
    assert not any(is_true(fact, edit.after) for fact in edit.absent)
    assert all(is_true(fact, edit.before) for fact in edit.absent)
    assert not all(is_true(fact, edit.before) for fact in edit.present) or not edit.present


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(LOCAL))
def test_an_object_edit_changes_one_thing_and_nothing_else(seed: int, kind: EditKind) -> None:
    edit = edit_of(seed, kind)
    old, new = changed(edit)
    assert (len(old), len(new)) == {"replace": (1, 1), "add": (0, 1), "remove": (1, 0), "recolour": (1, 1)}[kind]
    assert replace(edit.after, things=edit.before.things) == edit.before
    if kind == "recolour":
        assert replace(new[0], colour=old[0].colour) == old[0]
        assert concept(old[0].concept).tintable
        assert new[0].colour != colour_of(old[0])
    if kind == "replace":
        assert replace(new[0], concept=old[0].concept, colour=old[0].colour) == old[0]
        assert edit.before.things.index(old[0]) == edit.after.things.index(new[0])


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(("restyle", "background", "time", "weather")))
def test_an_edit_of_the_whole_changes_one_property(seed: int, kind: EditKind) -> None:
    edit = edit_of(seed, kind)
    before, after = edit.before, edit.after
    assert [(t.concept, t.x, t.y, t.size, t.colour, t.mirrored) for t in before.things] == [
        (t.concept, t.x, t.y, t.size, t.colour, t.mirrored) for t in after.things
    ]
    fields = {"restyle": "style", "background": "background", "time": "time", "weather": "weather"}
    differing = {name for name in fields.values() if getattr(before, name) != getattr(after, name)}
    to_indoors = {"time", "weather"} if kind == "background" and after.background in INDOOR_BACKGROUNDS else set[str]()
    assert differing - to_indoors == {fields[kind]}
    assert before.variant == after.variant
    assert getattr(after, fields[kind]) == edit.change.value
    for scene in (before, after):
        assert scene.background not in INDOOR_BACKGROUNDS or (scene.time, scene.weather) == ("day", "clear")


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(("replace", "remove", "recolour")))
def test_the_target_is_named_and_is_the_only_one_of_that_name(seed: int, kind: EditKind) -> None:
    edit = edit_of(seed, kind)
    names = [n for t in edit.before.things for n in {t.concept, f"{t.colour} {t.concept}"}]
    assert names.count(edit.change.target) == 1
    assert f"the {edit.change.target}" in edit.change.instruction


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_what_is_added_stands_where_the_instruction_says(seed: int) -> None:
    edit = edit_of(seed, "add")
    assert bool(edit.change.place) == any(fact.kind == "relation" for fact in edit.present)
    new = edit.after.things[-1]
    covered = [t for t in edit.before.things if max(abs(t.x - new.x), abs(t.y - new.y)) < min(t.size, new.size) / 2]
    assert not covered or edit.change.place.startswith("in front of the ")


def test_of_two_of_a_kind_the_colour_is_said() -> None:
    edits = [edit_of(seed, "remove") for seed in range(200)]
    twins = [e for e in edits if len({t.concept for t in e.before.things}) < len(e.before.things)]
    assert len(twins) > 5
    for edit in twins:
        assert edit.change.target.split()[0] in {thing.colour for thing in edit.before.things}
        assert edit.after.things[0].concept == changed(edit)[0][0].concept


@settings(max_examples=150, deadline=None)
@given(SEEDS, ANY_KIND)
def test_training_never_sees_what_is_held_out(seed: int, kind: EditKind) -> None:
    edit = edit_of(seed, kind)
    assert not is_held_out(edit.before)
    assert not is_held_out(edit.after)


@pytest.mark.parametrize("kind", KINDS)
def test_on_the_held_out_side_the_edit_is_about_what_is_held_out(kind: EditKind) -> None:
    for seed in range(12):
        edit = edit_of(seed, kind, held_out=True)
        if kind == "remove":
            assert is_held_out(edit.before)
        elif kind in ("add", "recolour", "replace"):
            assert is_held_out(edit.after) or is_held_out(edit.before)
        else:
            assert is_held_out(edit.before)
            assert is_held_out(edit.after)


@settings(max_examples=50, deadline=None)
@given(SEEDS, ANY_KIND)
def test_a_seed_gives_its_edit_again(seed: int, kind: EditKind) -> None:
    assert edit_of(seed, kind) == edit_of(seed, kind)


def test_every_kind_occurs_and_a_single_style_is_never_changed() -> None:
    assert {sample_edit(Random(seed)).change.kind for seed in range(120)} == set(KINDS)
    kinds = {sample_edit(Random(seed), palette=SHAPES_ONLY).change.kind for seed in range(120)}
    assert kinds == set(KINDS) - {"restyle"}


def test_weather_and_hour_also_go_back() -> None:
    assert {edit_of(seed, "time").change.value for seed in range(60)} == {"day", "sunset", "night"}
    assert {edit_of(seed, "weather").change.value for seed in range(60)} == {"clear", "rain", "snowfall", "fog"}


def test_instructions_vary() -> None:
    verbs = {edit_of(seed, "recolour").change.instruction.split()[0] for seed in range(60)}
    assert verbs >= {"make", "turn", "paint", "colour", "change"}


@pytest.mark.parametrize(
    ("kind", "palette"),
    [
        ("restyle", SHAPES),
        ("time", replace(SHAPES, backgrounds=("room",))),
        ("background", replace(SHAPES, backgrounds=("snow",))),
    ],
)
def test_a_palette_without_a_choice_is_refused(kind: EditKind, palette: Palette) -> None:
    with pytest.raises(BadInput):
        sample_edit(Random(0), kind, palette)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["replace", "remove", "recolour"])
def test_only_the_things_pixels_change(kind: EditKind, seed: int) -> None:
    edit = sample_edit(Random(seed), kind, replace(SHAPES_ONLY, weather=0.0))
    mask = changed_mask(edit, 96)
    assert (mask.shape, mask.dtype) == ((96, 96), bool)
    old, new = changed(edit)
    for thing in (*old, *new):  # Generous bounds: the rim of a drawing is partly transparent.
        left, right = (round(96 * (thing.x + side * thing.size / 2)) for side in (-1, 1))
        top, bottom = (round(96 * (thing.y + side * thing.size / 2)) for side in (-1, 1))
        inside = mask[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2].sum()
        assert inside == mask.sum() > 0


def test_a_new_background_shows_wherever_no_thing_stands() -> None:
    edit = sample_edit(Random(3), "background", replace(SHAPES, backgrounds=("white background", "blue background")))
    objects = sum(region.mask for region in annotate(edit.before, 96).regions if region.mask is not None)
    assert (changed_mask(edit, 96) | (objects > 0)).all()
    assert not changed_mask(edit, 96).all()
