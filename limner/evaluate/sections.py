"""The sections of `limner eval world` for the models that look: their figures on rendered scenes, and the judge's own.

The truth of these scenes is exact, so that no judge is needed. What the judge answers to the same question on the same
pictures stands beside each figure as its ceiling all the same: a model above it sees what the judge of drawings would
miss. Where the judge has no answer (boxes with scores, masks) there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from limner.evaluate import eyes
from limner.evaluate.eyes import Sight
from limner.evaluate.world import FactJudge
from limner.protocols import Captioner, Detector, Segmenter
from limner.types import Event
from limner.world.sample import Palette

Figures = dict[str, float]
"""Values from 0 to 1 by what they measure."""


@dataclass(frozen=True, slots=True)
class EyeRow:
    """One figure of one model, 0 to 1, on `scenes` pictures; `ceiling` is None where the judge has no answer."""

    model: str
    measure: str
    score: float
    ceiling: float | None
    scenes: int


@dataclass(frozen=True, slots=True)
class Scenes:
    """What is looked at: scenes of the training side (`known`), and of held-out combinations (`new`)."""

    palette: Palette
    known: Sequence[Sight]
    new: Sequence[Sight]


def rendered(
    palette: Palette, count: int, seeds: Sequence[int] = (0,), *, stages: Sequence[str] = eyes.STAGES
) -> Scenes:
    """`count` scenes a seed on both sides, of these stages. The palette's art must be here."""

    def seen(*, held_out: bool) -> list[Sight]:
        each = (eyes.sights(palette, count, held_out=held_out, seed=seed, stages=stages) for seed in seeds)
        return [sight for several in each for sight in several]

    return Scenes(palette, seen(held_out=False), seen(held_out=True))


def detector_figures(detector: Detector, scenes: Scenes) -> Figures:
    """mAP on both sides; relations and numbers on held-out scenes, as drawing checks them by boxes."""
    return {
        "mAP@0.5": eyes.detection_score(detector, scenes.known),
        "mAP@0.5, held out": eyes.detection_score(detector, scenes.new),
        **_shares("relations", eyes.box_verdicts(detector, eyes.relation_questions(scenes.new))),
        **_shares("counts", eyes.box_verdicts(detector, eyes.count_questions(scenes.new))),
    }


def judge_on_claims(judge: FactJudge, scenes: Scenes) -> Figures:
    """The judge's word on the relations and numbers that a detector is asked."""
    return {
        **_shares("relations", eyes.judge_verdicts(judge, eyes.relation_questions(scenes.new))),
        **_shares("counts", eyes.judge_verdicts(judge, eyes.count_questions(scenes.new))),
    }


def _shares(name: str, rows: Sequence[tuple[float, bool]]) -> Figures:
    """Precision and recall under their names; nothing where no scene gave cause to ask."""
    precision, recall = eyes.precision_recall(rows)
    return {f"{name}, precision": precision, f"{name}, recall": recall} if rows else {}


def segmenter_figures(segmenter: Segmenter, scenes: Scenes) -> Figures:
    """Mean IoU on both sides, the boxes given being the true ones."""
    return {
        "mean IoU": eyes.segmentation_score(segmenter, scenes.known),
        "mean IoU, held out": eyes.segmentation_score(segmenter, scenes.new),
    }


def captioner_figures(captioner: Captioner, scenes: Scenes) -> Figures:
    """The share of captions with just the right nouns, on both sides; the scenes are to hold one thing or two."""
    return {
        "nouns right": eyes.nouns_right(captioner, scenes.known, scenes.palette),
        "nouns right, held out": eyes.nouns_right(captioner, scenes.new, scenes.palette),
    }


def judge_on_nouns(judge: FactJudge, scenes: Scenes) -> Figures:
    """The judge's word on the scenes that a captioner is shown."""
    return {
        "nouns right": eyes.things_right(judge, scenes.known, scenes.palette),
        "nouns right, held out": eyes.things_right(judge, scenes.new, scenes.palette),
    }


@dataclass(frozen=True, slots=True)
class Section:
    """One model to measure: on scenes of which stages, by which figures, and what the judge says to the same."""

    model: str
    stages: Sequence[str]
    measure: Callable[[Scenes], Figures]
    ceiling: Callable[[Scenes], Figures]


def sections_of(
    detector: Detector | None, segmenter: Segmenter | None, captioner: Captioner | None, judge: FactJudge
) -> list[Section]:
    """A section for each model that is there."""
    found: list[Section] = []
    if detector:
        measure, ceiling = partial(detector_figures, detector), partial(judge_on_claims, judge)
        found.append(Section(detector.name, eyes.STAGES, measure, ceiling))
    if segmenter:
        found.append(Section(segmenter.name, eyes.STAGES, partial(segmenter_figures, segmenter), _no_answer))
    if captioner:
        measure, ceiling = partial(captioner_figures, captioner), partial(judge_on_nouns, judge)
        found.append(Section(captioner.name, eyes.FEW, measure, ceiling))
    return found


def _no_answer(scenes: Scenes) -> Figures:
    return {}


def evaluate_eyes(
    sections: Sequence[Section], palette: Palette, *, count: int = 100, seeds: Sequence[int] = (0,)
) -> Iterator[Event | EyeRow]:
    """Each section's figures on `count` scenes a seed and side; yields its rows, then an «eyes» Event."""
    for number, section in enumerate(sections, 1):
        scenes = rendered(palette, count, seeds, stages=section.stages)
        ceilings = section.ceiling(scenes)
        for measure, score in section.measure(scenes).items():
            yield EyeRow(section.model, measure, score, ceilings.get(measure), len(scenes.known))
        yield Event("eyes", section.model, number, len(sections))
