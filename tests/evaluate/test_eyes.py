"""The detector's figures, for detectors whose figures are known: one that knows the truth, one that sees nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from limner.evaluate.eyes import (
    ABSENT,
    Sight,
    best_threshold,
    claims,
    detection_score,
    precision_recall,
    relation_verdicts,
    sights,
)
from limner.types import Picture, Region
from limner.world.sample import Palette
from limner.world.scene import colour_of
from limner.world.vocabulary import SHAPE_CONCEPTS, pair_held_out

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",), tint=0.5)


class Knowing:
    """A detector that knows the sights; `shift` pixels to the right is where it says that things are."""

    name = "knowing"

    def __init__(self, seen: Sequence[Sight], shift: float = 0.0) -> None:
        self.truth = {sight.picture.sha256: sight.truth for sight in seen}
        self.shift = shift

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        return [
            [self._said(region) for region in self.truth[picture.sha256] if region.label in wanted]
            for picture, wanted in zip(pictures, queries, strict=True)
        ]

    def _said(self, region: Region) -> Region:
        x0, y0, x1, y1 = region.box
        return Region(region.label, (x0 + self.shift, y0, x1 + self.shift, y1), 0.9)


class Blind:
    name = "blind"

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        return [[] for _ in pictures]


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
    for shift in (0.0, 10.0):
        rows = relation_verdicts(Knowing(seen, shift), seen)
        assert len(rows) > 40
        assert precision_recall(rows)[0] == 1.0
        assert precision_recall(rows)[1] > 0.95
    assert precision_recall(relation_verdicts(Blind(), seen)) == (1.0, 0.0)


def test_claims_are_right_where_boxes_overlap(seen: list[Sight]) -> None:
    assert all(right for _, right in claims(Knowing(seen), seen))
    assert not any(right for _, right in claims(Knowing(seen, shift=200), seen))


def test_the_best_threshold_keeps_the_right_and_leaves_the_wrong() -> None:
    rows = [(0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.2, False), (0.1, False)]
    assert best_threshold(rows, total=3) == 0.6
    assert best_threshold(rows[:3], total=2) == 0.8
