"""What a request comes to among the things seen, and what answers make of it."""

from __future__ import annotations

import pytest

from limner.instruction import parse_instruction
from limner.replies import Pending, answered, decide
from limner.requests import read
from limner.seen import Seen
from limner.types import BadInput

RED, BLUE, DOG = Seen("car", "red", "left"), Seen("car", "blue", "right"), Seen("dog", "", "middle")
SEEN = (RED, BLUE, DOG)
TWINS = (Seen("fox", "", "left"), Seen("fox", "", "right"))


def settled(said: str, seen: tuple[Seen, ...] = SEEN, topic: Seen | None = None) -> str:
    found = decide(read(said), seen, topic, said=said)
    assert not isinstance(found, Pending), found.question
    return found.instruction


def asked(said: str, seen: tuple[Seen, ...] = SEEN, topic: Seen | None = None) -> Pending:
    found = decide(read(said), seen, topic, said=said)
    assert isinstance(found, Pending)
    return found


@pytest.mark.parametrize(
    ("said", "instruction"),
    [
        ("make the red car green", "make the red car green"),
        ("Please make the dog red!", "make the dog red"),
        ("make the left car green", "paint the red car green"),
        ("paint the one on the right green", "paint the blue car green"),
        ("remove the thing on the left", "remove the red car"),
        ("make the animal taller", "replace the dog with a taller dog"),
        ("make the left car taller", "replace the red car with a taller red car"),
        ("make the animal bigger", "make the dog bigger"),
        ("move the left car up a bit", "move the red car slightly up"),
        ("move the animal left of the red car", "move the dog to the left of the red car"),
        ("make the dog bigger", "make the dog bigger"),
        ("give the dog a hat", "give the dog a hat"),
        ("add a cat left of the animal", "add a cat left of the dog"),
        ("add a cat next to the animal", "add a cat next to the dog"),
        ("add two cats to the left of the animal", "add two cats left of the dog"),
        ("add two cats", "add two cats"),
        ("put it in the snow", "put it in the snow"),
        ("let it be foggy", "let it be foggy"),
    ],
)
def test_a_clear_request_names_its_thing_beyond_doubt(said: str, instruction: str) -> None:
    assert settled(said) == instruction


def test_twins_are_told_apart_by_their_place() -> None:
    assert settled("remove the fox on the left", TWINS) == "remove the left fox"
    assert parse_instruction(settled("make the left fox taller", TWINS)).value == "taller fox"
    assert parse_instruction(settled("make the left fox bigger", TWINS)).target == "left fox"


def test_it_is_what_was_last_spoken_of() -> None:
    assert settled("paint it green", SEEN, BLUE) == "paint the blue car green"
    assert settled("make it taller", SEEN, DOG) == "replace the dog with a taller dog"
    assert settled("make it bigger", SEEN, DOG) == "make the dog bigger"
    assert settled("move it to the top left", SEEN, DOG) == "move the dog to the top left"
    assert asked("paint it green").among == SEEN


def test_the_only_thing_need_not_be_named() -> None:
    assert settled("paint it green", (DOG,)) == "paint the dog green"


def test_a_thing_answers_to_the_very_words_it_is_called_by() -> None:
    seen = (Seen("cake", "black", "top"), Seen("cake", "", "bottom"), Seen("blue whale", "", "left"))
    assert settled("remove the black cake", seen) == "remove the black cake"
    assert settled("remove the blue whale", seen) == "remove the blue whale"


def test_a_longer_name_answers_to_its_noun() -> None:
    seen = (Seen("bearded man", "", "left"), Seen("old bench", "", "right"))
    assert settled("remove the man", seen) == "remove the bearded man"
    assert asked("remove the woman", seen).among == seen


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("make the car green", "Which car do you mean: the red car on the left or the blue car on the right?"),
        ("remove both cars", "Which car do you mean: the red car on the left or the blue car on the right?"),
        (
            "remove the cat",
            "I see no cat. Which do you mean: the red car on the left, the blue car on the right or the dog in the "
            "middle?",
        ),
        ("paint the dog", "Which colour should the dog be: red, yellow, green or blue?"),
        ("paint the red car", "Which colour should the red car be: yellow, green or blue?"),
        ("move the dog", "Where should the dog go: to the left, to the right, up or down?"),
        ("resize the dog", "How should the dog be: bigger or smaller?"),
        ("change the dog", "What should I do with the dog?"),
        ("replace the dog with something else", "What should I put in place of the dog?"),
        ("add something", "What should I add?"),
        ("another background", "Which background do you want: snow, desert, beach or forest?"),
        ("make it day and night", "Which do you want: day or night?"),
        ("remove the dog and paint it red", "Which do you want: remove the dog or paint the dog red?"),
    ],
)
def test_what_is_unclear_is_asked(said: str, question: str) -> None:
    assert asked(said).question == question


