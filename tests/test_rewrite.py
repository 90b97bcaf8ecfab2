"""Prompts rewritten by instruction: what changes, and that nothing else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.instruction import parse_instruction
from limner.rewrite import Rewritten, rewrite, word_diff
from limner.types import UnknownTask
from tests.scripted import Scripted

CAR = "a red car next to a house in the snow"


class Rules(Scripted):
    """As the rules themselves, it knows no answer to this task."""

    name = "rules"

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        raise UnknownTask("the rules know no answer to this")


def by_rules(prompt: str, instruction: str) -> Rewritten:
    model = Rules()
    written = rewrite(model, prompt, instruction, parse_instruction(instruction))
    assert model.asked == []
    assert written.source == "rules"
    return written


@pytest.mark.parametrize(
    ("prompt", "instruction", "after"),
    [
        (CAR, "make the car blue", "a blue car next to a house in the snow"),
        ("an apple", "make the apple green", "a green apple"),
        ("a green apple", "make the apple orange", "an orange apple"),
        ("a big old house", "paint the house blue", "a big old blue house"),
        ("the old red house", "paint the house blue", "the old blue house"),
        ("two cars in the city", "paint the cars blue", "two blue cars in the city"),
        ("red car, snow", "paint the red car blue", "blue car, snow"),
        ("An old red Volvo and a dog", "paint the Volvo blue", "An old blue Volvo and a dog"),
        ("a red race car", "paint the race car blue", "a blue race car"),
        ("a red fox and a red dog", "paint the dog orange", "a red fox and an orange dog"),
        ("a fox and a dog", "paint the left fox red", "a red fox and a dog"),
        ("a fox with a red hat", "make the hat blue", "a fox with a blue hat"),
        ("a house near car", "paint the car red", "a house near red car"),
        ("a fox", "make it blue", "a blue fox"),
        ("a (red:1.3) car", "make the car blue", "a blue car"),
        ("a (red car:1.3)", "make the car blue", "a (blue car:1.3)"),
    ],
)
def test_a_colour_stands_before_its_noun(prompt: str, instruction: str, after: str) -> None:
    assert by_rules(prompt, instruction) == Rewritten(after, "rules")


@pytest.mark.parametrize(
    ("prompt", "instruction", "after"),
    [
        (CAR, "replace the house with a castle", "a red car next to a castle in the snow"),
        (CAR, "replace the red car with an apple", "an apple next to a house in the snow"),
        ("two cars", "replace the cars with three dogs", "three dogs"),
        ("red car, snow", "replace the car with a boat", "boat, snow"),
        ("a (red car:1.3)", "replace the car with a boat", "a (boat:1.3)"),
    ],
)
def test_one_thing_takes_the_place_of_another(prompt: str, instruction: str, after: str) -> None:
    assert by_rules(prompt, instruction) == Rewritten(after, "rules")


@pytest.mark.parametrize(
    ("prompt", "gone", "after"),
    [
        (CAR, "house", "a red car in the snow"),
        (CAR, "car", "a house in the snow"),
        ("a car, a dog and a house", "dog", "a car and a house"),
        ("a car, a dog and a house", "car", "a dog and a house"),
        ("a dog to the left of a red car", "dog", "a red car"),
        ("a dog to the left of a red car", "car", "a dog"),
        ("a fox wearing a red hat", "hat", "a fox"),
        ("a foxglove and a fox", "fox", "a foxglove"),
        ("a (red car:1.3) and a dog", "car", "a dog"),
        ("a dog and a (red car:1.3), 3d style", "car", "a dog, 3d style"),
        ("a fox in the snow", "fox", "in the snow"),
    ],
)
def test_what_is_removed_goes_with_its_ties(prompt: str, gone: str, after: str) -> None:
    assert by_rules(prompt, f"remove the {gone}") == Rewritten(after, "rules")


@pytest.mark.parametrize(
    ("prompt", "instruction", "after"),
    [
        ("a car", "add a dog", "a car and a dog"),
        ("a car", "add two dogs", "a car and two dogs"),
        ("a car.", "add a dog", "a car and a dog"),
        (CAR, "add a dog", "a red car next to a house and a dog in the snow"),
        ("a fox, 3d style", "add a castle behind the fox", "a fox and a castle behind the fox, 3d style"),
        ("a fox at night", "add a dog left of the fox", "a fox and a dog to the left of the fox at night"),
    ],
)
def test_what_is_added_stands_before_place_and_time(prompt: str, instruction: str, after: str) -> None:
    assert by_rules(prompt, instruction) == Rewritten(after, "rules")


@pytest.mark.parametrize(
    ("prompt", "instruction", "after"),
    [
        (CAR, "put it in the desert", "a red car next to a house in the desert"),
        (CAR, "make it night", "a red car next to a house in the snow at night"),
        ("a fox at night in the snow", "make it day", "a fox in the snow"),
        ("a fox", "make it day", "a fox"),
        ("a fox in the rain", "make it clear", "a fox"),
        ("a fox in fog", "let it rain", "a fox in the rain"),
        ("a fox, masterpiece", "let it snow", "a fox while it snows, masterpiece"),
        ("a fox on the beach, 3d style", "change the style to line art style", "a fox on the beach, line art style"),
        ("a fox, oil painting", "change the style to flat style", "a fox, flat style"),
        ("a fox", "change the style to van gogh", "a fox, van gogh"),
        ("a fox in the forest", "change the background to a purple cave", "a fox, purple cave"),
        ("a fox, snow, night, flat style", "make it day", "a fox, snow, flat style"),
        ("a fox, snow, night, flat style", "make it sunset", "a fox, snow, sunset, flat style"),
        ("a fox, snow, night", "change the background to a desert", "a fox, desert, night"),
        ("a night owl at night", "make it day", "a night owl"),
    ],
)
def test_a_change_of_the_whole_takes_the_place_of_the_last(prompt: str, instruction: str, after: str) -> None:
    assert by_rules(prompt, instruction) == Rewritten(after, "rules")


@pytest.mark.parametrize(
    ("instruction", "after"),
    [
        ("remove the dog", "a fox"),
        ("paint the dog red", "a fox, a red dog"),
        ("paint the left dog red", "a fox, a red dog"),
        ("replace the dog with a cat", "a fox, a cat"),
    ],
)
def test_what_the_prompt_does_not_name_is_said(instruction: str, after: str) -> None:
    written = by_rules("a fox", instruction)
    assert written.prompt == after
    [warning] = written.warnings
    assert warning.startswith("the prompt says nothing of «")


def test_the_last_thing_of_a_prompt_stays_and_that_is_said() -> None:
    written = by_rules("a red fox", "remove the fox")
    assert written.prompt == "a red fox"
    assert written.warnings == ("the prompt says nothing but «fox», so that stays in it",)


def test_what_the_grammar_does_not_know_is_added_as_it_was_said() -> None:
    written = rewrite(Rules(), "a fox.", "rotate the fox a little.", None)
    assert written == Rewritten("a fox, rotate the fox a little", "rules")


def prompt_reply(prompt: str) -> str:
    return json.dumps({"prompt": prompt})


def by_model(prompt: str, instruction: str, *replies: str, known: bool = True) -> Rewritten:
    change = parse_instruction(instruction) if known else None
    return rewrite(Scripted(*map(prompt_reply, replies)), prompt, instruction, change)


@pytest.mark.parametrize(
    ("prompt", "instruction", "reply"),
    [
        (CAR, "make the car blue", "a blue car next to a house in the snow"),
        ("a fox in the snow", "put it in the desert", "a fox in the desert"),
        ("a fox and a dog", "remove the dog", "a fox"),
        (
            "a fox to the left of a dog at night",
            "move the fox to the right of the dog",
            "a fox to the right of a dog at night",
        ),
        ("a fox to the left of a dog at night", "move the dog up", "a fox and a dog at night"),
        ("a cat that is near two dogs", "move the cat to the left", "a cat and two dogs"),
        ("a fox and a dog", "move the fox to the left", "a fox and a dog"),
        ("a big fox", "make the fox smaller", "a big fox"),
        ("a fox and a dog", "replace the dog with a cat", "a fox beside a cat"),
        ("a fox, oil painting", "change the style to flat style", "a fox, flat style"),
        ("a fox at night", "make it day", "a fox in daylight"),
        ("two foxes in the snow", "add a dog", "two foxes and a dog in the snow"),
    ],
)
def test_a_model_that_does_as_it_is_told_is_left_alone(prompt: str, instruction: str, reply: str) -> None:
    assert by_model(prompt, instruction, f" {reply}  ") == Rewritten(reply, "scripted")


@pytest.mark.parametrize(
    ("prompt", "instruction", "reply", "lost"),
    [
        (CAR, "make the car blue", "a blue car in the snow", "house"),
        ("a red car and a dog", "add a cat", "a red house, a dog and a cat", "red car"),
        ("a red car and a dog", "paint the dog red", "a red dog", "red car"),
        ("a fox in the snow at night", "make the fox red", "a red fox", "snow, night"),
        ("a dog", "add a hat to the dog", "a hat", "dog"),
    ],
)
def test_a_keyword_that_a_model_drops_is_put_back_and_said(
    prompt: str, instruction: str, reply: str, lost: str
) -> None:
    written = by_model(prompt, instruction, f"{reply}.")
    assert written.prompt == f"{reply}, {lost}"
    assert written.warnings == (f"scripted had dropped {lost}: put back",)


def test_of_what_the_grammar_does_not_know_a_model_may_drop_what_was_spoken_of() -> None:
    dropped = by_model("a fox and a dog", "swing the dog away", "a fox", known=False)
    assert dropped == Rewritten("a fox", "scripted")
    assert by_model("a fox and a dog", "swing the dog away", "a", known=False).prompt == "a, fox"


@pytest.mark.parametrize(
    "bad", ["a plain answer", "{}", prompt_reply(""), prompt_reply("a\x00b"), prompt_reply("x" * 4001)]
)
def test_rubbish_is_refused_and_the_rules_answer(bad: str) -> None:
    model = Scripted(bad)
    written = rewrite(model, "a car", "remove the dog", parse_instruction("remove the dog"))
    assert (written.prompt, written.source) == ("a car", "rules")
    assert written.warnings[0].startswith("scripted gave no usable answer")
    assert written.warnings[1] == "the prompt says nothing of «dog»"
    assert "your last reply was refused" in model.asked[-1]


def test_a_model_reads_prompt_and_instruction_as_data() -> None:
    model = Scripted(prompt_reply("a blue car"))
    rewrite(model, "a car", "make the car blue", parse_instruction("make the car blue"))
    assert model.asked == [{"task": "rewrite", "prompt": "a car", "instruction": "make the car blue"}]


WORDS = st.lists(st.sampled_from(["a", "red", "fox", "and", "dog", "snow,"]), max_size=12).map(" ".join)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_a_word_diff_holds_both_prompts(before: str, after: str) -> None:
    runs = word_diff(before, after)
    assert " ".join(words for kind, words in runs if kind != "in") == before
    assert " ".join(words for kind, words in runs if kind != "out") == after
    assert all(words for _, words in runs)


def test_a_word_diff_is_short() -> None:
    assert word_diff("a red fox in the snow", "a blue fox in the snow") == [
        ("same", "a"),
        ("out", "red"),
        ("in", "blue"),
        ("same", "fox in the snow"),
    ]
    assert word_diff("a fox", "a  fox") == [("same", "a fox")]
    assert word_diff("", "") == []


PROMPTS = st.sampled_from([CAR, "a (fox:1.2), oil painting", "two dogs", "x", "a car, night", "a fox in fog at night."])
INSTRUCTIONS = st.sampled_from(
    [
        "make it night",
        "remove the fox",
        "paint the dogs red",
        "add a cat",
        "replace the car with a cat",
        "make it clear",
    ]
)


@settings(deadline=None, max_examples=50)
@given(PROMPTS, st.lists(INSTRUCTIONS, min_size=1, max_size=6))
def test_a_prompt_stays_a_prompt_through_many_changes(prompt: str, instructions: list[str]) -> None:
    for instruction in instructions:
        prompt = by_rules(prompt, instruction).prompt
    assert prompt.strip(" ,.")
    assert "  " not in prompt
    assert ",," not in prompt
    assert prompt.count("(") == prompt.count(")")
