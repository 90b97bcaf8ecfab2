"""What is wished for: answers fit one of the things offered, values are said and applied."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from limner.instruction import parse_instruction
from limner.seen import Seen
from limner.types import Change
from limner.world.clarity import Referent, Request, explicit
from limner.world.sample import Palette
from limner.world.scene import Scene, Thing
from limner.world.vocabulary import held_out_concepts
from limner.world.wishes import Wish, applied, completed, noun, pick, strange_nouns, wish, with_name, worded

SEEDS = st.integers(0, 2**32)
RED, BLUE, DOG = Seen("car", "red", "left"), Seen("car", "blue", "right"), Seen("dog", "", "left")
SCENE = Scene((Thing("car", "flat", 0.3, 0.5, 0.4, "red"), Thing("dog", "flat", 0.7, 0.5, 0.4)), "sea", "night", "rain")


@given(SEEDS)
def test_an_answer_fits_one_of_the_things_only(seed: int) -> None:
    among = (RED, BLUE, DOG)
    words = pick(Random(seed), DOG, among)
    assert "dog" in words or "third" in words or "last" in words
    words = pick(Random(seed), RED, among)
    assert "red" in words or "first" in words or "car on the left" in words
    assert "blue" not in words


def test_a_single_offer_is_accepted() -> None:
    assert {pick(Random(seed), DOG, (DOG,)).strip(".!,").split()[0] for seed in range(80)} >= {"yes", "the", "right"}


def test_strange_nouns_are_copied_by_the_grammar() -> None:
    assert not set(strange_nouns()) & held_out_concepts()
    assert len(strange_nouns()) > 300
    for name in strange_nouns():
        assert parse_instruction(explicit("add", "", name)).value == name
        assert parse_instruction(explicit("remove", name)).target == name
        assert parse_instruction(explicit("replace", "car", name)).value == name


def test_nouns_are_mostly_of_the_palette() -> None:
    names = [noun(Random(seed), Palette()) for seed in range(300)]
    assert 10 < sum(name in strange_nouns() and name not in Palette().concepts for name in names) < 70


@given(SEEDS)
def test_a_wish_torn_between_two_actions_becomes_one(seed: int) -> None:
    rng = Random(seed)
    torn = wish(rng, Palette(), Request("remove", Referent("car")), "torn")
    assert torn is not None
    torn = with_name(torn, "red car")
    assert sorted(value.split()[0] for value in torn.request.values) == ["paint", "remove"]
    _, settled = completed(rng, Palette(), torn)
    assert settled.request.kind in ("remove", "recolour")
    assert len(settled.request.values) == (settled.request.kind == "recolour")


def test_a_thing_with_a_noun_is_said() -> None:
    """«another colour» leaves the thing out, and is only said of «it»."""
    asked = wish(Random(0), Palette(), Request("recolour", Referent("car")), "value")
    assert asked is not None
    assert all("the car" in worded(Random(seed), asked, "the car") or "car" in worded(Random(seed), asked, "the car")
               for seed in range(60))  # fmt: skip
    bare = Wish(Request("recolour", Referent()), (), asked.sayings)
    assert any("it" not in worded(Random(seed), bare, "it").split() for seed in range(60))


def test_what_changes_change() -> None:
    rng = Random(0)
    after, topic = applied(rng, SCENE, Change("recolour", "", "", "blue"), 0)
    assert after.things[0].colour == "blue"
    assert topic == after.things[0]
    after, topic = applied(rng, SCENE, Change("replace", "", "", "green bus"), 0)
    assert (after.things[0].concept, after.things[0].colour) == ("bus", "green")
    after, topic = applied(rng, SCENE, Change("replace", "", "", "orange"), 0)
    assert (after.things[0].concept, after.things[0].colour) == ("orange", None)
    after, topic = applied(rng, SCENE, Change("remove", "", "", ""), 1)
    assert (after.things, topic) == (SCENE.things[:1], None)
    after, topic = applied(rng, SCENE, Change("add", "", "", "cat", "left of"), 1)
    assert after.things[2].x < SCENE.things[1].x - 0.2
    after, topic = applied(rng, SCENE, Change("background", "", "", "white"), None)
    assert (after.background, after.time, after.weather, topic) == ("white background", "day", "clear", None)
