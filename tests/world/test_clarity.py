"""The one policy: what is meant, how a thing is named so that it is told from all others, and what is asked."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.instruction import parse_instruction
from limner.seen import Seen, summary
from limner.types import EditKind
from limner.world.clarity import (
    OFFERED,
    Referent,
    Request,
    can_be_told_apart,
    choices_of,
    explicit,
    is_offered,
    is_sound,
    meant,
    nouns_of,
    read_seen,
    unique_name,
    what_of,
    whereto,
    which,
)
from limner.world.dialogue import sample_dialogue

RED, BLUE = Seen("car", "red", "left"), Seen("car", "blue", "right")
CAT, DUCK = Seen("cat", "", "top"), Seen("duck", "", "bottom")
THINGS = st.lists(
    st.builds(
        Seen,
        st.sampled_from(["car", "cat", "ice cream"]),
        st.sampled_from(["", "red", "blue"]),
        st.sampled_from(["left", "right", "top", "middle"]),
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


def test_a_thing_is_called_by_its_name_and_broader_nouns() -> None:
    assert nouns_of("duck") == ("duck", "bird", "animal")
    assert nouns_of("car") == ("car", "vehicle")
    assert nouns_of("tent") == ("tent",)  # «thing» says nothing
    assert nouns_of("whatever a detector says") == ("whatever a detector says",)


@pytest.mark.parametrize(
    ("referent", "expected"),
    [
        (Referent("car"), [RED, BLUE]),
        (Referent("car", "blue"), [BLUE]),
        (Referent("car", where="left"), [RED]),
        (Referent("animal"), [CAT, DUCK]),
        (Referent("bird"), [DUCK]),
        (Referent("cat", "red"), [CAT]),  # of unknown colour: it may be red
        (Referent("car", "green"), []),
        (Referent("dog"), []),
        (Referent(), [RED, BLUE, CAT, DUCK]),
    ],
)
def test_what_words_mean(referent: Referent, expected: list[Seen]) -> None:
    assert meant(referent, (RED, BLUE, CAT, DUCK)) == expected


def test_it_is_what_was_last_spoken_of_while_that_is_seen() -> None:
    assert meant(Referent(), (RED, CAT), topic=CAT) == [CAT]
    assert meant(Referent(), (RED, BLUE), topic=CAT) == [RED, BLUE]
    assert meant(Referent("car"), (RED, CAT), topic=CAT) == [RED]


@pytest.mark.parametrize(
    ("thing", "seen", "name"),
    [
        (RED, (RED, CAT), "car"),
        (RED, (RED, BLUE), "red car"),
        (Seen("car", "red", "left"), (RED, Seen("car", "red", "right")), "left car"),
        (RED, (RED, Seen("car", "red", "top"), Seen("car", "blue", "left")), "left red car"),
        (CAT, (CAT, Seen("cat", "", "left")), "top cat"),
    ],
)
def test_the_shortest_name(thing: Seen, seen: tuple[Seen, ...], name: str) -> None:
    assert unique_name(thing, seen) == name


@given(THINGS)
def test_things_that_can_be_told_apart_have_names_of_their_own(seen: list[Seen]) -> None:
    names = [unique_name(thing, seen) for thing in seen]
    assert not can_be_told_apart(seen) or len(set(names)) == len(seen)
    assert can_be_told_apart(seen[:1])


def test_two_in_one_place_whose_colours_are_unknown_cannot_be_told_apart() -> None:
    assert can_be_told_apart((RED, BLUE))
    assert not can_be_told_apart((CAT, CAT))
    assert not can_be_told_apart((RED, Seen("car", "", "left")))


@pytest.mark.parametrize(
    ("kind", "value", "relation", "meaning"),
    [
        ("replace", "orange bus", "", ("left car", "orange bus", "")),
        ("add", "dog", "left of", ("", "dog", "left of the left car")),
        ("remove", "", "", ("left car", "", "")),
        ("recolour", "turquoise", "", ("left car", "turquoise", "")),
        ("restyle", "3d style", "", ("", "3d", "")),
        ("background", "white", "", ("", "white background", "")),
        ("time", "sunset", "", ("", "sunset", "")),
        ("weather", "snow", "", ("", "snowfall", "")),
    ],
)
def test_the_instruction_means_what_was_wanted(
    kind: EditKind, value: str, relation: str, meaning: tuple[str, str, str]
) -> None:
    change = parse_instruction(explicit(kind, "left car", value, relation))
    assert (change.kind, (change.target, change.value, change.place)) == (kind, meaning)


@pytest.mark.parametrize("kind", OFFERED)
def test_whatever_is_offered_can_be_carried_out(kind: EditKind) -> None:
    for value in OFFERED[kind]:
        assert parse_instruction(explicit(kind, "car", value)).kind == kind


def test_questions_offer_what_is_seen() -> None:
    car = Referent("car")
    both = "Which car do you mean: the red car on the left or the blue car on the right?"
    assert which(car, (RED, BLUE), (RED, BLUE, CAT)) == both
    assert which(Referent("dog"), (), (RED,)) == "I see no dog. Do you mean the red car on the left?"
    assert which(Referent("dog"), (), ()) == "I see no dog. What do you mean?"
    assert which(Referent(), (RED, CAT), (RED, CAT)) == (
        "Which do you mean: the red car on the left or the cat at the top?"
    )
    assert what_of((RED, CAT)) == "What should I change: the red car on the left or the cat at the top?"
    assert what_of((RED,)) == what_of(()) == "What should I change?"


def test_questions_for_a_value() -> None:
    assert whereto(Request("recolour"), "car", "red") == "Which colour should the car be: yellow, green or blue?"
    assert whereto(Request("time", values=("day", "night")), "") == "Which do you want: day or night?"
    assert whereto(Request("replace"), "left car") == "What should I put in place of the left car?"
    assert whereto(Request("add"), "") == "What should I add?"
    assert whereto(Request(None), "cat") == "What should I do with the cat?"
    assert whereto(Request("background"), "").startswith("Which background do you want: snow,")


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        (which(Referent("car"), (RED, BLUE), ()), (RED.text, BLUE.text)),
        (which(Referent("dog"), (), (CAT,)), (CAT.text,)),
        ("Which do you want: remove the car or paint the car red?", ("remove the car", "paint the car red")),
        ("Which do you want: day or night?", ("day", "night")),
        ("What should I do with the cat?", ()),
        ("What should I add?", ()),
    ],
)
def test_the_choices_are_read_from_the_question(question: str, choices: tuple[str, ...]) -> None:
    assert choices_of(question, [RED.text, BLUE.text, CAT.text]) == choices


@given(THINGS)
def test_what_was_seen_is_read_as_it_was_written(things: list[Seen]) -> None:
    assert [read_seen(thing.text) for thing in things] == things


def test_a_noun_of_two_words_is_no_colour_and_a_noun() -> None:
    assert read_seen("green palm tree on the left") == Seen("palm tree", "green", "left")
    assert read_seen("palm tree in the middle") == Seen("palm tree", "", "middle")
    assert read_seen("orange") == Seen("orange")


def test_all_that_the_world_answers_can_be_meant() -> None:
    rng = Random("sound")
    for exchange in (each for _ in range(150) for each in sample_dialogue(rng).exchanges()):
        seen = exchange.seen or ()
        read = " ".join([summary(seen), *(each.text for each in exchange.history), exchange.said])
        if exchange.asks:
            assert is_offered(exchange.reply, seen)
        elif exchange.instruction:
            assert is_sound(parse_instruction(exchange.instruction), seen, read)


@pytest.mark.parametrize(
    ("instruction", "sound"),
    [
        ("paint the red car green", True),
        ("paint the car green", False),  # two answer to it
        ("remove the dog", False),  # none does
        ("replace the cat with a unicorn", True),
        ("replace the cat with a unicorm", False),  # nobody said that
        ("add a unicorn left of the left car", True),
        ("add a unicorn left of the tree", False),
        ("add a unicorn", True),
        ("make it night", True),
    ],
)
def test_an_instruction_names_one_thing_seen_in_words_that_were_read(instruction: str, sound: bool) -> None:
    read = "I see a red car on the left, a blue car on the right and a cat.  paint it green; a unicorn, a dog, a tree"
    assert is_sound(parse_instruction(instruction), (RED, BLUE, CAT), read) == sound


def test_a_question_of_which_thing_offers_only_what_is_seen() -> None:
    question = which(Referent("car"), (RED, BLUE), (RED, BLUE))
    assert is_offered(question, (RED, BLUE, CAT))
    assert not is_offered(question, (RED, CAT))
    assert not is_offered(what_of((RED, DUCK)), (RED, CAT))
    assert is_offered("Which do you want: day or night?", ())
