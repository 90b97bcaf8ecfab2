"""Did an edit do what was said? Judged by what the instruction asked, not by a cosine alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from limner.carrying import goal_of, thing_meant
from limner.look import bare_name, split_place
from limner.moving import SIZES
from limner.protocols import EditModels, ImageTextScorer, Mask
from limner.regions import UNSURE, area, box_iou, find_things, lies_in, mask_box, standing_in
from limner.relations import APART, Stated, displacement, parse_relation
from limner.types import Change, Picture, Region
from limner.wearing import WORN, colour_called, find_called, find_wearing, worn_share

# «By day» and «clear» are not seen as such: what must be seen is that nothing else is left.
_ALTERNATIVES: Mapping[str, Sequence[str]] = {"day": ("sunset", "night"), "clear": ("rain", "snowfall", "fog")}
_SAME_PLACE = 0.3
"""The overlap (intersection over union) from which two boxes hold the same thing, before and after."""

_ARRIVED = 0.4
"""The overlap from which a thing is where it was to go, and as large."""

KEPT_CHECK = "the rest is kept"
KEPT = 0.5
"""The share of things that a change of the whole picture must leave where they were."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of an edited picture. `value` is a detector's score, a cosine or a share."""

    value: float
    passed: bool


def check_edit(models: EditModels, before: Picture, after: Picture, change: Change, mask: Mask) -> dict[str, Check]:
    """The checks of one edit by name: what must be there now, what must be gone, what must be kept.

    `mask` is the region that the edit was allowed to change (all True for a change of the whole picture).
    """
    if change.kind in ("move", "resize"):
        return _carried(models, before, after, change, mask)
    return _local(models, after, change, mask) if change.local else _whole(models, before, after, change)


def wanted_thing(change: Change) -> str:
    """What must be found after a local change: «blue car» for a red car painted blue; "" after a removal, and for what
    only changes its place or size."""
    if change.kind in ("move", "resize"):
        return ""
    if change.kind == "recolour":
        return f"{change.value} {bare_name(change.target)}" if change.target else change.value
    return change.value


def _local(models: EditModels, after: Picture, change: Change, mask: Mask) -> dict[str, Check]:
    """The new thing is found in the region, and the old one is not; "" stands for what no model can read.

    What only changes its colour keeps its shape, and need not be found as surely as something new.
    """
    wanted = wanted_thing(change)
    unwanted = split_place(change.target)[1] if change.kind in ("replace", "remove", "recolour") else ""
    colour = colour_called(change.value) if change.kind == "recolour" else None
    checks: dict[str, Check] = {}
    if colour and not change.target:
        share = worn_share(after, standing_in(models.eyes, after, mask), colour)
        checks[f"it is {wanted}"] = Check(share, share >= WORN)
    elif colour:
        score = _best(find_wearing(models.eyes, after, bare_name(change.target), colour, UNSURE), mask)
        checks[f"{wanted} is there"] = Check(score, score > 0)
    elif wanted:
        score = _best(find_called(models.eyes, after, wanted), mask)
        checks[f"{wanted} is there"] = Check(score, score > 0)
    if change.kind == "add" and change.place:
        stated = parse_relation(f"{change.value} {change.place}")
        side = _side(models, after, stated, _inside(find_called(models.eyes, after, change.value), mask))
        checks |= {} if side is None else {f"it is {change.place}": Check(side, side >= APART)}
    if unwanted and not colour and not _says_less(unwanted, wanted):
        score = _best(find_called(models.eyes, after, unwanted), mask)
        checks[f"{unwanted} is gone"] = Check(score, score == 0)
    return checks


