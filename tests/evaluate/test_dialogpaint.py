"""The editing table, filled by tools that know the truth: an editor that renders it, eyes and a judge with memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest

from limner.draw import finish
from limner.evaluate.dialogpaint import DialogPaintReport, evaluate_dialogpaint, table_rows, true_region
from limner.protocols import EditModels, EditRequest, Eyes, Features, FillRequest, Hands, Learned, Mask
from limner.regions import box_iou
from limner.types import Box, EditKind, Picture, Region
from limner.world.edits import KINDS, changed_mask, sample_edit
from limner.world.render import annotate, render
from limner.world.sample import Palette
from limner.world.scene import Fact, Scene, is_true
from limner.world.vocabulary import SHAPE_CONCEPTS

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",))
KINDS_OF_SHAPES: list[EditKind] = [kind for kind in KINDS if kind not in ("restyle",)]
COUNT = 2 * len(KINDS)


@pytest.fixture(autouse=True)
def _no_restyling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes are one style: there is nothing to restyle them to."""
    monkeypatch.setattr("limner.evaluate.dialogpaint.KINDS", tuple(KINDS_OF_SHAPES))


@pytest.fixture(autouse=True)
def _nothing_from_close_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor that knows the truth knows it of whole pictures only."""
    monkeypatch.setattr("limner.painting._CLOSE", ())


class Truth:
    """Knows every scene of the evaluation; any picture is taken for the scene whose render is nearest."""

    name = "truth"
    threshold = present = 0.1
    things: frozenset[str] = frozenset()
    model_hash = ""
    default_size: tuple[int, int] = (128, 128)
    default_steps = 1
    default_guidance = 2.0
    default_text_guidance = 2.0
    default_image_guidance = 1.5

    def __init__(self, edited: Callable[[Picture, Picture], Picture]) -> None:
        rng = Random("dialogpaint/0")
        kinds: list[EditKind] = [KINDS_OF_SHAPES[i % len(KINDS_OF_SHAPES)] for i in range(COUNT)]
        self.triples = [sample_edit(rng, kind, SHAPES, held_out=True) for kind in kinds]
        scenes = [scene for triple in self.triples for scene in (triple.before, triple.after)]
        self.scenes = [(scene, render(scene).pixels.astype(np.float32)) for scene in scenes]
        self.edited = edited

    def scene(self, picture: Picture) -> Scene:
        return min(self.scenes, key=lambda known: float(np.square(known[1] - picture.pixels).mean()))[0]

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        return [[is_true(f, self.scene(p)) for f in row] for p, row in zip(pictures, facts, strict=True)]

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        return [" and ".join(f"a {r.label}" for r in annotate(self.scene(p)).regions) for p in pictures]

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        found = [annotate(self.scene(picture)).regions for picture in pictures]
        return [
            [Region(q, r.box, 1.0) for q in row for r in regions if set(q.split()) <= set(r.label.split())]
            for regions, row in zip(found, queries, strict=True)
        ]

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        regions = annotate(self.scene(picture)).regions
        nearest = [max(regions, key=lambda region: box_iou(region.box, box)) for box in boxes]
        return [region.mask for region in nearest if region.mask is not None]

    def edit(self, requests: Sequence[EditRequest], *, on_step: object = None) -> list[Picture]:
        after = {render(t.before).sha256: render(t.after) for t in self.triples}
        return [self.edited(r.picture, after[r.picture.sha256]) for r in requests]

    def fill(self, requests: Sequence[FillRequest], *, on_step: object = None) -> list[Picture]:
        return [request.picture for request in requests]

    def concepts(self, prompt: str) -> list[Learned]:
        return []

    def encode_pictures(self, pictures: Sequence[Picture]) -> Features:
        rows = np.stack([p.pixels[::8, ::8].astype(np.float32).ravel() for p in pictures])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> Features:
        rows = np.stack([np.random.default_rng(len(t)).normal(size=768).astype(np.float32) for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def thresholds(self, texts: Sequence[str]) -> list[float]:
        return [-1.0 for _ in texts]

    def too_long(self, texts: Sequence[str]) -> list[str]:
        return []

    def precisions(self, texts: Sequence[str]) -> list[float | None]:
        return [None for _ in texts]


def evaluated(edited: Callable[[Picture, Picture], Picture]) -> DialogPaintReport:
    truth = Truth(edited)
    models = EditModels(Eyes(truth, truth, truth), truth, Hands(truth, truth))
    return finish(evaluate_dialogpaint(models, truth, SHAPES, COUNT, attempts=2))  # a replacement is filled in first


@pytest.mark.long
def test_a_perfect_editor_reaches_the_ceiling_and_harms_nothing() -> None:
    report = evaluated(lambda _, after: after)
    whole = report.rows[-1]
    assert (whole.kind, whole.edits, whole.ceiling, whole.plain.success) == ("all", COUNT, 1.0, 1.0)
    objects = next(row for row in report.rows if row.kind == "object")
    assert objects.plain.exact == objects.ours.exact == report.untouched == 1.0
    assert objects.ours.success > 0.7
    assert report.distances["plain"].fid == pytest.approx(0, abs=1e-6)


@pytest.mark.long
def test_an_editor_that_does_nothing_succeeds_at_nothing() -> None:
    report = evaluated(lambda before, _: before)
    assert report.rows[-1].plain.success == report.rows[-1].ours.success == 0


def test_a_careless_editor_damages_its_surroundings_and_ours_does_not() -> None:
    def careless(_: Picture, after: Picture) -> Picture:
        return Picture((after.pixels // 2 + 60).astype(np.uint8))

    objects = next(row for row in evaluated(careless).rows if row.kind == "object")
    assert objects.ours.kept_psnr > 60 > 30 > objects.plain.kept_psnr
    assert objects.ours.exact > 0.9 > 0.3 > objects.plain.exact


def test_the_rows_are_flat_for_the_terminal() -> None:
    report = evaluated(lambda _, after: after)
    rows = table_rows(report)
    assert [row["kind"] for row in rows] == [*KINDS_OF_SHAPES, "object", "whole picture", "all"]
    assert {"ours success", "plain kept dB"} <= set(rows[0])


def test_the_region_holds_the_change_and_some_room() -> None:
    triple = sample_edit(Random(1), "recolour", SHAPES)
    region, change = true_region(triple), changed_mask(triple)
    assert region[change].all()
    assert change.sum() < region.sum() < region.size
