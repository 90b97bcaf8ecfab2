"""The loop's decisions, on a painter whose pictures truly obey weights and seeds and a scorer that is never wrong."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from limner.backends.language import RulesModel
from limner.draw import CHUNK, DrawOptions, DrawResult, algorithm1, draw, finish, result_to_json
from limner.protocols import Models
from limner.refine import choose_best, rank
from limner.types import BadInput, LanguageModelFailed
from tests.painter import COLOURS, SHAPES, Painter, PixelScorer, chance, paint, seen

PROMPT = "a red circle and a blue square and a green triangle on white"
KEYWORDS = ("red circle", "blue square", "green triangle")
HARD_KEYWORDS = ["red circle", "red square", "red triangle", "green circle", "green square", "green triangle"]
HARD = " and ".join(f"a {keyword}" for keyword in HARD_KEYWORDS)
"""Six hard things at once: one picture in 200."""


class Thesaurus:
    """A LanguageModel that knows colours and shapes: it finds them, and generalises by dropping the colour."""

    name = "thesaurus"

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        request = json.loads(user)
        if request["task"] == "generalise":
            return json.dumps({"keywords": [keyword.split()[-1] for keyword in request["keywords"]]})
        words = re.findall(r"\w+", request["prompt"])
        pairs = pairwise(words)
        return json.dumps({"keywords": [f"{a} {b}" for a, b in pairs if a in COLOURS and b in SHAPES]})


class Mute:
    """A LanguageModel that never answers in time."""

    name = "mute"

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        raise LanguageModelFailed("no reply in 60 s")


def studio(painter: Painter | None = None) -> Models:
    return Models(painter or Painter(), PixelScorer(), Thesaurus())


def drawn(prompt: str = PROMPT, *, models: Models | None = None, **options: object) -> DrawResult:
    return finish(draw(models or studio(), replace(DrawOptions(prompt, seed=1, count=8), **options)))  # pyright: ignore[reportArgumentType]


def test_the_painter_draws_what_the_scorer_sees() -> None:
    picture = paint("(red circle:2), (blue square:2), (green triangle:2)", 5)
    assert seen(picture) == set(KEYWORDS)


def test_weight_raises_presence_and_never_takes_away_under_one_seed() -> None:
    plain = [seen(paint("red circle", seed)) for seed in range(200)]
    heavy = [seen(paint("(red circle:1.3)", seed)) for seed in range(200)]
    assert sum(map(len, plain)) / 200 == pytest.approx(chance("red circle"), abs=0.08)
    assert sum(map(len, heavy)) / 200 == pytest.approx(chance("red circle", 1.3), abs=0.08)
    assert all(before <= after for before, after in zip(plain, heavy, strict=True))


def test_all_keywords_end_up_in_the_picture_and_drawing_stops_there() -> None:
    result = drawn()
    assert seen(result.best.picture) == set(KEYWORDS)
    assert result.best.card.passed
    assert not any(d.card.passed for d in result.pictures[:-CHUNK])
    assert result.pictures_drawn < 8 * 4
    assert result.warnings == ()


def test_the_best_picture_is_never_lost() -> None:
    for seed in range(10):
        result = drawn(HARD, seed=seed, rounds=2)
        assert len(result.best.card.missing) == min(len(d.card.missing) for d in result.pictures)
        assert result.best in result.pictures


def test_what_was_missing_is_asked_for_more_strongly() -> None:
    first, second = drawn(HARD, count=4, seed=3, rounds=2).rounds
    missing = choose_best(first.pictures).card.missing
    assert missing
    assert first.prompt == HARD
    for keyword in HARD_KEYWORDS:
        assert (f"({keyword}:1.1)" in second.prompt) == (keyword in missing)


def test_good_seeds_are_drawn_again_beside_fresh_ones() -> None:
    pictures = drawn(HARD, count=16, seed=3).pictures
    fresh = [d.recipe.seed for d in pictures if not d.kept]
    kept = [d.recipe.seed for d in pictures if d.kept]
    assert fresh == list(range(3, 3 + len(fresh)))
    assert kept
    assert set(kept) <= set(fresh)


def test_the_originals_are_reported_when_the_request_was_generalised() -> None:
    models = studio()
    result = finish(algorithm1(models, DrawOptions(HARD, seed=1, count=2, rounds=4)))
    changed = [k for k in result.keywords if k.text != k.original]
    assert changed
    assert all(k.text in SHAPES for k in changed)
    assert set(result.best.card.scores) == {k.original for k in result.keywords}
    assert set(result.best.card.missing) == {k.original for k in result.keywords} - seen(result.best.picture)


def test_algorithm1_draws_whole_new_batches_and_keeps_only_the_last() -> None:
    models = studio(painter := Painter())
    result = finish(algorithm1(models, DrawOptions(HARD, seed=1, count=4, rounds=3)))
    assert [len(r.pictures) for r in result.rounds] == [4, 4, 4]
    assert [request.seed for request in painter.drawn] == list(range(1, 13))
    assert len({request.prompt for request in painter.drawn[:4]}) == 1
    assert result.rounds[0].prompt == ", ".join(HARD_KEYWORDS)
    assert result.best in result.rounds[-1].pictures


@pytest.mark.parametrize("budget", [1, 5, 9, 100])
def test_the_budget_and_the_rounds_are_never_exceeded(budget: int) -> None:
    for run in (draw, algorithm1):
        models = studio(painter := Painter())
        result = finish(run(models, DrawOptions(HARD, seed=4, count=4, rounds=3, budget=budget)))
        assert len(painter.drawn) == result.pictures_drawn <= min(budget, 12)
        assert len(result.rounds) <= 3
        assert all(len(r.pictures) <= 4 for r in result.rounds)


def test_the_baseline_draws_the_words_as_they_are_once() -> None:
    models = studio(painter := Painter(max_batch=3))
    result = finish(draw(models, DrawOptions(HARD, seed=4, count=8, rounds=3, baseline=True)))
    assert [(r.prompt, r.seed) for r in painter.drawn] == [(HARD, 4 + i) for i in range(8)]
    assert len(result.rounds) == 1
    assert rank(result.best.card) == max(rank(d.card) for d in result.pictures)


def test_the_same_seed_makes_the_same_run() -> None:
    first, second = drawn(HARD), drawn(HARD)
    assert [d.recipe for d in first.pictures] == [d.recipe for d in second.pictures]
    assert first.best.picture.sha256 == second.best.picture.sha256


def test_a_seed_drawn_by_lot_is_recorded_and_repeats_the_run() -> None:
    first = drawn(HARD, seed=None)
    again = drawn(HARD, seed=first.seed)
    assert [d.recipe for d in first.pictures] == [d.recipe for d in again.pictures]


def test_a_machine_that_draws_one_at_a_time_stops_at_the_first_that_passes() -> None:
    result = drawn(models=studio(Painter(max_batch=1)))
    assert [d.card.passed for d in result.pictures].index(True) == result.pictures_drawn - 1


def test_it_may_be_closed_at_any_event() -> None:
    total = len(list(draw(studio(), DrawOptions(HARD, seed=3, count=4))))
    for stop in range(total):
        models = studio(painter := Painter())
        work = draw(models, DrawOptions(HARD, seed=3, count=4))
        for _ in range(stop + 1):
            next(work)
        work.close()
        count = len(painter.drawn)
        assert list(work) == []
        assert len(painter.drawn) == count


def test_events_tell_how_far_it_is() -> None:
    events = list(draw(studio(), DrawOptions(HARD, seed=3, count=4, rounds=2)))
    assert [e.kind for e in events] == ["keywords", "draw", "round", "draw"]
    assert [(e.done, e.total) for e in events if e.kind == "draw"] == [(4, 8), (8, 8)]
    assert events[2].message.startswith("round 1 lacks: ")


def test_what_is_missing_and_unknown_is_said_plainly() -> None:
    result = drawn("a red circle and a purple dragon", models=replace(studio(), language=RulesModel()), rounds=1)
    assert "the model does not know: purple, dragon" in result.warnings
    assert "not found in the best picture: purple dragon" in result.warnings


def test_the_rules_answer_for_a_language_model_that_does_not() -> None:
    result = drawn(HARD, models=replace(studio(), language=Mute()), count=4)
    assert result.llm == "rules"
    assert [k.original for k in result.keywords] == HARD_KEYWORDS
    assert len([w for w in result.warnings if "the rules answered instead" in w]) == 1


def test_a_fixed_threshold_replaces_the_scorer_s_own() -> None:
    assert set(drawn(threshold=0.2).threshold.values()) == {0.2}
    assert not drawn(threshold=0.9, rounds=1).best.card.passed


def test_weights_in_the_users_prompt_are_drawn_and_not_looked_for() -> None:
    result = drawn("a (red circle:1.4) and a blue square", rounds=1)
    assert [k.original for k in result.keywords] == ["red circle", "blue square"]
    assert result.pictures[0].recipe.prompt == "a (red circle:1.4) and a blue square"


def test_defaults_are_the_model_s_own() -> None:
    recipe = drawn(rounds=1).best.recipe
    assert (recipe.width, recipe.height, recipe.steps, recipe.guidance) == (48, 48, 1, 1.0)
    assert (recipe.model, recipe.model_hash, recipe.sampler) == ("painter", "0123", "brush")
    assert len(finish(draw(studio(), DrawOptions(PROMPT, seed=1, baseline=True))).pictures) == 8


@pytest.mark.parametrize(
    ("said", "prompt", "kept_out"),
    [
        (None, PROMPT, ""),
        (None, f"{PROMPT}, matt style", "bright style"),
        ("a square", f"{PROMPT}, matt style", "a square"),
        (" a \n (square:1.2) ", PROMPT, "a (square:1.2)"),
        ("", f"{PROMPT}, matt style", ""),
        (" ", f"{PROMPT}, matt style", ""),
    ],
)
def test_what_is_kept_out_is_what_was_said_or_else_what_rules_out_a_style(
    said: str | None, prompt: str, kept_out: str
) -> None:
    painter = Painter()
    result = finish(draw(studio(painter), DrawOptions(prompt, seed=1, count=4, rounds=2, negative_prompt=said)))
    assert {request.negative_prompt for request in painter.drawn} == {kept_out}
    assert {one.recipe.negative_prompt for one in result.pictures} == {kept_out}


@pytest.mark.parametrize("said", ["a\x00b", "(square:9)", "x" * 20_000])
def test_what_cannot_be_kept_out_is_refused_before_anything_is_drawn(said: str) -> None:
    painter = Painter()
    with pytest.raises(BadInput):
        finish(draw(studio(painter), DrawOptions(PROMPT, negative_prompt=said)))
    assert painter.drawn == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 0), ("count", -1), ("rounds", 0), ("steps", 0), ("width", -8), ("height", 0), ("budget", 0),
        ("guidance", math.nan), ("guidance", math.inf), ("threshold", math.nan), ("threshold", 1.5),
        ("seed", -1), ("seed", 2**32),
    ],
)  # fmt: skip
def test_options_that_draw_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(BadInput, match=name) as caught:
        replace(DrawOptions(PROMPT), **{name: value})  # pyright: ignore[reportArgumentType]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("prompt", ["", "   ", "a cat\x00", "x" * 20_000])
def test_prompts_that_cannot_be_drawn_are_refused_before_anything_is_drawn(prompt: str) -> None:
    models = studio(painter := Painter())
    with pytest.raises(BadInput):
        finish(draw(models, DrawOptions(prompt)))
    assert painter.drawn == []


def test_json_is_the_promised_object() -> None:
    result = drawn(HARD, count=4)
    files = {result.best.picture.sha256: "best.png"}
    value = json.loads(json.dumps(result_to_json(result, files), allow_nan=False))
    assert list(value) == [
        "prompt", "keywords", "threshold", "scorer", "llm", "rounds", "best", "pictures_drawn", "seconds", "warnings",
    ]  # fmt: skip
    assert list(value["keywords"][0]) == ["text", "original", "weight"]
    assert list(value["rounds"][0]) == ["prompt", "pictures"]
    assert list(value["best"]) == ["file", "seed", "scores", "passed", "prompt", "put_in"]
    assert value["best"]["file"] == "best.png"
    assert sum(len(one["pictures"]) for one in value["rounds"]) == value["pictures_drawn"]
    assert set(value["seconds"]) == {"keywords", "draw", "score", "refine"}
    assert set(value["best"]["scores"]) == set(value["threshold"]) == {k["original"] for k in value["keywords"]}


def test_ours_needs_fewer_pictures_than_algorithm_1(capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "a red circle and a green square and a blue circle and a green triangle and a blue square"
    ours, paper = (
        [finish(run(studio(), DrawOptions(prompt, seed=1000 * i, count=8))) for i in range(20)]
        for run in (draw, algorithm1)
    )
    counts = [[r.pictures_drawn if r.best.card.passed else 33 for r in runs] for runs in (ours, paper)]
    medians = [statistics.median(row) for row in counts]
    with capsys.disabled():
        print(f"\npictures until all keywords pass: ours {sorted(counts[0])}, Algorithm 1 {sorted(counts[1])}")  # noqa: T201
        print(f"medians {medians}, means {np.mean(counts, axis=1)} (33: not within 32)")  # noqa: T201
    assert medians[0] < medians[1]
    assert sum(counts[0]) < 0.85 * sum(counts[1])


def test_the_report_says_what_was_scored_only_in_part() -> None:
    class ShortSighted(PixelScorer):
        def too_long(self, texts: Sequence[str]) -> list[str]:
            return [text for text in texts if len(text) > 20]

    result = drawn(models=replace(studio(), scorer=ShortSighted()))
    assert result.warnings[0] == f"only the beginning is scored of: «{PROMPT}»"