def _carried(models: EditModels, before: Picture, after: Picture, change: Change, mask: Mask) -> dict[str, Check]:
    """The thing is found where it was to go, more than halfway to the size that it was to have, and no more where it
    stood."""
    if not change.target:  # it was marked, and nobody knows what it is like
        return {}
    start = thing_meant(models.eyes, before, change, mask).box
    name, goal = split_place(change.target)[1], goal_of(models.eyes, before, change, start)
    found = find_called(models.eyes, after, name, UNSURE)
    nearest = max(found, key=lambda region: box_iou(region.box, goal), default=None)
    there = box_iou(nearest.box, goal) if nearest else 0.0
    checks = {f"{name} is where it was to go": Check(there, there >= _ARRIVED)}
    if change.kind == "resize":
        grown = (area(nearest.box) / area(start)) ** 0.5 if nearest else 0.0
        halfway = SIZES[change.value] ** 0.5
        checks[f"it is {change.value}"] = Check(grown, grown >= halfway if halfway > 1 else 0 < grown <= halfway)
    elif box_iou(start, goal) < _SAME_PLACE:
        left = max((region.score for region in found if box_iou(region.box, start) >= _ARRIVED), default=0.0)
        checks["it has left its place"] = Check(left, left == 0)
    side = _side(models, after, parse_relation(f"{name} {change.value}"), [nearest] if nearest else [])
    return checks | ({} if side is None else {f"it is {change.value}": Check(side, side >= APART)})


def _best(regions: Sequence[Region], mask: Mask) -> float:
    """The score of the surest region within the mask, 0 for none."""
    return max((region.score for region in _inside(regions, mask)), default=0.0)


def _inside(regions: Sequence[Region], mask: Mask) -> list[Region]:
    box = mask_box(mask)
    return [region for region in regions if lies_in(region.box, box)]


def _side(models: EditModels, after: Picture, stated: Stated | None, things: Sequence[Region]) -> float | None:
    """How far the best of the things lies on the side that was said, as `relations.displacement` has it; None where no
    side was said, or one of the two is not seen."""
    anchors = find_called(models.eyes, after, stated.second) if stated else []
    if not stated or not things or not anchors:
        return None
    pair = [replace(things[0], label="it"), replace(anchors[0], label="anchor")]
    return displacement(Stated("it", stated.side, "anchor"), pair, after)


def _says_less(unwanted: str, wanted: str) -> bool:
    """«car» for a car that is to be blue: it stays a car, so its absence cannot be asked for."""
    return set(unwanted.split()) <= set(wanted.split())


def _whole(models: EditModels, before: Picture, after: Picture, change: Change) -> dict[str, Check]:
    """The scorer sees what was asked for, if it can read that, and the things of before stand where they stood."""
    scorer = models.scorer
    absent = _ALTERNATIVES.get(change.value, ())
    share = kept_share(models, before, after)
    kept = {KEPT_CHECK: Check(share, share >= KEPT)}
    if not change.value:
        return kept
    texts = [*absent] or [change.value]
    cosines = (scorer.encode_pictures([after]) @ scorer.encode_texts(texts).T)[0]
    checks: dict[str, Check] = {}
    for text, cosine, least in zip(texts, cosines.tolist(), scorer.thresholds(texts), strict=True):
        seen = cosine >= least
        checks[f"no {text}" if absent else text] = Check(round(cosine, 4), seen != bool(absent))
    return checks | kept


def kept_share(models: EditModels, before: Picture, after: Picture) -> float:
    """The share of the things found before that are found in the same places after; 1 where nothing was found."""
    earlier = find_things(models.eyes, before)
    if not earlier:
        return 1.0
    [later] = models.eyes.detector.detect([after], [list(dict.fromkeys(thing.label for thing in earlier))])
    kept = [any(r.label == old.label and box_iou(r.box, old.box) >= _SAME_PLACE for r in later) for old in earlier]
    return sum(kept) / len(kept)


def directional_similarity(models: EditModels, before: Picture, after: Picture, change: Change) -> float | None:
    """Cosine between the change of the picture and that of its description (InstructPix2Pix 3.1.2), in [-1, 1].

    None where one of the two does not change: after a removal, and for equal pictures.
    """
    now = wanted_thing(change)
    if not now:
        return None
    target = split_place(change.target)[1]
    [then] = [target] if target else models.eyes.captioner.caption([before])
    return direction(models.scorer, (before, after), (then, now if target else f"{then}, {now}"))


def direction(scorer: ImageTextScorer, pictures: tuple[Picture, Picture], texts: tuple[str, str]) -> float | None:
    """Cosine of the step from one picture to the other with that from one text to the other; None without a step."""
    moved, said = (rows[1] - rows[0] for rows in (scorer.encode_pictures(pictures), scorer.encode_texts(texts)))
    length = float(np.linalg.norm(moved) * np.linalg.norm(said))
    return float(moved @ said) / length if length > 1e-6 else None
