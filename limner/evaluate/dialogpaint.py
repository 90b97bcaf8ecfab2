"""How well an editor does what is said and leaves the rest alone, on the world's exact edits.

Ours (find, edit, verify, try again, paste back) and the plain InstructPix2Pix pipeline, one try with the same weights
and seed, get the same pictures and instructions; the world's judge says which edits succeeded. Its word on the truly
edited scenes, the ceiling, stands beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random
from statistics import fmean
from typing import Any

import numpy as np

from limner.draw import finish
from limner.edit import EditOptions, edit
from limner.evaluate.metrics import fid, prd
from limner.evaluate.world import FactJudge
from limner.image.paste import dilate, drift_outside
from limner.instruction import parse_instruction
from limner.protocols import EditModels, EditRequest, ImageTextScorer, Mask
from limner.types import BadInput, Event, Picture
from limner.verify import direction
from limner.world.caption import describe, facts
from limner.world.edits import KINDS, EditTriple, changed_mask, sample_edit
from limner.world.render import render
from limner.world.sample import Palette
from limner.world.scene import Fact

METHODS = ("ours", "plain")
_AROUND = 0.08
"""Room around what truly changes, as a share of the picture's side, in which a change is not counted as damage."""


@dataclass(frozen=True, slots=True)
class Score:
    """One edited picture: did it succeed, and what became of the rest.

    `kept_psnr` is in dB outside the true region and some room (99 for equal), `exact` the share of those pixels that
    are bit-equal, `directional` the cosine of the change of features with that of the captions.
    """

    success: float
    kept_psnr: float
    exact: float
    directional: float


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of edit: the means of both methods, and the judge's success on the true pictures."""

    kind: str
    edits: int
    ceiling: float
    ours: Score
    plain: Score


@dataclass(frozen=True, slots=True)
class Distances:
    """How the edited pictures as a set compare with the true ones, by the named network's features."""

    network: str
    fid: float
    f8: float
    f1_8: float


@dataclass(frozen=True, slots=True)
class DialogPaintReport:
    """The rows by kind, «object» (the first four) and «all» at the end, and both methods' distances."""

    rows: tuple[KindRow, ...]
    untouched: float
    distances: Mapping[str, Distances]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    triple: EditTriple
    before: Picture
    truth: Picture
    pictures: Mapping[str, Picture]
    untouched: bool


def evaluate_dialogpaint(
    models: EditModels, judge: FactJudge, palette: Palette, count: int, *, seed: int = 0, attempts: int = 4
) -> Generator[Event, None, DialogPaintReport]:
    """Edit `count` held-out scenes, all kinds in turn; yields an «edit» Event after each."""
    rng, cases = Random(f"dialogpaint/{seed}"), list[_Case]()
    for number in range(count):
        triple = sample_edit(rng, KINDS[number % len(KINDS)], palette, held_out=True)
        cases.append(_edited(models, triple, seed + number, attempts))
        yield Event("edit", triple.change.instruction, number + 1, count)
    return _report(cases, judge, models.scorer)


def _edited(models: EditModels, triple: EditTriple, seed: int, attempts: int) -> _Case:
    """One edit by both methods. What ours refuses, because it does not see the thing, counts as left undone."""
    before, editor = render(triple.before), models.hands.editor
    text, image = editor.default_text_guidance, editor.default_image_guidance
    request = EditRequest(before, triple.change.instruction, seed, editor.default_steps, text, image)
    [plain] = editor.edit([request])
    try:
        change = parse_instruction(triple.change.instruction)
        result = finish(edit(models, before, EditOptions(change, seed=seed, attempts=attempts)))
        ours, untouched = result.best.picture, result.best.drift == 0
    except BadInput:
        ours, untouched = before, True
    return _Case(triple, before, render(triple.after), {"ours": ours, "plain": plain}, untouched)


def _report(cases: Sequence[_Case], judge: FactJudge, scorer: ImageTextScorer) -> DialogPaintReport:
    success = {name: _successes(judge, cases, [case.pictures[name] for case in cases]) for name in METHODS}
    ceiling = _successes(judge, cases, [case.truth for case in cases])
    scores = {name: [_score(scorer, c, name, s) for c, s in zip(cases, success[name], strict=True)] for name in METHODS}
    groups: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        change = case.triple.change
        for group in (change.kind, "object" if change.local else "whole picture", "all"):
            groups[group].append(index)
    order = [
        *(kind for kind in KINDS if kind in groups),
        *(g for g in ("object", "whole picture", "all") if g in groups),
    ]
    rows = [
        KindRow(
            kind=group,
            edits=len(groups[group]),
            ceiling=fmean(ceiling[i] for i in groups[group]),
            ours=_mean([scores["ours"][i] for i in groups[group]]),
            plain=_mean([scores["plain"][i] for i in groups[group]]),
        )
        for group in order
    ]
    local = [float(case.untouched) for case in cases if case.triple.change.local]
    truth = scorer.encode_pictures([case.truth for case in cases])
    return DialogPaintReport(
        tuple(rows),
        fmean(local) if local else 1.0,
        {name: _distances(scorer, truth, [case.pictures[name] for case in cases]) for name in METHODS},
    )


