"""The table of `limner eval world`: held-out cases, a painter that is always right and one that never listens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from limner.evaluate.world import TASKS, Case, Row, draw_cases, evaluate_world, to_json, wilson
from limner.protocols import DrawRequest
from limner.types import Event, Picture
from limner.world.render import render
from limner.world.scene import Fact, Scene, is_true
from limner.world.vocabulary import BACKGROUNDS, binding_held_out, pair_held_out
from tests.world.small import SHAPES, shape

COUNT = 5
EVERY_TASK = pytest.mark.parametrize("task", TASKS)
IGNORED = Scene((shape("pentagon", size=0.6),), "grey background")


def cases_of(task: str, seed: int = 0, count: int = COUNT) -> list[Case]:
    rng = Random(f"{task}/{seed}")
    return [TASKS[task](rng, SHAPES) for _ in range(count)]


@dataclass
class Brush:
    """A TextToImage that renders the scene that `imagine` has for a prompt, and keeps what it was asked."""

    imagine: Callable[[str], Scene]
    asked: list[DrawRequest] = field(default_factory=list[DrawRequest])
    name: str = "brush"
    model_hash: str = "0"
    sampler: str = "none"
    default_size: tuple[int, int] = (128, 128)
    default_steps: int = 3
    default_guidance: float = 2.5
    max_batch: int = 4

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        self.asked += requests
        return [render(self.imagine(request.prompt)) for request in requests]

    def unknown_words(self, prompt: str) -> list[str]:
        return []


class Oracle:
    """Reads pictures without a mistake: it knows the scenes that they were rendered from."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = {render(scene).sha256: scene for scene in scenes}

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        known = [self.scenes[picture.sha256] for picture in pictures]
        return [[is_true(fact, scene) for fact in row] for row, scene in zip(facts, known, strict=True)]


def every_case(seeds: Sequence[int] = (0,)) -> list[Case]:
    return [case for seed in seeds for task in TASKS for case in cases_of(task, seed)]


def truthful(cases: Sequence[Case]) -> Brush:
    by_prompt = {case.prompt: case.scene for case in cases}
    return Brush(by_prompt.__getitem__)


def careless() -> Brush:
    return Brush(lambda _: IGNORED)


def oracle(cases: Sequence[Case]) -> Oracle:
    return Oracle([IGNORED, *(case.scene for case in cases)])


def table(brush: Brush, seeds: Sequence[int] = (0,), *, with_art: bool = True) -> dict[str, Row]:
    judge = oracle(every_case(seeds))
    steps = evaluate_world(brush, judge, SHAPES, count=COUNT, seeds=seeds, with_art=with_art, ceilings={"count": 0.75})
    return {step.task: step for step in steps if isinstance(step, Row)}


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (263, 300, 0.8346, 0.9091),
    ],
)
def test_wilson_interval(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=1e-4)


@EVERY_TASK
def test_what_a_case_asks_is_true_of_its_scene(task: str) -> None:
    for case in cases_of(task, count=20):
        assert case.facts
        assert all(is_true(fact, case.scene) for fact in case.facts)


@EVERY_TASK
def test_the_same_seed_gives_the_same_cases(task: str) -> None:
    assert cases_of(task) == cases_of(task)
    assert cases_of(task) != cases_of(task, seed=1)


@EVERY_TASK
def test_what_is_not_measured_does_not_disturb(task: str) -> None:
    for case in cases_of(task, count=20):
        assert case.scene.weather == "clear"
        assert (case.scene.time == "day") == (task != "time of day")
        assert any(thing.colour for thing in case.scene.things) == (task in ("colour", "binding"))


@pytest.mark.parametrize("task", ["two objects", "position", "binding"])
def test_two_objects_are_always_a_held_out_pair(task: str) -> None:
    for case in cases_of(task, count=20):
        first, second = case.scene.things
        assert pair_held_out(first.concept, second.concept)