WHICH = asked("make the car green")


@pytest.mark.parametrize(
    "said", ["the red one", "red", "left", "the left one", "the red car, please", "the first", "1"]
)
def test_a_thing_is_picked_by_colour_place_or_order(said: str) -> None:
    found = answered(WHICH, said, SEEN)
    assert found is not None
    assert not isinstance(found, Pending)
    assert found.instruction == "paint the red car green"


@pytest.mark.parametrize("said", ["car", "the green one", "yes", "both", "the third", "what?", "no", "the dog"])
def test_what_picks_nothing_is_no_answer(said: str) -> None:
    assert answered(WHICH, said, SEEN) is None


def test_the_only_thing_offered_may_be_confirmed() -> None:
    pending = asked("remove the cat", (DOG,))
    assert pending.question == "I see no cat. Do you mean the dog in the middle?"
    for said in ("yes", "Yes, please", "the dog", "right"):
        found = answered(pending, said, (DOG,))
        assert found is not None
        assert not isinstance(found, Pending)
        assert found.instruction == "remove the dog"
    assert answered(pending, "no", (DOG,)) is None


@pytest.mark.parametrize(
    ("said", "answer", "instruction"),
    [
        ("paint the dog", "blue", "paint the dog blue"),
        ("paint the dog", "make it purple please", "paint the dog purple"),
        ("paint the dog", "it should be crimson", "paint the dog crimson"),
        ("paint the dog", "the second", "paint the dog yellow"),
        ("another background", "the snow", "change the background to snow"),
        ("another background", "put it in a forest", "change the background to forest"),
        ("another background", "a purple cave", "change the background to purple cave"),
        ("another background", "the last one", "change the background to forest"),
        ("make it day and night", "night", "make it night"),
        ("make it day and night", "the second one", "make it night"),
        ("replace the dog with something else", "a cat", "replace the dog with a cat"),
        ("replace the dog with something else", "two cats", "replace the dog with two cats"),
        ("replace the dog with something else", "put a cat there", "replace the dog with a cat"),
        ("add something next to the dog", "a red hat", "add a red hat next to the dog"),
        ("add something", "two cats", "add two cats"),
        ("change the dog", "paint it red", "paint the dog red"),
        ("change the dog", "red", "paint the dog red"),
        ("change the dog", "remove it", "remove the dog"),
        ("change the dog", "turn it into a cat", "replace the dog with a cat"),
        ("change the dog", "make it taller", "replace the dog with a taller dog"),
        ("change the dog", "make it bigger", "make the dog bigger"),
        ("move the dog", "to the right please", "move the dog to the right"),
        ("move the dog", "the last", "move the dog down"),
        ("move the dog", "next to the red car", "move the dog next to the red car"),
        ("resize the dog", "smaller", "make the dog smaller"),
        ("remove the dog and paint it red", "remove it", "remove the dog"),
        ("remove the dog and paint it red", "red", "paint the dog red"),
        ("remove the dog and paint it red", "the second", "paint the dog red"),
    ],
)
def test_an_answer_makes_one_instruction(said: str, answer: str, instruction: str) -> None:
    found = answered(asked(said), answer, SEEN)
    assert found is not None
    assert not isinstance(found, Pending)
    assert found.instruction == instruction


@pytest.mark.parametrize(
    ("said", "answer", "question"),
    [
        ("paint the car", "the red one", "Which colour should the red car be: yellow, green or blue?"),
        ("something else", "the dog", "What should I do with the dog?"),
        ("paint the dog", "red and blue", "Which do you want: red or blue?"),
        ("change the dog", "paint it", "Which colour should the dog be: red, yellow, green or blue?"),
    ],
)
def test_an_answer_may_lead_to_the_next_question(said: str, answer: str, question: str) -> None:
    found = answered(asked(said), answer, SEEN)
    assert isinstance(found, Pending)
    assert found.question == question


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("paint the dog", "a cat"),
        ("paint the dog", "something dark"),
        ("make it day and night", "the dog"),
        ("change the dog", "why?"),
        ("remove the dog and paint it red", "make it night"),
        ("something else", "make it night"),
    ],
)
def test_what_answers_something_else_is_no_answer(said: str, answer: str) -> None:
    assert answered(asked(said), answer, SEEN) is None


def test_what_is_not_understood_is_bad_input() -> None:
    with pytest.raises(BadInput):
        decide(read("xyzzy"), SEEN, None)
