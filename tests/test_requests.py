"""Sentences read as requests: what they say, what they leave open, and where they contradict themselves."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.requests import is_contradiction, is_undo, read, referent, renamed, tidied
from limner.types import BadInput
from limner.world.clarity import Referent, Request
from limner.world.vocabulary import COLOURS, CONCEPTS

IT = Referent()


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ("make the red car blue", Request("recolour", Referent("car", "red"), ("blue",))),
        ("please paint the left car green now", Request("recolour", Referent("car", "", "left"), ("green",))),
        ("paint the car on the right green", Request("recolour", Referent("car", "", "right"), ("green",))),
        ("make the one on the right red", Request("recolour", Referent("", "", "right"), ("red",))),
        ("paint the dog light blue", Request("recolour", Referent("dog"), ("light blue",))),
        ("can you make the dog red?", Request("recolour", Referent("dog"), ("red",))),
        ("replace the dog with a cat", Request("replace", Referent("dog"), ("cat",))),
        ("I want a cat instead of the dog", Request("replace", Referent("dog"), ("cat",))),
        ("remove the dogs", Request("remove", Referent("dog"))),
        ("I don't want the dog", Request("remove", Referent("dog"))),
        ("the dog should go", Request("remove", Referent("dog"))),
        ("add a cat", Request("add", None, ("cat",))),
        ("can I have a cat?", Request("add", None, ("cat",))),
        ("add a cat to the left of the castle", Request("add", Referent("castle"), ("cat",), "left of")),
        ("add a cat under the red bridge", Request("add", Referent("bridge", "red"), ("cat",), "below")),
        ("add a cat next to the castle", Request("add", Referent("castle"), ("cat",), "next to")),
        ("put a cat behind it", Request("add", IT, ("cat",), "behind")),
        ("add a cat on the left of the picture", Request("add", None, ("cat",))),
        ("add two cats next to each other", Request("add", None, ("two cats",))),
        ("put it in the snow", Request("background", None, ("snow",))),
        ("i want the forest as background", Request("background", None, ("forest",))),
        ("make it night", Request("time", None, ("night",))),
        ("let it snow", Request("weather", None, ("snow",))),
        ("change style to flat style", Request("restyle", None, ("flat style",))),
        ("turn it into an oil painting", Request("restyle", None, ("oil painting",))),
    ],
)
def test_a_full_request_says_all(said: str, request_: Request) -> None:
    assert read(said) == request_


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ("paint it red", Request("recolour", IT, ("red",))),
        ("could it be gold", Request("recolour", IT, ("gold",))),
        ("remove it", Request("remove", IT)),
        ("replace it with a dog", Request("replace", IT, ("dog",))),
        ("turn that into two dogs", Request("replace", IT, ("two dogs",))),
        ("make it taller", Request("replace", IT, ("taller thing",))),
        ("make the animal taller", Request("replace", Referent("animal"), ("taller thing",))),
        ("make it bigger", Request("resize", IT, ("bigger",))),
        ("move the animal to the left", Request("move", Referent("animal"), ("left",))),
    ],
)
def test_it_is_left_to_the_conversation(said: str, request_: Request) -> None:
    assert read(said) == request_


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ("another colour", Request("recolour", IT)),
        ("make the car another color", Request("recolour", Referent("car"))),
        ("change the colour of the red car", Request("recolour", Referent("car", "red"))),
        ("paint the car", Request("recolour", Referent("car"))),
        ("another background", Request("background")),
        ("put it somewhere else", Request("background")),
        ("change the style", Request("restyle")),
        ("a different time of day", Request("time")),
        ("other weather please", Request("weather")),
        ("add something", Request("add")),
        ("add something next to the dog", Request("add", Referent("dog"), (), "next to")),
        ("replace the dog with something else", Request("replace", Referent("dog"))),
        ("move the dog", Request("move", Referent("dog"))),
        ("move it somewhere else", Request("move", IT)),
        ("change the size of the red car", Request("resize", Referent("car", "red"))),
        ("change it", Request(None, IT)),
        ("change the dog", Request(None, Referent("dog"))),
        ("I don't like the dog", Request(None, Referent("dog"))),
        ("make the dog nicer", Request(None, Referent("dog"))),
    ],
)
def test_what_is_left_open_is_left_open(said: str, request_: Request) -> None:
    assert read(said) == request_


@pytest.mark.parametrize("said", ["something else", "hello", "thanks, I like that", "make a change", "please"])
def test_nothing_was_asked_for(said: str) -> None:
    assert read(said) == Request(None)


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ("make it day and night", Request("time", None, ("day", "night"))),
        ("let it rain and snow", Request("weather", None, ("rain", "snow"))),
        ("paint the dog red and blue", Request("recolour", Referent("dog"), ("red", "blue"))),
        ("remove the dog and paint it red", Request(None, Referent("dog"), ("remove", "red"))),
        ("paint the dog red but remove it", Request(None, Referent("dog"), ("red", "remove"))),
    ],
)
def test_contradictions_keep_both_values(said: str, request_: Request) -> None:
    assert read(said) == request_
    assert is_contradiction(said)


@pytest.mark.parametrize(
    "said",
    ["make it night", "remove the dog and paint the car red", "add a cat and a dog", "make it black and white"],
)
def test_no_contradiction_is_seen_where_there_is_none(said: str) -> None:
    assert not is_contradiction(said)


@pytest.mark.parametrize(
    "said", ["undo", "Undo that, please!", "no, go back", "forget that", "forget the last change", "put it back"]
)
def test_taking_back(said: str) -> None:
    assert is_undo(said)


@pytest.mark.parametrize("said", ["forget the dog", "put the dog back", "go to the left", "undo the dog", ""])
def test_no_taking_back(said: str) -> None:
    assert not is_undo(said)


@pytest.mark.parametrize("said", ["xyzzy", "rotate the dog", "move the dog behind the cat"])
def test_what_is_not_understood_is_said(said: str) -> None:
    with pytest.raises(BadInput, match="not understood"):
        read(said)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("the red car on the left", Referent("car", "red", "left")),
        ("leftmost car", Referent("car", "", "left")),
        ("the red one", Referent("", "red")),
        ("the thing at the top", Referent("", "", "top")),
        ("animals", Referent("animal")),
        ("both cars", Referent("car")),
        ("all of the red cars", Referent("car", "red")),
        ("the second car", Referent("car")),
        ("last car", Referent("car")),
        ("glasses", Referent("glasses")),
        ("the green salad", Referent("green salad")),
        ("the blue whale", Referent("whale", "blue")),
        ("the blue green salad on the left", Referent("green salad", "blue", "left")),
        ("it", IT),
        ("everything", IT),
        ("", IT),
    ],
)
def test_a_thing_as_it_is_spoken_of(words: str, found: Referent) -> None:
    assert referent(words) == found


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("car", "blue car"),
        ("red car", "blue car"),
        ("left red car", "blue car"),
        ("", "blue"),
        ("green salad", "blue green salad"),
    ],
)
def test_what_was_painted_has_a_new_name(target: str, name: str) -> None:
    assert renamed(target, "blue") == name


@pytest.mark.parametrize(
    ("said", "bare"),
    [
        ("Please, could you  make it night now?", "make it night"),
        ("ok, and now paint it red, thanks!", "paint it red"),
        ("thanks", ""),
        ("the forest for me", "the forest"),
    ],
)
def test_courtesies_are_left_out(said: str, bare: str) -> None:
    assert tidied(said) == bare


def test_a_place_that_begins_a_name_is_no_place() -> None:
    assert read("remove the top hat") == Request("remove", Referent("top hat"))
    assert read("remove the left top hat") == Request("remove", Referent("top hat", where="left"))
    assert read("remove the top car") == Request("remove", Referent("car", where="top"))


POLITE = st.sampled_from(["", "please ", "Can you ", "now, ", "ok and "])
THINGS = st.sampled_from(sorted(n for n in CONCEPTS if n.split()[0] not in COLOURS and not n.endswith(" light")))
HUES = st.sampled_from(sorted(COLOURS))


@settings(deadline=None, max_examples=60)
@given(POLITE, THINGS, HUES, HUES, st.sampled_from(["", " please", "!", "?"]))
def test_whatever_thing_is_painted_whatever_the_courtesies(
    before: str, thing: str, old: str, new: str, after: str
) -> None:
    assert read(f"{before}paint the {old} {thing} {new}{after}") == Request("recolour", Referent(thing, old), (new,))
    assert read(f"{before}remove the {thing}{after}") == Request("remove", Referent(thing))


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(said: str) -> None:
    with suppress(BadInput):
        assert len(read(said).values) <= 2
