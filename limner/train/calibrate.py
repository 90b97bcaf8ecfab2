"""From scores to «present»: the least score at which a pass means it, with a stated precision."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from limner.protocols import Detector
from limner.train.autoencoder import to_tensor
from limner.train.chimera import Shown, show
from limner.train.judge import disturb
from limner.train.libraries import seed_torch
from limner.types import Picture
from limner.world.sample import Palette, sample_scene
from limner.world.scene import colour_of
from limner.world.vocabulary import COLOURS

PRECISION = 0.95
PRESENT = 0.97
"""The precision of «this thing is there», which a search for pictures is ended by: drawn things are worse than spoilt
ones."""

_ABSENT = 1
"""So many nouns that are nowhere in a picture are asked of it: easy ones, which must not outweigh the others."""

_SPOILT = 0.4
"""The share of scenes with a spoilt thing: drawn crowds have as many."""


def least_threshold(rows: Sequence[tuple[float, bool]], wanted: float = PRECISION) -> tuple[float, float, float]:
    """(threshold, precision, recall): the least score above which `wanted` of the pairs are true; where none
    reaches it, the one of best precision with at least half the true pairs."""
    ordered = sorted(rows, reverse=True)
    total, true = sum(label for _, label in rows), 0
    points: list[tuple[float, float, float]] = []
    for taken, (cosine, label) in enumerate(ordered, 1):
        true += label
        points.append((cosine, true / taken, true / max(total, 1)))
    good = [point for point in points if point[1] >= wanted and point[2] >= 0.05]
    if good:
        return min(good)
    return max((point for point in points if point[2] >= 0.5), key=lambda point: point[1])


def presence_claims(detector: Detector, palette: Palette, count: int) -> list[tuple[float, bool]]:
    """(score, truth) of things asked of `count` scenes, half of them held-out pairs: what is there and in which colour,
    other colours, absent nouns, and the spoilt things of chimera.py; pictures are softened as drawn ones are."""
    rng, rows = Random("presence"), list[tuple[float, bool]]()
    seed_torch(0)
    for number in range(count):
        stage = rng.choice(("pair", "crowd", "crowd"))
        shown = show(sample_scene(rng, stage, palette, held_out=number % 2 == 0), rng, palette, share=_SPOILT)
        asked = _asked(shown, rng, palette)
        [found] = detector.detect([softened(shown.picture, rng)], [list(asked)], threshold=0.0)
        best = {name: max((r.score for r in found if r.label == name), default=0.0) for name in asked}
        rows += [(best[name], true) for name, true in asked.items()]
    return rows


def _asked(shown: Shown, rng: Random, palette: Palette) -> dict[str, bool]:
    """Names and whether they are in the scene."""
    asked: dict[str, bool] = {}
    for thing in shown.scene.things:
        asked[thing.concept] = True
        if colour := colour_of(thing):
            asked[f"{colour} {thing.concept}"] = True
            asked.setdefault(f"{rng.choice([c for c in COLOURS if c != colour])} {thing.concept}", False)
    absent = [name for name in palette.concepts if name not in asked]
    for name in (*(fact.text for fact in shown.false), *rng.sample(absent, _ABSENT)):
        asked.setdefault(name, False)
    return asked


def softened(picture: Picture, rng: Random) -> Picture:
    """The picture blurred and noised as in training."""
    pixels = disturb(to_tensor([picture]), rng)[0].permute(1, 2, 0)
    return Picture(((pixels + 1) * 127.5).round().clamp(0, 255).byte().numpy())
