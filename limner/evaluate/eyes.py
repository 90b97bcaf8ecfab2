"""How well the eyes see, on the world's exact scenes: what is found where, and who stands on which side of whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from limner.evaluate.detection import mean_average_precision
from limner.protocols import Detector
from limner.regions import box_iou
from limner.relations import APART, box_scores
from limner.types import Picture, Region
from limner.world.render import annotate
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Relation, Scene, colour_of, relations
from limner.world.vocabulary import COLOURS, concept

STAGES = ("single", "pair", "pair", "count", "crowd")
ABSENT = 4
"""So many nouns that are not in a picture are looked for in it: what is found of them is wrong."""

_EVERYTHING = 0.02
"""The threshold for average precision, which is about the order of the scores and wants the bad ones too."""

_OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of", "right of": "left of", "above": "below", "below": "above",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """One scene to look at: what to ask, and what is truly there under each of the names."""

    scene: Scene
    picture: Picture
    queries: tuple[str, ...]
    truth: tuple[Region, ...]


def sights(palette: Palette, count: int, *, held_out: bool, seed: int = 0) -> list[Sight]:
    """Scenes with «car» for every car, «red car» for every one seen in red, another colour, and absent nouns."""
    rng = Random(f"sights/{held_out}/{seed}")
    return [
        _sight(rng, palette, sample_scene(rng, rng.choice(STAGES), palette, held_out=held_out)) for _ in range(count)
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
    return Sight(scene, annotated.picture, tuple(dict.fromkeys(queries)), tuple(truth))


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


def relation_verdicts(detector: Detector, seen: Sequence[Sight]) -> list[tuple[float, bool]]:
    """(displacement, truth) of every relation that holds between single things of the scenes, and of its opposite."""
    rows: list[tuple[float, bool]] = []
    for sight in seen:
        for i, relation, j in relations(sight.scene):
            if relation not in _OPPOSITE:
                continue
            first, second = sight.scene.things[i].concept, sight.scene.things[j].concept
            texts = [f"{first} {said} a {second}" for said in (relation, _OPPOSITE[relation])]
            scores = box_scores(detector, [sight.picture], texts)
            rows += [(scores[text][0], text == texts[0]) for text in texts]
    return rows


def count_verdicts(detector: Detector, seen: Sequence[Sight]) -> list[tuple[float, bool]]:
    """(score, truth) of the true number of every kind of thing of which there are several, and of one more."""
    rows: list[tuple[float, bool]] = []
    for sight in seen:
        numbers = Counter(thing.concept for thing in sight.scene.things)
        for name, number in ((name, number) for name, number in numbers.items() if number > 1):
            texts = [f"{claimed} {concept(name).plural}" for claimed in (number, number + 1)]
            scores = box_scores(detector, [sight.picture], texts)
            rows += [(scores[text][0], text == texts[0]) for text in texts]
    return rows


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