def test_bindings_are_held_out_and_differ() -> None:
    for case in cases_of("binding", count=20):
        first, second = case.scene.things
        assert first.colour != second.colour
        assert all(thing.colour and binding_held_out(thing.colour, thing.concept) for thing in case.scene.things)


def test_colours_are_of_the_training_side() -> None:
    for case in cases_of("colour", count=20):
        (thing,) = case.scene.things
        assert thing.colour
        assert not binding_held_out(thing.colour, thing.concept)


def test_a_position_is_asked_with_both_its_objects() -> None:
    kinds = [sorted(fact.kind for fact in case.facts) for case in cases_of("position", count=20)]
    assert all(each == ["object", "object", "relation"] for each in kinds)


def test_two_objects_are_asked_without_their_places() -> None:
    places = "|".join(phrase for phrases in BACKGROUNDS.values() for phrase in phrases)
    for case in cases_of("two objects", count=20):
        assert re.fullmatch(rf"an? [a-z]+ and an? [a-z]+ ({places})", case.prompt)
        assert all(fact.concept in case.prompt for fact in case.facts)


def test_a_style_is_named_in_the_prompt() -> None:
    assert all(case.prompt.endswith(", geometric style") for case in cases_of("style"))


def test_each_case_is_drawn_as_the_model_likes_with_a_seed_of_its_own() -> None:
    cases, brush = cases_of("count"), careless()
    draw_cases(brush, cases, seed=3)
    assert brush.asked == [DrawRequest(case.prompt, 3000 + i, 3, 2.5, 128, 128) for i, case in enumerate(cases)]


def test_a_painter_that_is_always_right_scores_one() -> None:
    rows = table(truthful(every_case()))
    assert list(rows) == list(TASKS)
    assert all(row.score == row.ceiling == 1.0 for row in rows.values())
    assert {(row.pictures, row.spread, row.high) for row in rows.values()} == {(COUNT, 0.0, 1.0)}
    assert rows["count"].low == wilson(COUNT, COUNT)[0]


def test_a_painter_that_does_not_listen_scores_low() -> None:
    rows = table(careless())
    never = ("two objects", "count", "colour", "position", "binding", "time of day")
    assert [rows[task].score for task in never] == [0.0] * len(never)
    assert max(rows["single object"].score, rows["background"].score) < 0.5
    assert rows["style"].score == 1.0  # the one thing it cannot get wrong here
    assert all(row.ceiling == 1.0 for row in rows.values())


def test_seeds_are_averaged_and_their_spread_is_told() -> None:
    first = truthful(every_case())
    known = {case.prompt for case in every_case()}
    brush = Brush(lambda prompt: first.imagine(prompt) if prompt in known else IGNORED)  # right on seed 0 only
    row = table(brush, seeds=(0, 1))["position"]
    assert (row.pictures, row.score, row.spread) == (2 * COUNT, 0.5, 0.5)
    assert (row.low, row.high) == wilson(COUNT, 2 * COUNT)


def test_without_the_art_a_recorded_ceiling_stands_in() -> None:
    rows = table(careless(), with_art=False)
    assert rows["count"].ceiling == 0.75
    assert rows["colour"].ceiling is None


def test_progress_is_told_task_by_task() -> None:
    steps = evaluate_world(careless(), oracle(every_case()), SHAPES, count=COUNT)
    told = [(step.message, step.done, step.total) for step in steps if isinstance(step, Event)]
    assert told == [(task, i + 1, len(TASKS)) for i, task in enumerate(TASKS)]


def test_the_table_reads_as_json() -> None:
    rows = list(table(careless()).values())
    value = json.loads(json.dumps(to_json(rows, "brush"), allow_nan=False))
    assert value["model"] == "brush"
    assert [row["task"] for row in value["rows"]] == list(TASKS)
    assert value["rows"][2].keys() == {"task", "pictures", "score", "spread", "low", "high", "ceiling"}
