"""The sections of the models that look: who has one, what stands in it, and the judge's word beside it."""

from __future__ import annotations

import pytest

from limner.evaluate.sections import EyeRow, Scenes, Section, evaluate_eyes, rendered, sections_of
from limner.evaluate.world import FactJudge
from limner.types import Event
from tests.evaluate.knowing import Blind, Doubter, ExactJudge, Knowing
from tests.world.small import SHAPES

COUNT, SEEDS = 12, (0, 1)
CLAIMS = ["relations, precision", "relations, recall", "counts, precision", "counts, recall"]
MEASURES = [
    *("mAP@0.5", "mAP@0.5, held out", *CLAIMS),
    *("mean IoU", "mean IoU, held out"),
    *("nouns right", "nouns right, held out"),
]


@pytest.fixture(scope="module")
def shown() -> list[Scenes]:
    """All that is shown below."""
    parts = sections_of(Blind(), None, Blind(), Doubter())
    return [rendered(SHAPES, COUNT, SEEDS, stages=part.stages) for part in parts]


def measured(sections: list[Section]) -> tuple[list[EyeRow], list[Event]]:
    told = list(evaluate_eyes(sections, SHAPES, count=COUNT, seeds=SEEDS))
    return [row for row in told if isinstance(row, EyeRow)], [event for event in told if isinstance(event, Event)]


def all_sections(eyes: Knowing | Blind, judge: FactJudge) -> list[Section]:
    return sections_of(eyes, eyes, eyes, judge)


def test_scenes_of_several_seeds_and_both_sides_all_differ() -> None:
    scenes = rendered(SHAPES, COUNT, SEEDS)
    assert len(scenes.known) == len(scenes.new) == COUNT * len(SEEDS)
    assert len({sight.picture.sha256 for sight in (*scenes.known, *scenes.new)}) == 2 * COUNT * len(SEEDS)


def test_who_knows_the_truth_gets_full_marks(shown: list[Scenes]) -> None:
    seen = [sight for scenes in shown for sight in (*scenes.known, *scenes.new)]
    rows, events = measured(all_sections(Knowing(seen), ExactJudge(sight.scene for sight in seen)))
    assert [row.measure for row in rows] == MEASURES
    assert [(row.model, row.scenes) for row in rows] == [("knowing", COUNT * len(SEEDS))] * len(rows)
    assert {row.measure: row.score for row in rows} == dict.fromkeys(MEASURES, 1.0)
    assert {row.measure: row.ceiling for row in rows} == {
        measure: None if measure.startswith("m") else 1.0 for measure in MEASURES
    }
    assert [(event.kind, event.done, event.total) for event in events] == [("eyes", n, 3) for n in (1, 2, 3)]


def test_who_sees_nothing_gets_none() -> None:
    rows, _ = measured(all_sections(Blind(), Doubter()))
    nothing_claimed = {"relations, precision", "counts, precision"}
    assert {row.measure: row.score for row in rows} == {name: float(name in nothing_claimed) for name in MEASURES}
    assert {row.ceiling for row in rows if row.measure.startswith("nouns")} == {0.0}


def test_a_model_that_is_not_there_has_no_section() -> None:
    assert sections_of(None, None, None, Doubter()) == []
    rows, events = measured(sections_of(None, Blind(), None, Doubter()))
    assert [row.measure for row in rows] == ["mean IoU", "mean IoU, held out"]
    assert [(event.done, event.total) for event in events] == [(1, 1)]


def test_what_no_scene_asks_for_is_left_out() -> None:
    [section] = sections_of(Blind(), None, None, Doubter())
    alone = rendered(SHAPES, 2, stages=("single",))
    assert list(section.measure(alone)) == ["mAP@0.5", "mAP@0.5, held out"]
    assert section.ceiling(alone) == {}
