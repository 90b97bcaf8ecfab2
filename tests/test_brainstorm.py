"""Scene prompts and new scenery: by the rules from a vocabulary, by a language model that is never trusted."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.backends.language import RulesModel
from limner.brainstorm import (
    MAX_FEATURES,
    MAX_SCENES,
    Brainstormed,
    SceneMode,
    Vocabulary,
    scene_prompts,
    visual_features,
    world_vocabulary,
)
from limner.imagine import MAX_OBJECTS, BoxLimits, Scenery, complaint, imagine, relation_between
from limner.regions import box_iou
from limner.types import AnnotatedPicture, BadInput, Box, Picture, Region
from tests.scripted import Scripted

RULES = RulesModel()
WORDS = Vocabulary(
    backgrounds=(("snow", "in the snow"), ("room", "in a room")),
    times=(("night", "at night"),),
    timeless=("room",),
    colours=("red", "blue"),
    tintable=("car",),
    companions=("house",),
)
CLASSES = ("car", "fox")
MODES: tuple[SceneMode, SceneMode] = ("complex", "centric")
_SCENE = re.compile(
    r"(?P<things>(?:an? (?:red |blue )?car|an? fox|an? house)(?: to the (?:left|right) of "
    r"(?:an? (?:red |blue )?car|an? fox|an? house))?) (?P<place>in the snow(?: at night)?|in a room)"
)


class Untaught(RulesModel):
    """A model that knows keywords and nothing else, as the embedded one."""

    name = "untaught"


def prompts(*replies: str, count: int = 2, **options: Any) -> Brainstormed:
    return scene_prompts(CLASSES, count, "complex", 1, Scripted(*replies), WORDS, **options)


@given(st.integers(0, 2**32 - 1), st.sampled_from(MODES), st.integers(1, 9))
def test_the_rules_say_only_words_of_the_vocabulary(seed: int, mode: SceneMode, count: int) -> None:
    made = scene_prompts(CLASSES, count, mode, seed, RULES, WORDS)
    assert made == scene_prompts(CLASSES, count, mode, seed, RULES, WORDS)
    assert made.warnings == ()
    assert [each.label for each in made.prompts] == [CLASSES[number % 2] for number in range(count)]
    for each in made.prompts:
        said = _SCENE.fullmatch(each.prompt)
        assert said is not None
        assert each.label in said["things"].split(" of ")[0]
        assert (" to the " in said["things"]) == (mode == "complex")
        assert ("room" if "room" in said["place"] else "snow") == each.background


def test_prompts_differ_while_the_vocabulary_lasts() -> None:
    wide = world_vocabulary(CLASSES)
    made = scene_prompts(CLASSES, 100, "complex", 3, RULES, wide).prompts
    assert len({each.prompt for each in made}) == 100
    assert len({each.background for each in made}) > 10
    other = scene_prompts(CLASSES, 100, "complex", 4, RULES, wide).prompts
    assert made != other
    # A small one is exhausted, and says things again rather than failing.
    small = Vocabulary((("snow", "in the snow"),))
    again = scene_prompts(("fox",), 5, "centric", 3, RULES, small).prompts
    assert [each.prompt for each in again] == ["a fox in the snow"] * 5


def test_the_worlds_words_dress_only_what_can_be_dressed() -> None:
    words = world_vocabulary(("car", "red panda"), ("snow", "atlantis"))
    assert words.backgrounds == (("snow", "in the snow"),)
    assert words.tintable == ("car",)
    assert words.phrase("snow") == "in the snow"
    assert words.phrase("old harbour") == "with old harbour in the background"


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(BadInput, match="no class"):
        scene_prompts((), 1, "complex", 1, RULES, WORDS)
    with pytest.raises(BadInput, match="no background"):
        Vocabulary(())


def test_a_model_words_the_sketches() -> None:
    model = Scripted('Sure! {"prompts": ["A shiny  car by a lake", "Two foxes in a den"]}')
    features = {"car": ("four wheels",)}
    made = scene_prompts(CLASSES, 2, "complex", 1, model, WORDS, features=features)
    assert [each.prompt for each in made.prompts] == ["A shiny car by a lake", "Two foxes in a den"]
    assert {each.source for each in made.prompts} == {"scripted"}
    assert [each.label for each in made.prompts] == list(CLASSES)
    [asked] = model.asked
    sketches = scene_prompts(CLASSES, 2, "complex", 1, RULES, WORDS).prompts
    assert asked["scenes"] == [
        {"label": "car", "features": ["four wheels"], "sketch": sketches[0].prompt},
        {"label": "fox", "features": [], "sketch": sketches[1].prompt},
    ]
    assert asked["mode"] == "complex"


REFUSED = {
    "no JSON": "I cannot",
    "too few": '{"prompts": ["a car"]}',
    "without its class": '{"prompts": ["a car", "a dog"]}',
    "control characters": '{"prompts": ["a car\\u0000", "a fox"]}',
    "brackets": '{"prompts": ["a (car:9)", "a fox"]}',
    "a file to load": '{"prompts": ["a car <lora:x:1>", "a fox"]}',
    "surrogates": '{"prompts": ["a car \\ud800", "a fox"]}',
    "too long": json.dumps({"prompts": ["a car " * 200, "a fox"]}),
    "no text": '{"prompts": [3, "a fox"]}',
    "more fields": '{"prompts": ["a car", "a fox"], "path": "/etc/passwd"}',
    "deep": '{"prompts": ' + "[" * 5000,
}


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED)
def test_what_a_model_says_is_never_trusted(reply: str) -> None:
    made = prompts(reply)
    assert made.prompts == scene_prompts(CLASSES, 2, "complex", 1, RULES, WORDS).prompts
    [warning] = made.warnings
    assert "the rules answered instead" in warning


def test_a_model_is_told_once_what_was_wrong() -> None:
    model = Scripted('{"prompts": ["a cat", "a fox"]}', '{"prompts": ["a car", "a fox"]}')
    made = scene_prompts(CLASSES, 2, "complex", 1, model, WORDS)
    assert [each.prompt for each in made.prompts] == ["a car", "a fox"]
    assert model.asked[1]["your last reply was refused"] == "a prompt that does not name car"


def test_words_that_the_painter_does_not_know_are_refused() -> None:
    def unknown(prompt: str) -> list[str]:
        return [word for word in prompt.split() if word == "zeppelin"]

    assert prompts('{"prompts": ["a car and a zeppelin", "a fox"]}').prompts[0].source == "scripted"
    made = prompts('{"prompts": ["a car and a zeppelin", "a fox"]}', unknown_words=unknown)
    assert made.prompts[0].source == "rules"
    assert "zeppelin" in made.warnings[0]


def test_many_prompts_are_asked_for_in_parts_that_fail_alone() -> None:
    good = json.dumps({"prompts": ["a car and a fox"] * MAX_SCENES})
    made = prompts(good, "nothing", "nothing", count=MAX_SCENES + 3)
    assert [each.source for each in made.prompts] == ["scripted"] * MAX_SCENES + ["rules"] * 3
    assert len(made.warnings) == 1


def test_a_model_that_never_learned_it_is_no_matter_of_a_warning() -> None:
    made = scene_prompts(CLASSES, 2, "complex", 1, Untaught(), WORDS)
    assert made == scene_prompts(CLASSES, 2, "complex", 1, RULES, WORDS)


def test_features_are_bounded_and_optional() -> None:
    reply = json.dumps({"features": [" ringed  tail ", "ringed tail", *map(str, range(20))]})
    found = visual_features("red panda", Scripted(reply))
    assert found[0] == "ringed tail"
    assert len(found) == MAX_FEATURES
    assert visual_features("red panda", Scripted("no idea")) == ()
    assert visual_features("red panda", RULES) == visual_features("red panda", Untaught()) == ()


def seen(*regions: tuple[str, Box], size: tuple[int, int] = (512, 512)) -> AnnotatedPicture:
    picture = Picture(np.zeros((size[1], size[0], 3), np.uint8))
    return AnnotatedPicture(picture, "a car in the snow", [Region(label, box) for label, box in regions])


CAR = seen(("car", (40.0, 200.0, 240.0, 400.0)))


def imagined(model: Any, count: int = 1, picture: AnnotatedPicture = CAR, words: Vocabulary = WORDS) -> Scenery:
    return imagine(picture, "snow", CLASSES, count, 5, model, words)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 7),
    st.integers(64, 512),
    st.integers(64, 512),
    st.lists(st.tuples(*[st.floats(0, 0.9)] * 2, *[st.floats(0.05, 0.6)] * 2), max_size=4),
)
def test_the_rules_boxes_keep_to_the_limits(
    seed: int, count: int, width: int, height: int, shares: list[tuple[float, float, float, float]]
) -> None:
    boxes = [
        (x * width, y * height, min(1, x + w) * width, min(1, y + h) * height)
        for x, y, w, h in shares
    ]  # fmt: skip
    picture = seen(*(("car", box) for box in boxes), size=(width, height))
    made = imagine(picture, "snow", CLASSES, count, seed, RULES, WORDS)
    assert made == imagine(picture, "snow", CLASSES, count, seed, RULES, WORDS)
    assert made.background == "room"
    assert len(made.additions) <= min(count, MAX_OBJECTS)
    taken = list(boxes)
    for each in made.additions:
        assert complaint(each.box, taken, (width, height), BoxLimits()) == ""
        assert all(box_iou(each.box, other) <= 0.3 for other in taken)
        assert each.label in CLASSES
        taken.append(each.box)


def test_the_rules_prefer_another_kind_and_say_where() -> None:
    [added] = imagined(RULES).additions
    assert added.label == "fox"
    assert re.fullmatch(r"(to the (left|right) of|above|below) the car", added.relation)
    assert imagined(RULES, picture=seen()).additions[0].relation == ""


def test_without_room_nothing_is_added() -> None:
    full = seen(("car", (0.0, 0.0, 512.0, 512.0)))
    assert imagined(RULES, 3, full).additions == ()
    assert imagined(RULES, 0).additions == ()
    alone = Vocabulary((("snow", "in the snow"),))
    assert imagined(RULES, words=alone).background == "snow"


WRONG: dict[str, Box] = {
    "inside out": (300, 100, 200, 200),
    "empty": (300, 100, 300, 200),
    "outside": (450, 100, 550, 200),
    "left of it": (-1, 100, 99, 200),
    "not a number": (float("nan"), 100, 400, 200),
    "infinite": (300, 100, float("inf"), 200),
    "tiny": (300, 100, 374, 200),
    "huge": (200, 0, 501, 190),
    "over the car": (100, 200, 300, 400),
    "within the car": (60, 220, 140, 300),
}


@pytest.mark.parametrize("box", WRONG.values(), ids=WRONG)
def test_wrong_boxes_are_told_apart(box: Box) -> None:
    assert complaint(box, [CAR.regions[0].box], (512, 512), BoxLimits()) != ""
    reply = json.dumps({"background": "room", "objects": [{"label": "fox", "box": box, "relation": "near"}]})
    made = imagined(Scripted(reply))
    assert made.source == "rules"
    assert made.additions == imagined(RULES).additions
    assert len(made.warnings) == 1


def test_the_papers_own_limits_hold_at_their_edges() -> None:
    for box in ((300, 100, 375, 175), (212, 0, 512, 190)):
        assert complaint(box, [], (512, 512), BoxLimits()) == ""


def test_a_models_scenery_is_taken_as_far_as_it_is_sound() -> None:
    objects = [
        {"label": "the fox", "box": [300, 100, 400, 200], "relation": "to the right of the car"},
        {"label": "dragon", "box": [300, 300, 400, 400]},
        {"label": "house", "box": [310, 110, 410, 210]},
        {"label": "house", "box": [300.5, 300, 400, 400]},
        {"label": "house", "box": [0, 0, 100, 100]},
    ]
    made = imagined(Scripted(json.dumps({"background": "a room", "objects": objects})), 2)
    assert (made.background, made.source, made.warnings) == ("room", "scripted", ())
    assert [(each.label, each.box) for each in made.additions] == [
        ("fox", (300, 100, 400, 200)),
        ("house", (300.5, 300, 400, 400)),
    ]
    assert made.additions[0].relation == "to the right of the car"


def test_an_open_vocabulary_takes_anything_that_is_a_name() -> None:
    words = Vocabulary(WORDS.backgrounds, closed=False)
    reply = {"background": "an old harbour", "objects": [{"label": "lighthouse", "box": [300, 100, 400, 200]}]}
    made = imagined(Scripted(json.dumps(reply)), words=words)
    assert (made.background, made.additions[0].label) == ("old harbour", "lighthouse")
    assert imagined(Scripted(json.dumps(reply))).source == "rules"
    for bad in ("", "the", "x" * 200, "a\u0000b", "<script>"):
        refused = {**reply, "background": bad}
        assert imagined(Scripted(json.dumps(refused)), words=words).source == "rules"


def test_the_model_sees_what_is_there_and_is_asked_again() -> None:
    good = {"background": "room", "objects": [{"label": "fox", "box": [300, 100, 400, 200]}]}
    model = Scripted('{"background": "mars"}', json.dumps(good))
    assert imagined(model).source == "scripted"
    assert model.asked[0]["seen"] == [{"label": "car", "box": [40, 200, 240, 400]}]
    assert (model.asked[0]["least"], model.asked[0]["most"]) == (75, 300)
    assert model.asked[0]["things"] == ["car", "fox", "house"]
    assert "mars" in str(model.asked[1]["your last reply was refused"])


@given(st.text(max_size=200))
def test_no_reply_makes_it_fail(reply: str) -> None:
    assert imagined(Scripted(reply)).additions == imagined(RULES).additions


def test_relations_go_by_the_larger_distance() -> None:
    car = CAR.regions[0]
    assert relation_between((300, 220, 400, 320), car) == "to the right of the car"
    assert relation_between((0, 220, 20, 320), car) == "to the left of the car"
    assert relation_between((60, 0, 160, 100), car) == "above the car"
    assert relation_between((60, 410, 160, 510), car) == "below the car"