def _successes(judge: FactJudge, cases: Sequence[_Case], pictures: Sequence[Picture]) -> list[float]:
    """1.0 for each picture in which all that must be there is, and nothing that must not."""
    asked = [(_must_hold(case.triple), case.triple.absent) for case in cases]
    verdicts = judge.judge(pictures, [[*present, *absent] for present, absent in asked])
    wanted = [[True] * len(present) + [False] * len(absent) for present, absent in asked]
    return [float(said == want) for said, want in zip(verdicts, wanted, strict=True)]


def _must_hold(triple: EditTriple) -> tuple[Fact, ...]:
    """What was asked for; after a change of the whole picture also its things, which an editor may not lose."""
    things = () if triple.change.local else (f for f in facts(triple.after) if f.kind in ("object", "colour", "count"))
    return (*triple.present, *things)


def _score(scorer: ImageTextScorer, case: _Case, method: str, success: float) -> Score:
    after, rest = case.pictures[method], ~true_region(case.triple)
    before = case.before.pixels[rest].astype(np.float64)
    squared = float(((before - after.pixels[rest]) ** 2).mean()) if rest.any() else 0.0
    same = float((case.before.pixels == after.pixels).all(axis=2)[rest].mean()) if rest.any() else 1.0
    told = describe(case.triple.before), describe(case.triple.after)
    decibels = 99.0 if squared == 0 else 10 * float(np.log10(255**2 / squared))
    return Score(success, decibels, same, direction(scorer, (case.before, after), told) or 0.0)


def true_region(triple: EditTriple) -> Mask:
    """The pixels that the true edit changes, and some room around them, of a picture of 128 px."""
    mask = changed_mask(triple)
    return dilate(mask, round(_AROUND * len(mask)))


def _mean(scores: Sequence[Score]) -> Score:
    return Score(*(fmean(values) for values in zip(*(asdict(score).values() for score in scores), strict=True)))


def _distances(scorer: ImageTextScorer, truth: np.ndarray[Any, Any], pictures: Sequence[Picture]) -> Distances:
    features = scorer.encode_pictures(pictures)
    f8, f1_8 = prd(truth, features)
    return Distances(f"{scorer.name} image features", fid(truth, features), f8, f1_8)


def drift_curves(models: EditModels, chain: Sequence[str], start: Picture, *, seed: int = 0) -> dict[str, list[float]]:
    """Mean difference (of 255) from `start` of the pixels that no round of ours was to touch, after each round.

    Both methods carry out the same instructions on their own last picture. A round that ours refuses, because it does
    not find the thing any more, leaves its picture as it was.
    """
    ours, plain, touched = start, start, np.zeros(start.pixels.shape[:2], np.bool_)
    curves: dict[str, list[float]] = {name: [] for name in METHODS}
    for number, instruction in enumerate(chain):
        with suppress(BadInput):
            result = finish(edit(models, ours, EditOptions(parse_instruction(instruction), seed=seed + number)))
            ours, touched = result.best.picture, touched | result.mask
        editor = models.hands.editor
        scales = (editor.default_text_guidance, editor.default_image_guidance)
        [plain] = editor.edit([EditRequest(plain, instruction, seed + number, editor.default_steps, *scales)])
        for name, picture in {"ours": ours, "plain": plain}.items():
            curves[name].append(drift_outside(start, picture, touched))
    return curves


def table_rows(report: DialogPaintReport) -> list[dict[str, float | int | str]]:
    """The rows flat, as the terminal shows them."""
    names = {"success": "success", "kept_psnr": "kept dB", "exact": "exact", "directional": "direction"}
    return [
        {"kind": row.kind, "edits": row.edits, "ceiling": row.ceiling}
        | {
            f"{method} {label}": getattr(getattr(row, method), field)
            for field, label in names.items()
            for method in METHODS
        }
        for row in report.rows
    ]
