"""The eyes' figures, for eyes whose figures are known: some that know the truth, some that see nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from limner.evaluate.eyes import (
    ABSENT,
    FEW,
    Sight,
    best_threshold,
    box_verdicts,
    claims,
    count_questions,
    detection_score,
    judge_verdicts,
    named_in,
    nouns_right,
    precision_recall,
    relation_questions,
    segmentation_score,
    sights,
    things_right,
)
from limner.types import Picture
from limner.world.caption import describe
from limner.world.sample import Palette
from limner.world.scene import colour_of
from limner.world.vocabulary import SHAPE_CONCEPTS, pair_held_out
from tests.evaluate.knowing import Blind, Doubter, ExactJudge, Knowing

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",), tint=0.5)


@pytest.fixture(scope="module")
def seen() -> list[Sight]:
    return sights(SHAPES, 40, held_out=False)


def test_sights_ask_for_what_is_there_and_for_what_is_not(seen: list[Sight]) -> None:
    for sight in seen:
        assert {region.label for region in sight.truth} <= set(sight.queries)
        present = {thing.concept for thing in sight.scene.things}
        assert sum(query in SHAPES.concepts and query not in present for query in sight.queries) == ABSENT
        coloured = sum(colour_of(thing) is not None for thing in sight.scene.things)
        assert len(sight.truth) == len(sight.scene.things) + coloured


def test_held_out_sights_hold_held_out_pairs() -> None:
    pairs = [s.scene.things for s in sights(SHAPES, 40, held_out=True) if len(s.scene.counts()) == 2]
    assert pairs
    assert all(pair_held_out(first.concept, second.concept) for first, second, *_ in pairs)


def test_who_knows_the_truth_scores_one_and_who_is_blind_nothing(seen: list[Sight]) -> None:
    assert detection_score(Knowing(seen), seen) == 1.0
    assert detection_score(Blind(), seen) == 0.0
    assert detection_score(Knowing(seen, shift=60), seen) < 0.2


def test_relations_are_told_by_places_alone(seen: list[Sight]) -> None:
    asked = relation_questions(seen)
    for shift in (0.0, 10.0):
        rows = box_verdicts(Knowing(seen, shift), asked)
        assert len(rows) > 40
        assert precision_recall(rows)[0] == 1.0
        assert precision_recall(rows)[1] > 0.95
    assert precision_recall(box_verdicts(Blind(), asked)) == (1.0, 0.0)


def test_numbers_are_told_by_how_many_boxes_there_are(seen: list[Sight]) -> None:
    asked = count_questions(seen)
    rows = box_verdicts(Knowing(seen), asked)
    assert [true for _, true in rows] == [True, False] * (len(rows) // 2)
    assert precision_recall(rows) == (1.0, 1.0)
    assert precision_recall(box_verdicts(Blind(), asked)) == (1.0, 0.0)


def test_the_judge_is_asked_the_same(seen: list[Sight]) -> None:
    judge = ExactJudge(sight.scene for sight in seen)
    for asked in (relation_questions(seen), count_questions(seen)):
        boxes, told = box_verdicts(Knowing(seen), asked), judge_verdicts(judge, asked)
        assert [true for _, true in boxes] == [true for _, true in told]
        assert precision_recall(told) == (1.0, 1.0)
        assert precision_recall(judge_verdicts(Doubter(), asked)) == (1.0, 0.0)


def test_masks_are_compared_with_what_can_be_seen_of_each_thing(seen: list[Sight]) -> None:
    assert segmentation_score(Knowing(seen), seen) == 1.0
    assert segmentation_score(Blind(), seen) == 0.0
    pair = next(sight for sight in seen if len(sight.regions) == 2)
    first, second = pair.regions
    half = replace(pair, regions=(first, replace(second, mask=pair.picture.pixels.max(axis=2) > 255)))
    assert segmentation_score(Knowing([half]), [pair]) == 0.5


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("a red star left of a ring in the snow", ["ring", "star"]),
        ("two stars and a star", ["star", "stars"]),
        ("a ringing starling", []),
    ],
)
def test_nouns_are_whole_words(text: str, nouns: list[str]) -> None:
    assert named_in(text, SHAPES) == nouns


def test_the_longer_noun_is_meant() -> None:
    assert named_in("a teddy bear on a palm tree", Palette()) == ["palm tree", "teddy bear"]
    assert named_in("a bear by trees and a pineapple", Palette()) == ["bear", "pineapple", "trees"]


class Saying:
    """A captioner that says what it was told to."""

    name = "saying"

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        return list(self.texts)


def test_captions_are_right_with_all_nouns_and_no_other() -> None:
    few = sights(SHAPES, 20, held_out=True, stages=FEW)
    assert {len(sight.scene.things) for sight in few} == {1, 2}
    assert nouns_right(Knowing(few), few, SHAPES) == 1.0
    assert nouns_right(Blind(), few, SHAPES) == 0.0
    pair = next(sight for sight in few if len(sight.scene.things) == 2)
    said, (first, second) = describe(pair.scene), (thing.concept for thing in pair.scene.things)
    other = next(name for name in SHAPES.concepts if name not in (first, second))
    captions = [said, f"a {first}", f"{said} and a {other}", f"{said} and a {first}", f"a {first} and two {second}s"]
    assert nouns_right(Saying(*captions), [pair] * len(captions), SHAPES) == 1 / len(captions)


def test_the_judge_is_right_when_it_sees_just_what_is_there() -> None:
    few = sights(SHAPES, 10, held_out=False, stages=FEW)
    assert things_right(ExactJudge(sight.scene for sight in few), few, SHAPES) == 1.0
    wrong = ExactJudge(sight.scene for sight in few)
    key = few[0].picture.sha256
    wrong.known[key] = replace(few[0].scene, things=(*few[0].scene.things, few[0].scene.things[0]))
    assert things_right(wrong, few, SHAPES) == 0.9
    assert things_right(Doubter(), few, SHAPES) == 0.0


def test_claims_are_right_where_boxes_overlap(seen: list[Sight]) -> None:
    assert all(right for _, right in claims(Knowing(seen), seen))
    assert not any(right for _, right in claims(Knowing(seen, shift=200), seen))


def test_the_best_threshold_keeps_the_right_and_leaves_the_wrong() -> None:
    rows = [(0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.2, False), (0.1, False)]
    assert best_threshold(rows, total=3) == 0.6
    assert best_threshold(rows[:3], total=2) == 0.8
