"""The tasks of the world, and the table over a painter and a judge that know the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from limner.evaluate.world import TASKS, Case, Row, draw_cases, evaluate_world, to_json, wilson
from limner.protocols import DrawRequest, Learned
from limner.types import Event, Picture
from limner.world.caption import describe
from limner.world.render import render
from limner.world.scene import Scene, is_true
from limner.world.vocabulary import BACKGROUNDS, binding_held_out, pair_held_out
from tests.evaluate.knowing import ExactJudge
from tests.world.small import SHAPES

KINDS: dict[str, Counter[str]] = {
    "single object": Counter(object=1),
    "two objects": Counter(object=2),
    "count": Counter(count=1),
    "colour": Counter(colour=1),
    "position": Counter(object=2, relation=1),
    "binding": Counter(colour=2),
    "background": Counter(background=1),
    "style": Counter(style=1),
    "time of day": Counter(time=1),
}
COUNT, SEEDS = 6, (0, 1)


class ScenePainter:
    """Draws the scene that belongs to each prompt, and remembers what it was asked."""

    name = "painter"
    model_hash = "0123"
    sampler = "brush"
    default_size: tuple[int, int] = (64, 64)
    default_steps = 7
    default_guidance = 2.5
    max_batch = 8

    def __init__(self, scene_for: Callable[[str], Scene]) -> None:
        self.scene_for = scene_for
        self.asked: list[DrawRequest] = []

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        self.asked += requests
        return [render(self.scene_for(request.prompt), request.width) for request in requests]

    def unwanted(self, prompt: str) -> str:
        return "flat style" if prompt.endswith("geometric style") else ""

    def concepts(self, prompt: str) -> list[Learned]:
        return []

    def unknown_words(self, prompt: str) -> list[str]:
        return []


def cases(task: str, seed: int = 0, count: int = COUNT) -> list[Case]:
    rng = Random(f"{task}/{seed}")
    return [TASKS[task](rng, SHAPES) for _ in range(count)]


@pytest.fixture(scope="module")
def truth() -> dict[str, Scene]:
    """The scene of every prompt that the evaluation below asks for."""
    return {case.prompt: case.scene for task in TASKS for seed in SEEDS for case in cases(task, seed)}


@pytest.fixture(scope="module")
def judge() -> ExactJudge:
    return ExactJudge(case.scene for task in TASKS for seed in SEEDS for case in cases(task, seed))


def rows_of(painter: ScenePainter, judge: ExactJudge, *, with_art: bool = True, **recorded: float) -> dict[str, Row]:
    found = evaluate_world(
        painter, judge, SHAPES, count=COUNT, seeds=SEEDS, ceilings=recorded or None, with_art=with_art
    )
    return {row.task: row for row in found if isinstance(row, Row)}


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 100, 0.7222, 0.8749)],
)
def test_wilson_intervals_are_the_known_ones(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize("task", TASKS)
def test_the_facts_of_a_case_are_of_its_kind_and_true_of_its_scene(task: str) -> None:
    for case in cases(task, count=20):
        assert Counter(fact.kind for fact in case.facts) == KINDS[task]
        assert all(is_true(fact, case.scene) for fact in case.facts)


@pytest.mark.parametrize("task", TASKS)
def test_a_prompt_says_what_is_judged(task: str) -> None:
    for case in cases(task, count=20):
        for fact in case.facts:
            said = BACKGROUNDS[fact.value][0] if fact.kind == "background" else fact.text
            assert said in case.prompt


@pytest.mark.parametrize("task", ["two objects", "position", "binding"])
def test_pairs_are_held_out_where_it_is_said(task: str) -> None:
    for case in cases(task, count=20):
        first, second = (thing.concept for thing in case.scene.things)
        assert pair_held_out(first, second)


def test_bindings_are_held_out_where_it_is_said_and_trained_elsewhere() -> None:
    for task, held_out in (("binding", True), ("colour", False)):
        for case in cases(task, count=20):
            assert all(binding_held_out(fact.colour or "", fact.concept) == held_out for fact in case.facts)


def test_the_two_colours_of_a_binding_differ() -> None:
    assert all(len({fact.colour for fact in case.facts}) == 2 for case in cases("binding", count=20))


def test_two_objects_are_asked_for_without_saying_where() -> None:
    for case in cases("two objects", count=20):
        first, second = (fact.concept for fact in case.facts)
        assert case.prompt == f"a {first} and a {second} {BACKGROUNDS[case.scene.background][0]}"


def test_what_a_task_does_not_measure_does_not_disturb_it() -> None:
    for task in ("single object", "two objects", "count", "position", "background", "style"):
        for case in cases(task):
            assert (case.scene.time, case.scene.weather) == ("day", "clear")
            assert not any(thing.colour for thing in case.scene.things)


def test_an_honest_painter_scores_one(truth: dict[str, Scene], judge: ExactJudge) -> None:
    rows = rows_of(ScenePainter(lambda prompt: truth[prompt]), judge)
    assert list(rows) == list(TASKS)
    for row in rows.values():
        assert (row.pictures, row.score, row.spread, row.ceiling) == (COUNT * len(SEEDS), 1.0, 0.0, 1.0)
        assert (row.low, row.high) == wilson(row.pictures, row.pictures)


def test_a_painter_that_always_draws_the_same_scores_low(judge: ExactJudge) -> None:
    scene = cases("single object")[0].scene
    rows = rows_of(ScenePainter(lambda _: scene), judge)
    for task in TASKS.keys() - {"style"}:  # there is but one style here, and it is drawn
        assert rows[task].score <= 0.35
        assert rows[task].ceiling == 1.0


def test_scores_are_spread_over_seeds(truth: dict[str, Scene], judge: ExactJudge) -> None:
    known, other = ({case.prompt for case in cases("colour", seed)} for seed in SEEDS)
    assert not known & other
    wrong = cases("single object")[0].scene
    row = rows_of(ScenePainter(lambda prompt: truth[prompt] if prompt in known else wrong), judge)["colour"]
    assert (row.score, row.spread) == (0.5, 0.5)


def test_without_art_the_recorded_ceilings_stand(truth: dict[str, Scene], judge: ExactJudge) -> None:
    rows = rows_of(ScenePainter(lambda prompt: truth[prompt]), judge, with_art=False, colour=0.9)
    assert rows["colour"].ceiling == 0.9
    assert rows["style"].ceiling is None


def test_every_task_is_reported_as_it_ends(truth: dict[str, Scene], judge: ExactJudge) -> None:
    painter = ScenePainter(lambda prompt: truth[prompt])
    told = list(evaluate_world(painter, judge, SHAPES, count=COUNT, seeds=(0,)))
    events = [each for each in told if isinstance(each, Event)]
    assert [(event.message, event.done, event.total) for event in events] == [
        (task, number, len(TASKS)) for number, task in enumerate(TASKS, 1)
    ]


def test_pictures_are_asked_for_as_the_model_draws_best_each_with_its_seed() -> None:
    asked = cases("single object")
    painter = ScenePainter(lambda _: asked[0].scene)
    draw_cases(painter, asked, seed=3)
    assert [request.seed for request in painter.asked] == list(range(3000, 3000 + COUNT))
    assert painter.asked[0] == DrawRequest(asked[0].prompt, 3000, 7, 2.5, 64, 64)


def test_a_style_is_asked_for_as_users_do_away_from_what_rules_it_out() -> None:
    asked = [*cases("style"), *cases("single object")]
    painter = ScenePainter(lambda _: asked[0].scene)
    draw_cases(painter, asked, seed=0)
    told = [(request.prompt.rsplit(", ", 1)[-1], request.negative_prompt) for request in painter.asked]
    assert {away for phrase, away in told if phrase == "geometric style"} == {"flat style"}
    assert {away for phrase, away in told if phrase != "geometric style"} == {""}


def test_the_table_is_plain_data(truth: dict[str, Scene], judge: ExactJudge) -> None:
    rows = rows_of(ScenePainter(lambda prompt: truth[prompt]), judge)
    table = to_json(list(rows.values()), "painter")
    assert table["model"] == "painter"
    assert table["rows"][0].keys() == {"task", "pictures", "score", "spread", "low", "high", "ceiling"}


def test_the_same_seed_asks_for_the_same_pictures() -> None:
    assert [describe(case.scene) for case in cases("position")] == [describe(case.scene) for case in cases("position")]
