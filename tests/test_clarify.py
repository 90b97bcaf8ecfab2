"""Asked exactly when needed, by the rules and by language models that may lie."""

from __future__ import annotations

import json
from random import Random

import pytest

from limner.clarify import Clarified, by_rules, clarify
from limner.instruction import parse_instruction
from limner.seen import Seen
from limner.types import BadInput, Change
from limner.world.dialogue import Exchange, Utterance, sample_dialogue
from tests.scripted import Scripted

RED, BLUE, DOG = Seen("car", "red", "left"), Seen("car", "blue", "right"), Seen("dog", "", "middle")
SEEN = (RED, BLUE, DOG)
WHICH = "Which car do you mean: the red car on the left or the blue car on the right?"


def talk(*said: str) -> list[Utterance]:
    """User and system in turn."""
    return [Utterance("system" if place % 2 else "user", text) for place, text in enumerate(said)]


def test_a_clear_sentence_is_an_instruction() -> None:
    assert by_rules(SEEN, [], "make the red car green") == Clarified(instruction="make the red car green")


def test_an_unclear_one_is_a_question_with_choices() -> None:
    found = by_rules(SEEN, [], "make the car green")
    assert found == Clarified(question=WHICH, choices=("red car on the left", "blue car on the right"))


def test_taking_back_is_neither() -> None:
    assert by_rules(SEEN, talk("make the car green", WHICH), "forget that") == Clarified(undo=True)


@pytest.mark.parametrize(
    ("history", "said", "instruction"),
    [
        (("make the car green", WHICH), "the red one", "paint the red car green"),
        (("make the car green", WHICH, "hm", WHICH), "right", "paint the blue car green"),
        (("make the car green", WHICH), "make it night", "make it night"),
        (("make the car green", WHICH, "xyzzy", WHICH), "left", "paint the red car green"),
        (("change it", "Which do you mean?", "the dog", "What should I do with the dog?"), "red", "paint the dog red"),
        (("paint the dog red", "[EDIT] paint the dog red"), "now replace it with a cat", "replace the dog with a cat"),
        (("add a dog", "[EDIT] add a dog"), "paint it blue", "paint the dog blue"),
        (("make the red car blue", "[EDIT] x", "paint the dog red", "[EDIT] paint the dog red"), "remove it", None),
    ],
)
def test_what_was_said_before_counts(history: tuple[str, ...], said: str, instruction: str | None) -> None:
    assert by_rules(SEEN, talk(*history), said).instruction == (instruction or "remove the dog")


def test_after_an_undo_it_is_anybodys_guess() -> None:
    history = talk("paint the dog red", "[EDIT] paint the dog red", "undo", "[UNDO]")
    assert by_rules(SEEN, history, "remove it").question.startswith("Which do you mean")


def test_a_settled_question_is_not_answered_again() -> None:
    history = talk("make the car green", WHICH, "the red one", "[EDIT] paint the red car green")
    with pytest.raises(BadInput):
        by_rules(SEEN, history, "xyzzy")


@pytest.mark.parametrize("said", ["xyzzy", "rotate the dog"])
def test_what_the_rules_do_not_understand_is_bad_input(said: str) -> None:
    with pytest.raises(BadInput, match="not understood"):
        by_rules(SEEN, [], said)
    assert by_rules(SEEN, talk("make the car green", WHICH), said).question == WHICH


def test_in_a_picture_of_nothing_there_is_nothing_to_offer() -> None:
    assert by_rules((), [], "remove the dog") == Clarified(question="I see no dog. What do you mean?")
    assert by_rules((), [], "make it night").instruction == "make it night"


def meaning(instruction: str) -> Change:
    change = parse_instruction(instruction)
    return Change(change.kind, "", change.target, change.value, change.place)


def answer_to(exchange: Exchange) -> Clarified:
    try:
        return by_rules(exchange.seen or (), exchange.history, exchange.said)
    except BadInput:
        return Clarified()


def test_in_sampled_dialogues_the_rules_ask_when_it_is_needed_and_get_the_instruction_right() -> None:
    rng = Random(4)
    exchanges = [each for _ in range(200) for each in sample_dialogue(rng).exchanges()]
    answers = [(each, answer_to(each)) for each in exchanges]
    unclear = [bool(found.question) for each, found in answers if each.asks]
    clear = [(each.instruction, found) for each, found in answers if each.instruction]
    backs = [found.undo for each, found in answers if not each.asks and not each.instruction]
    right = [bool(f.instruction) and meaning(f.instruction) == meaning(wanted) for wanted, f in clear]
    assert min(len(unclear), len(clear)) > 80
    assert sum(unclear) >= 0.97 * len(unclear)
    assert sum(bool(found.question) for _, found in clear) <= 0.02 * len(clear)
    assert sum(right) >= 0.96 * len(right)
    assert backs
    assert all(backs)


def reply(**said: object) -> str:
    return json.dumps(said)


def test_a_language_model_may_decide() -> None:
    model = Scripted(reply(question="Welches Auto?", choices=["rot", "blau"]))
    history = talk("hello", "What should I change?")
    found = clarify(model, SEEN, history, "mach das Auto grün")
    assert found == Clarified(question="Welches Auto?", choices=("rot", "blau"), source="scripted")
    assert model.asked == [
        {
            "task": "clarify",
            "seen": ["red car on the left", "blue car on the right", "dog in the middle"],
            "history": [
                {"speaker": "user", "text": "hello"},
                {"speaker": "system", "text": "What should I change?"},
            ],
            "said": "mach das Auto grün",
        }
    ]
    assert clarify(Scripted(reply(undo=True)), SEEN, [], "zurück") == Clarified(undo=True, source="scripted")
    painted = clarify(Scripted(reply(instruction="paint the dog red")), SEEN, [], "Hund rot")
    assert painted == Clarified(instruction="paint the dog red", source="scripted")


@pytest.mark.parametrize(
    "bad",
    [
        "certainly!",
        reply(),
        reply(undo=False),
        reply(instruction="xyzzy the dog"),
        reply(instruction="make it night", question="Really?"),
        reply(question="Really?", undo=True),
        reply(instruction="make it night", path="/etc/passwd"),
        reply(instruction=["make it night"]),
        reply(question="x" * 401),
        reply(question="Which?", choices=["x"] * 25),
    ],
)
def test_lies_and_rubbish_are_refused_and_the_rules_answer(bad: str) -> None:
    model = Scripted(bad)
    found = clarify(model, SEEN, [], "make the red car green")
    assert (found.instruction, found.source) == ("make the red car green", "rules")
    [warning] = found.warnings
    assert warning.startswith("scripted gave no usable answer (")
    assert warning.endswith("the rules answered instead")
    assert len(model.asked) > 1
    assert "your last reply was refused" in model.asked[-1]


def test_a_better_second_reply_counts() -> None:
    model = Scripted(reply(instruction="make it night", undo=True), reply(instruction="make it night"))
    assert clarify(model, SEEN, [], "night") == Clarified(instruction="make it night", source="scripted")
    assert "an instruction, a question, or an undo" in str(model.asked[1]["your last reply was refused"])


def test_where_the_rules_do_not_understand_either_it_is_bad_input() -> None:
    with pytest.raises(BadInput, match="not understood"):
        clarify(Scripted("hm"), SEEN, [], "xyzzy")
