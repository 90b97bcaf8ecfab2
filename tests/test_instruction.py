"""What people say, by hand and by the thousand, and what it means; nonsense and hostile replies are told apart."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.backends.language import RulesModel
from limner.instruction import MAX_INSTRUCTION_CHARS, parse_instruction
from limner.types import BadInput, Change
from limner.understanding import understand
from limner.world.edits import sample_edit
from limner.world.sample import Palette
from limner.world.vocabulary import CONCEPTS, STYLE_PHRASES
from limner.writer import ATTEMPTS
from tests.scripted import Scripted

EVERY_STYLE = Palette(styles=tuple(STYLE_PHRASES), tint=0.6)
# Nouns that say something else to anybody: «remove the fog», «make the traffic light yellow», «add a sun behind cloud».
NOUNS = tuple(name for name in CONCEPTS if not re.search("^fog|^thunderstorm|^sunrise|^sunset| light$| behind ", name))
EVERY_NOUN = replace(EVERY_STYLE, concepts=NOUNS)

SAID = {
    # replace
    "replace the fox with a dog": ("replace", "fox", "dog", ""),
    "turn the fox into a dog": ("replace", "fox", "dog", ""),
    "Swap the hot-air balloon for a zeppelin.": ("replace", "hot-air balloon", "zeppelin", ""),
    "substitute a dog for the cat": ("replace", "cat", "dog", ""),
    "fox -> dog": ("replace", "fox", "dog", ""),
    "make the fox a dog": ("replace", "fox", "dog", ""),
    "could you please change the red car to a bus?": ("replace", "red car", "bus", ""),
    "I want you to put a lamp in place of the vase": ("replace", "vase", "lamp", ""),
    "a dog instead of the cat": ("replace", "cat", "dog", ""),
    "the fox should be a wolf": ("replace", "fox", "wolf", ""),
    "replace the apple with an orange": ("replace", "apple", "orange", ""),
    "dragon instead of dog": ("replace", "dog", "dragon", ""),
    "make the dog look like a wolf": ("replace", "dog", "wolf", ""),
    "make the fox look happy": ("replace", "fox", "happy fox", ""),
    "replace apples with oranges": ("replace", "apples", "oranges", ""),
    "replace the bottle with popping cork with a bowl": ("replace", "bottle with popping cork", "bowl", ""),
    "make the house taller": ("replace", "house", "taller house", ""),
    # move
    "move the fox to the right": ("move", "fox", "right", ""),
    "please move the left fox a little to the right": ("move", "left fox", "slightly right", ""),
    "move it up": ("move", "", "up", ""),
    "shift the castle down a bit": ("move", "castle", "slightly down", ""),
    "push the tree into the top right corner": ("move", "tree", "top right", ""),
    "drag the house to the right side of the picture": ("move", "house", "right", ""),
    "move the red fox to the left of the castle": ("move", "red fox", "left of the castle", ""),
    "move the fox closer to the castle": ("move", "fox", "next to the castle", ""),
    "move the fox to the desert": ("background", "", "desert", ""),
    "move it to Mars": ("background", "", "Mars", ""),
    # resize
    "make the house bigger": ("resize", "house", "bigger", ""),
    "make it a bit smaller": ("resize", "", "slightly smaller", ""),
    "the fox should be twice as big": ("resize", "fox", "much bigger", ""),
    "enlarge the red fox": ("resize", "red fox", "bigger", ""),
    "shrink the castle": ("resize", "castle", "smaller", ""),
    "halve the size of the fox": ("resize", "fox", "much smaller", ""),
    "make the picture bigger": ("restyle", "", "bigger", ""),
    # add
    "add a dog next to the cat": ("add", "", "dog", "next to the cat"),
    "put a hat on the table": ("add", "", "hat", "on the table"),
    "add a tree above the house": ("add", "", "tree", "above the house"),
    "add a dog to the left of the castle": ("add", "", "dog", "left of the castle"),
    "Please add two red birds over the castle!": ("add", "", "two red birds", "above the castle"),
    "add a dog to the picture": ("add", "", "dog", ""),
    "there should be a moon in the sky": ("add", "", "moon", "in the sky"),
    "on the left of the tree, draw a bench": ("add", "", "bench", "left of the tree"),
    "give the dog a top hat": ("add", "", "top hat", "on the dog"),
    "put the crown on the lion": ("add", "", "crown", "on the lion"),
    "make the cat wear a hat": ("add", "", "hat", "on the cat"),
    "add some trees in the background": ("add", "", "trees", "in the background"),
    "add a cat with a hat": ("add", "", "cat with a hat", ""),
    "I'd like a cat": ("add", "", "cat", ""),
    # remove
    "remove the cat": ("remove", "cat", "", ""),
    "delete the red car from the picture": ("remove", "red car", "", ""),
    "get rid of the power lines": ("remove", "power lines", "", ""),
    "can you erase that ugly lamp post please": ("remove", "ugly lamp post", "", ""),
    "take the cat away": ("remove", "cat", "", ""),
    "take the hat off the dog": ("remove", "hat", "", ""),
    "make the cat disappear": ("remove", "cat", "", ""),
    "I don't want the cat": ("remove", "cat", "", ""),
    # recolour
    "make the car blue": ("recolour", "car", "blue", ""),
    "make the Car light blue": ("recolour", "Car", "light blue", ""),
    "turn the blue car red": ("recolour", "blue car", "red", ""),
    "paint the old house turquoise": ("recolour", "old house", "turquoise", ""),
    "color the ball orange": ("recolour", "ball", "orange", ""),
    "change the color of the car to crimson": ("recolour", "car", "crimson", ""),
    "change the car from red to green": ("recolour", "car", "green", ""),
    "change the car's colour to navy": ("recolour", "car", "navy", ""),
    "give the car a pink colour": ("recolour", "car", "pink", ""),
    "the car should be yellow": ("recolour", "car", "yellow", ""),
    "I want the car to be blue": ("recolour", "car", "blue", ""),
    "make this car lighter blue": ("recolour", "car", "lighter blue", ""),
    "make all the cars red": ("recolour", "cars", "red", ""),
    "make the zebra black and white": ("recolour", "zebra", "black and white", ""),
    "color the car #ff0000": ("recolour", "car", "#ff0000", ""),
    "make the sky pink": ("recolour", "sky", "pink", ""),
    "make it blue": ("recolour", "", "blue", ""),
    "car -> red": ("recolour", "car", "red", ""),
    # restyle
    "make it a 3d render": ("restyle", "", "3d", ""),
    "redraw the picture in flat style": ("restyle", "", "flat", ""),
    "make it look like a cartoon": ("restyle", "", "noto", ""),
    "make it look like a van Gogh painting": ("restyle", "", "van Gogh painting", ""),
    "turn it into a pencil sketch": ("restyle", "", "pencil sketch", ""),
    "make it black and white": ("restyle", "", "black and white", ""),
    "turn this into a painting by Monet": ("restyle", "", "painting by Monet", ""),
    "in the style of Hokusai": ("restyle", "", "Hokusai", ""),
    "make it in the style of Hokusai": ("restyle", "", "Hokusai", ""),
    "change the style to line art": ("restyle", "", "line", ""),
    "turn the photo into a watercolour": ("restyle", "", "watercolour", ""),
    # background
    "put it on the beach": ("background", "", "beach", ""),
    "in the snow": ("background", "", "snow", ""),
    "put the fox in the snow": ("background", "", "snow", ""),
    "change the background to a forest": ("background", "", "forest", ""),
    "make the background a desert": ("background", "", "desert", ""),
    "make the background white": ("background", "", "white background", ""),
    "give it a plain blue background": ("background", "", "blue background", ""),
    "replace the background with the streets of Paris": ("background", "", "streets of Paris", ""),
    "put them in a football stadium": ("background", "", "football stadium", ""),
    "turn the desert into a meadow": ("background", "", "meadow", ""),
    "remove the background": ("background", "", "white background", ""),
    "make it a snowy landscape": ("background", "", "snow", ""),
    # time
    "make it night": ("time", "", "night", ""),
    "it should be night": ("time", "", "night", ""),
    "set it at sunset": ("time", "", "sunset", ""),
    "turn day into night": ("time", "", "night", ""),
    "let it be dusk": ("time", "", "sunset", ""),
    "change the time of day to dawn": ("time", "", "dawn", ""),
    # weather
    "let it rain": ("weather", "", "rain", ""),
    "make it snow": ("weather", "", "snowfall", ""),
    "make it sunny": ("weather", "", "clear", ""),
    "make it a rainy day": ("weather", "", "rain", ""),
    "add some fog": ("weather", "", "fog", ""),
    "stop the rain": ("weather", "", "clear", ""),
    "remove the fog": ("weather", "", "clear", ""),
    "make it stop raining": ("weather", "", "clear", ""),
    "change the weather to a hailstorm": ("weather", "", "hailstorm", ""),
}


@pytest.mark.parametrize("text", SAID)
def test_what_people_say(text: str) -> None:
    kind, target, value, place = SAID[text]
    assert parse_instruction(text) == Change(kind, text, target, value, place)  # type: ignore[arg-type]


@pytest.mark.parametrize(("palette", "number"), [(EVERY_STYLE, 2000), (EVERY_NOUN, 1000)])
def test_every_instruction_of_the_world_is_understood(palette: Palette, number: int) -> None:
    rng = Random(number)
    changes = [sample_edit(rng, palette=palette).change for _ in range(number)]
    assert [parse_instruction(change.instruction) for change in changes] == changes


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " \n\t",
            "?!",
            "remove",
            "hello",
            "what is this?",
            "make the",
            "please",
            "I love the car",
            "make the car",
        ),
        *("remove everything but the car", "swap the dog and the cat", "move the dog", "move the dog behind the cat"),
        *("make the car\x00 blue", "remove the \x1b[2Jcat", "remove \ud800", "a" * (MAX_INSTRUCTION_CHARS + 1)),
    ],
)
def test_bad_input_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_instruction(text)
    assert refused.value.hint


@pytest.mark.parametrize("text", ["make the car blue and remove the cat", "remove the cat, then add a dog"])
def test_several_changes_are_refused_as_such(text: str) -> None:
    with pytest.raises(BadInput, match="several"):
        parse_instruction(text)


def test_the_instruction_is_kept_without_the_white_space_around_it() -> None:
    assert parse_instruction("  make the car\n blue ").instruction == "make the car blue"


@given(st.text(max_size=200) | st.lists(st.sampled_from(" ".join(SAID).split()), max_size=12).map(" ".join))
@settings(deadline=None, max_examples=200)
def test_whatever_is_said_there_is_a_change_or_bad_input(text: str) -> None:
    with contextlib.suppress(BadInput):
        change = parse_instruction(text)
        assert change.value or change.kind == "remove"
        assert change.target or change.kind != "remove"


@pytest.mark.parametrize(
    "part", ["a ", "make ", "make it ", "the ", ". ", "light ", "now ", "to the left of ", "x with "]
)
def test_no_instruction_takes_long(part: str) -> None:
    start = time.perf_counter()
    for text in (part * 2000, f"make {part * 2000}", f"replace {part * 2000}", f"add {part * 2000}"):
        with contextlib.suppress(BadInput):
            parse_instruction(text[:MAX_INSTRUCTION_CHARS])
    assert time.perf_counter() - start < 4


def answer(kind: str, target: str = "", value: str = "", place: str = "") -> str:
    return json.dumps({"kind": kind, "target": target, "value": value, "place": place})


def test_the_rules_model_is_the_grammar() -> None:
    assert understand(RulesModel(), "make the car blue") == (parse_instruction("make the car blue"), "")


def test_a_good_reply_is_taken_and_brought_into_our_words() -> None:
    model = Scripted("Sure: " + answer("recolour", "the car", "Blue", "anywhere"))
    text = "mach das Auto blau"
    assert understand(model, text) == (Change("recolour", text, "car", "blue"), "")
    assert model.asked == [{"task": "understand", "instruction": text}]
    assert understand(Scripted(answer("time", "", "at dusk")), "Abend")[0].value == "sunset"
    assert understand(Scripted(answer("move", "fox", "a bit to the left")), "x")[0].value == "slightly left"
    assert understand(Scripted(answer("resize", "fox", "larger")), "x")[0].value == "bigger"
    placed = understand(Scripted(answer("add", "", "a dog", "to the left of the castle")), "ein Hund")[0]
    assert (placed.value, placed.place) == ("dog", "left of the castle")


def test_a_refused_reply_is_asked_for_again_with_the_reason() -> None:
    model = Scripted(answer("remove"), answer("remove", "cat"))
    assert understand(model, "no cat please") == (Change("remove", "no cat please", "cat"), "")
    assert "too little" in str(model.asked[1]["your last reply was refused"])


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "blue",
        answer("explode", "car", "blue"),
        answer("remove"),
        answer("add", "dog"),
        answer("recolour", "car\x00", "blue"),
        answer("recolour", "car" * 100, "blue"),
        '{"kind": "remove", "target": ["cat"]}',
        '{"kind": "remove", "target": "cat", "path": "/etc/passwd"}',
    ],
)
def test_after_bad_replies_the_grammar_answers_and_says_so(reply: str) -> None:
    model = Scripted(reply)
    change, warning = understand(model, "make the car blue")
    assert change == parse_instruction("make the car blue")
    assert warning.startswith("scripted gave no usable answer (")
    assert len(model.asked) == ATTEMPTS


def test_a_model_that_fails_is_not_asked_twice() -> None:
    model = Scripted()
    assert "unplugged" in understand(model, "make the car blue")[1]
    assert len(model.asked) == 1


def test_what_neither_understands_is_bad_input() -> None:
    with pytest.raises(BadInput):
        understand(Scripted(), "hello")


def test_bad_input_never_reaches_the_model() -> None:
    model = Scripted(answer("remove", "cat"))
    for text in ("", "a" * (MAX_INSTRUCTION_CHARS + 1), "remove \x00"):
        with pytest.raises(BadInput):
            understand(model, text)
    assert model.asked == []


def test_importing_the_grammar_loads_no_linguistic_library() -> None:
    code = "import sys, limner.instruction; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"textblob", "nltk", "inflect", "torch", "transformers", "httpx"} & set(loaded)
