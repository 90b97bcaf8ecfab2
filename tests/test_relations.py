"""Relations are checked by where things are found."""

from __future__ import annotations

import numpy as np
import pytest

from limner.backends.language import RulesModel
from limner.draw import DrawOptions, draw, finish
from limner.easel import score_table
from limner.protocols import Models
from limner.relations import (
    APART,
    EXACT,
    Stated,
    box_scores,
    displacement,
    least_score,
    parse_count,
    parse_relation,
    parse_thing,
)
from limner.types import Picture, Region
from tests.painter import Painter, PixelScorer
from tests.retoucher import ShapeDetector, show

LEFT = "red circle to the left of a blue square"
SIDE_BY_SIDE = show(("red circle", (2, 20, 14, 32)), ("blue square", (30, 20, 42, 32)))
STACKED = show(("red circle", (16, 2, 28, 14)), ("blue square", (18, 30, 30, 42)))
ALONE = show(("red circle", (2, 20, 14, 32)))


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("red fox to the left of a castle", Stated("red fox", "left", "castle")),
        ("a fox left of the castle", Stated("fox", "left", "castle")),
        ("cat on the right side of two dogs", Stated("cat", "right", "dog")),
        ("three apples on top of a chair", Stated("apple", "above", "chair")),
        ("bird over a house", Stated("bird", "above", "house")),
        ("a mouse underneath a table", Stated("mouse", "below", "table")),
        ("fox near a castle", None),
        ("butterfly under water", None),
        ("bird over the sea", None),
        ("fox in front of a castle", None),
        ("red fox", None),
        ("left of a castle", None),
    ],
)
def test_what_a_keyword_states(text: str, stated: Stated | None) -> None:
    assert parse_relation(text) == stated


def test_scores_say_how_clearly_a_relation_holds() -> None:
    texts = (LEFT, "blue square right of a red circle", "red circle above a blue square", "red circle")
    scores = box_scores(ShapeDetector(), (SIDE_BY_SIDE, STACKED, ALONE), texts)
    assert list(scores) == list(texts[:3])
    assert scores[LEFT] == scores[texts[1]]
    assert scores[LEFT][0] == pytest.approx(28 / 48, abs=0.05)
    assert scores[LEFT][1] < 0
    assert scores[texts[2]][0] < 0
    assert scores[texts[2]][1] >= APART
    assert [row[2] for row in scores.values()] == [-1, -1, -1]


def test_the_wrong_side_is_as_far_below_nothing_as_the_right_one_is_above() -> None:
    regions = [Region("a", (0, 0, 10, 10)), Region("b", (60, 0, 70, 10))]
    picture = Picture(np.zeros((100, 100, 3), np.uint8))
    assert displacement(Stated("a", "left", "b"), regions, picture) == pytest.approx(0.6)
    assert displacement(Stated("b", "left", "a"), regions, picture) == pytest.approx(-0.6)
    assert displacement(Stated("a", "above", "b"), regions, picture) == pytest.approx(-0.6)


def test_of_several_things_the_surest_counts() -> None:
    regions = [Region("a", (80, 0, 90, 10), 0.4), Region("a", (0, 0, 10, 10), 0.9), Region("b", (50, 0, 60, 10))]
    assert displacement(Stated("a", "left", "b"), regions, Picture(np.zeros((100, 100, 3), np.uint8))) > 0


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("three apples", (3, "apple")),
        ("two red cars", (2, "red car")),
        ("4 cats", (4, "cat")),
        ("one apple", None),
        ("apples", None),
        ("three", None),
        ("two cats left of a dog", None),
        ("1900 cars", None),
    ],
)
def test_what_a_number_states(text: str, stated: tuple[int, str] | None) -> None:
    assert parse_count(text) == stated


def test_counts_are_counted() -> None:
    three = show(*(("red circle", (x, 20.0, x + 10, 30.0)) for x in (2.0, 16.0, 30.0)))
    texts = ("three red circles", "two red circles", "five circles", "nine circles")
    scores = box_scores(ShapeDetector(), [three], texts)
    assert [scores[text][0] for text in texts] == [EXACT, EXACT - 1, -1, -1]


class Knowing(ShapeDetector):
    """Knows that it would find every red circle and blue square."""

    present = 0.5
    things = frozenset(("red circle", "blue square", "circle"))


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("a red circle", "red circle"),
        ("circles", "circle"),
        ("the blue square", "blue square"),
        ("green circle", None),
        ("snow", None),
    ],
)
def test_only_known_things_are_things(text: str, thing: str | None) -> None:
    assert parse_thing(text, Knowing.things) == thing


def test_a_thing_is_there_as_surely_as_it_is_found() -> None:
    scores = box_scores(Knowing(), [SIDE_BY_SIDE, ALONE], ["red circle", "blue square", "snow"])
    assert scores.keys() == {"red circle", "blue square"}
    assert min(scores["red circle"]) > 0.9
    assert scores["blue square"][1] == 0
    assert [least_score(text, Knowing()) for text in ("red circle", LEFT, "two red circles")] == [0.5, APART, EXACT]


def test_faint_finds_tell_of_things_but_neither_of_sides_nor_of_numbers() -> None:
    faint = Knowing()
    faint.threshold = 0.99  # nothing is found as surely
    scores = box_scores(faint, [SIDE_BY_SIDE], ["red circle", LEFT, "two red circles"])
    assert scores["red circle"][0] > 0.9
    assert scores[LEFT] == [-1]
    assert scores["two red circles"] == [-1]


def test_without_a_detector_the_scorer_decides() -> None:
    models = Models(Painter(), PixelScorer(), RulesModel())
    features = models.scorer.encode_pictures([SIDE_BY_SIDE])
    scores, least = score_table(models, [SIDE_BY_SIDE], features, [LEFT, "red circle"], 0.3)
    assert (scores == features @ models.scorer.encode_texts([LEFT, "red circle"]).T).all()
    assert least == [0.3, 0.3]


def test_drawing_goes_on_until_the_side_is_right() -> None:
    models = Models(Painter(), PixelScorer(), RulesModel(), ShapeDetector())
    prompt = f"a {LEFT}"
    results = [finish(draw(models, DrawOptions(prompt, seed=1000 * i, count=8, rounds=6))) for i in range(6)]
    assert [result.threshold[LEFT] for result in results] == [APART] * 6
    passed = [result for result in results if result.best.card.passed]
    assert len(passed) >= 4
    for result in passed:
        assert box_scores(ShapeDetector(), [result.best.picture], [LEFT])[LEFT][0] >= APART
