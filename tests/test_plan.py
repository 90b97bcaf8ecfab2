"""From a sentence to steps: what people say in a chat, and language models that say something else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.plan import MAX_STEPS, Mode, Step, by_rules, plan, way
from limner.seen import Seen
from limner.types import BadInput, Change
from tests.scripted import Scripted

SEEN = (Seen("car", "red", "left"),)


def steps(said: str, has_picture: bool = True) -> list[tuple[str, str]]:
    return [(step.kind, step.text) for step in by_rules(said, has_picture=has_picture)]


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("a fox", "a fox"),
        ("a red car, oil painting.", "a red car, oil painting."),
        ("draw me a fox in the snow", "a fox in the snow"),
        ("can you draw a fox?", "a fox"),
        ("show me a dog please", "a dog"),
        ("Hello, please paint two cars", "two cars"),
        ("I'd like a castle at night", "a castle at night"),
        ("draw a picture of a fox", "a fox"),
        ("a dog next to the house", "a dog next to the house"),
        ("draw a dog next to the house", "a dog next to the house"),
        ("undo", "undo"),
        ("is there life on mars?", "is there life on mars?"),
    ],
)
def test_the_first_sentence_is_drawn(said: str, prompt: str) -> None:
    assert steps(said, has_picture=False) == [("draw", prompt)]


@settings(deadline=None)
@given(st.text(min_size=1).filter(str.strip))
def test_whatever_the_first_sentence_is(said: str) -> None:
    [step] = by_rules(f"{said} fox", has_picture=False)
    assert step.kind == "draw"
    assert step.text.strip()


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("draw me a castle", "a castle"),
        ("draw a castle", "a castle"),
        ("Can you draw me a castle?", "a castle"),
        ("no, draw a castle instead", "a castle"),
        ("instead draw a fox", "a fox"),
        ("draw me a castle in the snow", "a castle in the snow"),
        ("draw a fox on the beach", "a fox on the beach"),
        ("draw a house and a tree", "a house and a tree"),
        ("start over with a fox", "a fox"),
        ("start again: a fox next to the house", "a fox next to the house"),
        ("a new picture of a dog", "a dog"),
        ("new picture: a dog", "a dog"),
        ("another picture of a cat", "a cat"),
        ("make a new picture of two foxes please", "two foxes"),
        ("I want a picture of a fox", "a fox"),
        ("give me a picture of a cat", "a cat"),
        ("show me a castle", "a castle"),
    ],
)
def test_what_asks_for_another_picture_is_drawn_anew(said: str, prompt: str) -> None:
    assert steps(said) == [("draw", prompt)]


@pytest.mark.parametrize("said", ["start over", "Start again, please!", "begin from scratch"])
def test_starting_over_wants_to_know_with_what(said: str) -> None:
    with pytest.raises(BadInput, match="what to draw") as caught:
        by_rules(said, has_picture=True)
    assert "start over with a fox" in caught.value.hint


@pytest.mark.parametrize(
    "said",
    [
        "draw a dog next to the house",
        "draw me a hat on the dog",
        "draw a boat under the bridge",
        "draw a dog beside it",
        "make it night",
        "put it in the snow",
        "another colour",
        "can you make the car blue?",
        "could you add a dog?",
        "what about a dog?",
        "how about night?",
        "something else",
        "turn it into an oil painting",
        "add a cat and a dog",
        "make it day and night",
        "remove the dog and paint it red",
        "replace the car with a house and the dog with a cat",
        "never mind",
    ],
)
def test_what_speaks_of_the_picture_changes_it(said: str) -> None:
    assert steps(said) == [("change", said)]


@pytest.mark.parametrize("said", ["undo", "Undo that, please.", "go back", "forget that", "forget it", "revert"])
def test_what_takes_the_last_step_back(said: str) -> None:
    assert steps(said) == [("undo", "")]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("forget the dog", "the dog"),
        ("please forget about the red car.", "the red car"),
        ("no, forget the snow!", "the snow"),
    ],
)
def test_what_is_to_be_forgotten_is_named(said: str, what: str) -> None:
    assert steps(said) == [("forget", what)]


@pytest.mark.parametrize(
    "said",
    [
        "what is in the picture?",
        "what do you see",
        "how many cars are there?",
        "is there a dog",
        "Is the car red?",
        "where is the dog?",
        "what colour is the car?",
        "why is it dark?",
        "describe the picture.",
        "tell me what you see",
    ],
)
def test_questions_are_looked_at(said: str) -> None:
    assert steps(said) == [("look", said)]


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("make the car blue and add a dog", ["make the car blue", "add a dog"]),
        ("make the car blue, add a dog", ["make the car blue", "add a dog"]),
        (
            "make the car blue, then remove the cat and make it night",
            ["make the car blue", "remove the cat", "make it night"],
        ),
        ("Make the car blue; remove the cat", ["Make the car blue", "remove the cat"]),
        ("add a dog. make it night.", ["add a dog", "make it night"]),
        ("paint the car red, and then let it snow", ["paint the car red", "let it snow"]),
    ],
)
def test_several_changes_are_steps_in_order(said: str, changes: list[str]) -> None:
    assert steps(said) == [("change", change) for change in changes]


def test_there_is_a_limit_to_the_steps_of_a_sentence() -> None:
    most = " and ".join(["make it night"] * MAX_STEPS)
    assert len(steps(most)) == MAX_STEPS
    assert len(steps(f"{most} and make it night")) == 1


def test_what_may_answer_an_open_question_does() -> None:
    def asked(said: str) -> tuple[Step, ...]:
        return plan(Scripted(), said, prompt="a car", seen=SEEN, asked=True).steps

    assert asked("the red one") == (Step("change", "the red one"),)
    assert asked("a dog and add a cat") == (Step("change", "a dog and add a cat"),)
    assert asked("draw a dog") == (Step("change", "draw a dog"),)
    assert asked("start over with a dog") == (Step("draw", "a dog"),)
    assert asked("how many cars are there?") == (Step("look", "how many cars are there?"),)
    assert asked("undo") == (Step("undo"),)
    assert asked("Never mind.") == (Step("undo"),)


def reply(*said: tuple[str, str]) -> str:
    return json.dumps({"steps": [{"kind": kind, "text": text} for kind, text in said]})


def test_a_language_model_may_plan() -> None:
    model = Scripted(reply(("change", " make the car blue "), ("undo", "")))
    found = plan(model, "blau, nein doch nicht", prompt="a car", seen=SEEN, asked=False)
    assert found.steps == (Step("change", "make the car blue"), Step("undo"))
    assert (found.source, found.warnings) == ("scripted", ())
    assert model.asked == [
        {"task": "plan", "seen": ["red car on the left"], "prompt": "a car", "said": "blau, nein doch nicht"}
    ]


@pytest.mark.parametrize(
    "bad",
    [
        "sorry, I cannot",
        "{}",
        reply(),
        reply(("delete", "everything")),
        reply(("change", "  ")),
        reply(*[("change", "make it night")] * (MAX_STEPS + 1)),
        '{"steps": [{"kind": "draw", "text": "a fox", "path": "/etc/passwd"}]}',
        reply(("draw", "x" * 4001)),
    ],
)
def test_rubbish_is_refused_and_the_rules_answer(bad: str) -> None:
    model = Scripted(bad)
    found = plan(model, "make it night", prompt="a car", seen=SEEN, asked=False)
    assert found.steps == (Step("change", "make it night"),)
    assert found.source == "rules"
    [warning] = found.warnings
    assert warning.startswith("scripted gave no usable answer")
    assert len(model.asked) > 1
    assert "your last reply was refused" in model.asked[-1]


def test_a_better_second_reply_counts() -> None:
    model = Scripted("hm", reply(("look", "what is there?")))
    assert plan(model, "?", prompt="a car", seen=(), asked=False).steps == (Step("look", "what is there?"),)


def test_without_a_picture_a_model_must_draw_first() -> None:
    model = Scripted(reply(("change", "make it night")), reply(("draw", "a fox"), ("change", "make it night")))
    found = plan(model, "a fox at night", prompt=None, seen=(), asked=False)
    assert [step.kind for step in found.steps] == ["draw", "change"]
    assert "no picture yet" in str(model.asked[1]["your last reply was refused"])


def test_an_unplugged_model_is_said_to_be() -> None:
    found = plan(Scripted(), "a fox", prompt=None, seen=(), asked=False)
    assert found.steps == (Step("draw", "a fox"),)
    assert found.warnings == ("scripted gave no usable answer (unplugged); the rules answered instead",)


LOCAL = Change("recolour", "make the car blue", "car", "blue")
WHOLE = Change("time", "make it night", "", "night")


@pytest.mark.parametrize(
    ("change", "mode", "edited", "expected"),
    [
        (LOCAL, "auto", False, "edit"),
        (LOCAL, "auto", True, "edit"),
        (LOCAL, "rewrite", True, "rewrite"),
        (WHOLE, "auto", False, "rewrite"),
        (WHOLE, "auto", True, "edit"),
        (WHOLE, "edit", False, "edit"),
        (None, "auto", True, "rewrite"),
        (None, "edit", True, "rewrite"),
    ],
)
def test_rewrite_or_edit(change: Change | None, mode: Mode, edited: bool, expected: str) -> None:
    assert way(change, mode, edited=edited) == expected
