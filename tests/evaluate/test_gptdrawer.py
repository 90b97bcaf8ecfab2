"""Tables 4 and 5 on a painter and a judge whose answers can be checked by looking."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from limner.draw import DrawOptions, finish
from limner.evaluate.gptdrawer import METHODS, GptDrawerReport, ScenePrompt, evaluate_gptdrawer, table
from limner.protocols import Models
from limner.types import Picture
from limner.world.scene import Fact
from tests.painter import Painter, PixelScorer, seen
from tests.test_draw import Thesaurus


def _scene(*things: str) -> ScenePrompt:
    prompt = (
        f"{' and '.join(f'a {thing}' for thing in things[:2])}. There is {' and '.join(f'a {t}' for t in things[2:])}."
    )
    return ScenePrompt(prompt, tuple(Fact("colour", thing) for thing in things))


SCENES = (
    _scene("red circle", "blue square", "green triangle", "red square"),
    _scene("red triangle", "blue circle", "green circle", "green square"),
)


def judge(pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
    return [[fact.text in seen(picture) for fact in wanted] for picture, wanted in zip(pictures, facts, strict=True)]


@pytest.fixture(scope="module")
def report() -> GptDrawerReport:
    models = Models(Painter(), PixelScorer(), Thesaurus())
    options = DrawOptions("any", seed=0, count=8, rounds=3)
    return finish(evaluate_gptdrawer(models, judge, SCENES, options, repeats=5))


def test_a_scorer_that_is_never_wrong_agrees_with_the_judge(report: GptDrawerReport) -> None:
    assert len(report.keywords) == 8
    for row in report.keywords:
        assert all(cell.found == cell.judged for cell in row.cells.values())


def test_choosing_helps_and_refining_helps_more(report: GptDrawerReport) -> None:
    share = {method: report.presence(method).judged for method in METHODS}
    assert share["baseline"] + 0.1 <= share["best of batch"] <= share["equal budget"] <= share["ours"]
    assert share["ours"] > share["algorithm 1"]
    assert share["ours"] >= share["baseline"] + 0.3


def test_the_baseline_is_the_mean_of_its_batch(report: GptDrawerReport) -> None:
    shares = [row.cells["baseline"].judged for row in report.keywords]
    assert all((share * 40) == pytest.approx(round(share * 40)) for share in shares)
    assert any(0 < share < 1 for share in shares)


def test_pictures_are_counted_to_the_bound(report: GptDrawerReport) -> None:
    ours, paper = report.counts
    assert (ours.method, paper.method) == ("ours", "algorithm 1")
    assert len(ours.counts) == len(paper.counts) == 10
    assert all(count <= 24 == row.bound for row in report.counts for count in row.counts)
    assert all(count % 8 == 0 for count in paper.counts)
    assert sum(ours.counts) < sum(paper.counts)
    assert ours.reached > paper.reached


def test_sentences_are_scored_one_by_one_and_together(report: GptDrawerReport) -> None:
    assert [row.sentence for row in report.sentences] == ["sentence 1", "sentence 2", "overall"] * 2
    assert all(set(row.scores) == set(METHODS) for row in report.sentences)


def test_it_reads_as_json_and_as_text(report: GptDrawerReport) -> None:
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert value["presence"]["ours"]["judged"] == report.presence("ours").judged
    text = table(report, scenes=1)
    assert "Table 4" in text
    assert "Table 5" in text
    assert "red circle" in text
    assert "red triangle" not in text
    assert max(map(len, text.splitlines())) < 140


def test_progress_is_told_scene_by_scene() -> None:
    models = Models(Painter(), PixelScorer(), Thesaurus())
    events = list(evaluate_gptdrawer(models, judge, SCENES, DrawOptions("any", seed=0, count=2, rounds=1)))
    assert [(e.kind, e.done, e.total) for e in events] == [("scene", 1, 2), ("scene", 2, 2)]
