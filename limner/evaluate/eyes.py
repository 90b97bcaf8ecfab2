"""How well the eyes see, on the world's exact scenes: what is found where, who stands on which side of whom, which
pixels are whose, and whether a caption names what is there.

The judge can be asked some of the same questions; its answers stand beside the models' as a yardstick.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from limner.evaluate.detection import mask_iou, mean_average_precision
from limner.evaluate.world import FactJudge
from limner.protocols import Captioner, Detector, Segmenter
from limner.regions import box_iou
from limner.relations import APART, box_scores
from limner.types import Picture, Region
from limner.world.render import annotate
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Fact, Relation, Scene, colour_of, relations
from limner.world.vocabulary import COLOURS, concept

STAGES = ("single", "pair", "pair", "count", "crowd")
FEW = ("single", "pair")
"""The stages of one and of two things, which a caption is to name without fail."""

ABSENT = 4
"""So many nouns that are not in a picture are looked for in it: what is found of them is wrong."""

_EVERYTHING = 0.02
"""The threshold for average precision, which is about the order of the scores and wants the bad ones too."""

_OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of", "right of": "left of", "above": "below", "below": "above",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """One scene to look at: what to ask, what is truly there under each of the names, and the things' masks."""

    scene: Scene
    picture: Picture
    queries: tuple[str, ...]
    truth: tuple[Region, ...]
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Claims about one picture, and which of them hold."""

    picture: Picture
    facts: tuple[Fact, ...]
    true: tuple[bool, ...]


def sights(
    palette: Palette, count: int, *, held_out: bool, seed: int = 0, stages: Sequence[str] = STAGES
) -> list[Sight]:
    """Scenes with «car» for every car, «red car» for every one seen in red, another colour, and absent nouns."""
    rng = Random(f"sights/{held_out}/{seed}")
    return [
        _sight(rng, palette, sample_scene(rng, rng.choice(stages), palette, held_out=held_out)) for _ in range(count)
    ]


def _sight(rng: Random, palette: Palette, scene: Scene) -> Sight:
    annotated, truth, queries = annotate(scene), list[Region](), list[str]()
    for thing, region in zip(scene.things, annotated.regions, strict=False):
        colour = colour_of(thing)
        names = [thing.concept, *([f"{colour} {thing.concept}"] if colour else [])]
        truth += [Region(name, region.box) for name in names]
        wrong = rng.choice([c for c in COLOURS if c != colour])
        queries += [*names, *([f"{wrong} {thing.concept}"] if colour else [])]
    present = {thing.concept for thing in scene.things}
    queries += rng.sample([name for name in palette.concepts if name not in present], ABSENT)
    return Sight(scene, annotated.picture, tuple(dict.fromkeys(queries)), tuple(truth), tuple(annotated.regions))


def detection_score(detector: Detector, seen: Sequence[Sight]) -> float:
    """mAP at an overlap of 0.5 over all names, coloured ones included."""
    found = detector.detect([s.picture for s in seen], [s.queries for s in seen], threshold=_EVERYTHING)
    return mean_average_precision(found, [s.truth for s in seen])


def claims(detector: Detector, seen: Sequence[Sight]) -> list[tuple[float, bool]]:
    """(score, right) of all that the detector finds: what a threshold is calibrated on."""
    found = detector.detect([s.picture for s in seen], [s.queries for s in seen], threshold=_EVERYTHING)
    return [
        (region.score, any(t.label == region.label and box_iou(t.box, region.box) >= 0.5 for t in sight.truth))
        for sight, regions in zip(seen, found, strict=True)
        for region in regions
    ]


def relation_questions(seen: Sequence[Sight]) -> list[Question]:
    """Every relation that holds between single things of the scenes, and its opposite, which does not."""
    asked: list[Question] = []
    for sight in seen:
        facts: list[Fact] = []
        for i, relation, j in relations(sight.scene):
            if relation in _OPPOSITE:
                first, second = sight.scene.things[i].concept, sight.scene.things[j].concept
                facts += [_related(first, said, second) for said in (relation, _OPPOSITE[relation])]
        asked.append(Question(sight.picture, tuple(facts), (True, False) * (len(facts) // 2)))
    return asked


def _related(first: str, relation: Relation, second: str) -> Fact:
    return Fact("relation", f"{first} {relation} a {second}", first, relation=relation, other=second)


def count_questions(seen: Sequence[Sight]) -> list[Question]:
    """The true number of every kind of thing of which there are several, and one more."""
    asked: list[Question] = []
    for sight in seen:
        numbers = Counter(thing.concept for thing in sight.scene.things)
        facts = [
            Fact("count", f"{claimed} {concept(name).plural}", name, count=claimed)
            for name, number in numbers.items()
            if number > 1
            for claimed in (number, number + 1)
        ]
        asked.append(Question(sight.picture, tuple(facts), (True, False) * (len(facts) // 2)))
    return asked


def box_verdicts(detector: Detector, asked: Sequence[Question]) -> list[tuple[float, bool]]:
    """(score, truth) of every claim, by the boxes that the detector finds (see `relations.box_scores`)."""
    rows: list[tuple[float, bool]] = []
    for question in asked:
        scores = box_scores(detector, [question.picture], [fact.text for fact in question.facts])
        rows += [(scores[fact.text][0], true) for fact, true in zip(question.facts, question.true, strict=True)]
    return rows


def judge_verdicts(judge: FactJudge, asked: Sequence[Question]) -> list[tuple[float, bool]]:
    """(1 where the judge says that it holds and 0 elsewhere, truth) of every claim."""
    said = judge.judge([question.picture for question in asked], [question.facts for question in asked])
    return [
        (float(verdict), true)
        for question, row in zip(asked, said, strict=True)
        for verdict, true in zip(row, question.true, strict=True)
    ]


def precision_recall(rows: Sequence[tuple[float, bool]], least: float = APART) -> tuple[float, float]:
    """The share of passes that are right, and of true ones that pass; (1, 0) where nothing passes."""
    passed = [true for score, true in rows if score >= least]
    total = sum(true for _, true in rows)
    return (sum(passed) / len(passed) if passed else 1.0, sum(passed) / max(total, 1))


def best_threshold(rows: Sequence[tuple[float, bool]], total: int) -> float:
    """The score from which on precision and recall are best together (F1), of `total` true things."""
    best, least, right = 0.0, 1.0, 0
    for taken, (score, true) in enumerate(sorted(rows, reverse=True), 1):
        right += true
        f1 = 2 * right / (taken + total)
        if f1 > best:
            best, least = f1, score
    return least


def segmentation_score(segmenter: Segmenter, seen: Sequence[Sight]) -> float:
    """The mean IoU of the masks of all things, each asked for by its true box."""
    ious: list[float] = []
    for sight in seen:
        masks = segmenter.segment(sight.picture, [region.box for region in sight.regions])
        for mask, region in zip(masks, sight.regions, strict=True):
            assert region.mask is not None  # the renderer draws one for every thing
            ious.append(mask_iou(mask, region.mask))
    return fmean(ious)


def nouns_right(captioner: Captioner, seen: Sequence[Sight], palette: Palette) -> float:
    """The share of captions that name just the things that are there: none missing, none extra, none in the plural."""
    told = [named_in(text, palette) for text in captioner.caption([sight.picture for sight in seen])]
    return fmean(
        said == sorted(thing.concept for thing in sight.scene.things) for said, sight in zip(told, seen, strict=True)
    )


def named_in(text: str, palette: Palette) -> list[str]:
    """The palette's nouns in a text, singular or plural as they stand there, in alphabetical order."""
    forms = {form for name in palette.concepts for form in (name, concept(name).plural)}
    # The longest first: a teddy bear is no bear.
    pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    return sorted(re.findall(rf"\b(?:{pattern})\b", text))


def things_right(judge: FactJudge, seen: Sequence[Sight], palette: Palette) -> float:
    """`nouns_right` asked of the judge: the share of pictures in which it sees each noun of the palette as often as it
    is there."""
    asked: list[list[Fact]] = []
    for sight in seen:
        there = Counter(thing.concept for thing in sight.scene.things)
        asked.append([Fact("count", name, name, count=there[name]) for name in palette.concepts])
    return fmean(all(row) for row in judge.judge([sight.picture for sight in seen], asked))
