"""The course of a dialogue: each trouble leads to its question, and scenes that allow none of it say so."""

from __future__ import annotations

from random import Random

import pytest

from limner.world.sample import Palette
from limner.world.scene import Scene, Thing
from limner.world.talk import TROUBLES, Talk, opening_scene

TWINS = Scene((Thing("car", "flat", 0.2, 0.5, 0.4, "red"), Thing("car", "flat", 0.8, 0.5, 0.4, "blue")), "snow")
ONE = Scene((Thing("car", "flat", 0.5, 0.5, 0.6, "red"),), "snow")
QUESTIONS = {
    "several": ("Which ",),
    "none": ("I see no ",),
    "value": ("Which ", "What should I "),
    "vague": ("What should I do with ", "Which do you mean"),
    "open": ("What should I change",),
    "torn": ("Which ",),
}


def talks(scene: Scene, trouble: str, count: int = 60) -> list[Talk]:
    """Talks with one request of this kind that came to their end."""
    found = [Talk(Random(seed), Palette(), scene) for seed in range(count)]
    return [talk for talk in found if talk.round(trouble)]


def test_every_trouble_is_tested() -> None:
    assert set(QUESTIONS) == set(TROUBLES)


@pytest.mark.parametrize("trouble", QUESTIONS)
def test_a_trouble_leads_to_its_question(trouble: str) -> None:
    ended = talks(TWINS, trouble)
    assert len(ended) > 8
    for talk in ended:
        assert talk.turns[0].what == "ask"
        assert talk.turns[0].reply.startswith(QUESTIONS[trouble])
        assert talk.turns[-1].what == "edit"


def test_a_clear_request_is_carried_out_at_once() -> None:
    ended = talks(TWINS, "")
    assert len(ended) > 20
    assert all([turn.what for turn in talk.turns] == ["edit"] for talk in ended)


def test_of_one_thing_there_are_never_several() -> None:
    assert talks(ONE, "several") == []


def test_it_is_clear_of_one_thing_and_after_it_was_spoken_of() -> None:
    pronouns = {"it", "that", "this"}
    said = [set(talk.turns[0].said.lower().split()) for talk in talks(ONE, "", 200)]
    assert any(words & pronouns for words in said)
    later = [talk for talk in talks(TWINS, "", 400) if talk.round("") and len(talk.turns) == 2]
    assert any(set(talk.turns[1].said.lower().split()) & {"it"} and len(talk.turns[1].seen) > 1 for talk in later)


def test_taking_back_shows_the_picture_before() -> None:
    for talk in talks(TWINS, ""):
        before = talk.turns[0].seen
        assert talk.take_back()
        assert talk.seen == before
        assert talk.turns[-1].what == "undo"


def test_a_scene_whose_things_cannot_be_told_apart_is_left() -> None:
    alike = Scene((TWINS.things[0], TWINS.things[0]), "snow")
    assert talks(alike, "") == []


def test_many_scenes_hold_things_of_one_name() -> None:
    scenes = [opening_scene(Random(seed), Palette()) for seed in range(200)]
    twins = [scene for scene in scenes if len({t.concept for t in scene.things}) < len(scene.things)]
    assert 60 < len(twins) < 180
