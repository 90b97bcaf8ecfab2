"""The labels of a drawn picture: caption, boxes of the classes that are wanted, masks (ChatGenImage 3.2).

A place that several finds claim gets the class with the most evidence, once (methods 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limner.image.paste import PixelBox, box_mask, crop, region_box, resize
from limner.look import cut_out
from limner.protocols import Eyes
from limner.regions import box_iou, lies_in, mask_box
from limner.types import AnnotatedPicture, BadInput, Box, Picture, Region

SAME = 0.5
"""The overlap (intersection over union) from which two boxes hold one thing."""


_BOUNDS = 0.7
"""The overlap (IoU) with a box from which a mask's edges are its thing's: below it the mask holds a neighbour too."""

_AGREED = 0.8
"""The overlap (IoU) from which a look from close by only confirms a box."""

_NEAR = 0.2
"""How much around a place is seen from close by, as a share of its longer side."""


def label(
    eyes: Eyes,
    picture: Picture,
    classes: Sequence[str],
    *,
    threshold: float | None = None,
    places: Sequence[Box] = (),
) -> AnnotatedPicture:
    """Caption a picture, find every thing of `classes` in it and cut it out, best score first.

    `threshold` is the least detector score that makes a label; None for the one from which on the detector says that a
    thing is there. `places` are looked at from close by too: a detector sees small things badly, and draws their boxes
    too large. A region's box is its mask's where the two agree; one of which the segmenter finds nothing has no mask.
    Raises BadInput for no class.
    """
    if not classes:
        raise BadInput("no class was named", 'name things with commas between them, such as "red panda, car"')
    least = eyes.detector.present if threshold is None else threshold
    [caption] = eyes.captioner.caption([picture])
    queries = list(dict.fromkeys(classes))
    [found] = eyes.detector.detect([picture], [queries], threshold=least)
    sure = [region for region in found if region.score >= least]
    for place in places:
        sure = _sharper(sure, _closer(eyes, picture, queries, place, least))
    return AnnotatedPicture(picture, caption, [_bounded(region) for region in cut_out(eyes, picture, fuse(sure))])


def _bounded(region: Region) -> Region:
    """The region with its mask's box where the two agree: a segmenter sees edges better than a detector."""
    if region.mask is None or not region.mask.any():
        return replace(region, mask=None)
    box = mask_box(region.mask)
    return replace(region, box=box) if box_iou(box, region.box) > _BOUNDS else region


def close_up(picture: Picture, place: Box) -> tuple[Picture, PixelBox]:
    """A place and a little around it, as large as the whole picture; and its box. Raises BadInput outside of it."""
    mask = box_mask(place, picture.width, picture.height)
    longest = max(place[2] - place[0], place[3] - place[1])
    window = region_box(mask, margin=max(1, round(_NEAR * longest)), least=1)
    width, height = window[2] - window[0], window[3] - window[1]
    scale = min(picture.width, picture.height) / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return resize(crop(picture, window), size), window


def _closer(eyes: Eyes, picture: Picture, queries: list[str], place: Box, least: float) -> list[Region]:
    """What is found in a place when it is shown as large as the whole picture."""
    part, (left, top, right, bottom) = close_up(picture, place)
    [found] = eyes.detector.detect([part], [queries], threshold=least)
    across, down = (right - left) / part.width, (bottom - top) / part.height

    def moved(box: Box) -> Box:
        return box[0] * across + left, box[1] * down + top, box[2] * across + left, box[3] * down + top

    there = [replace(region, box=moved(region.box)) for region in found if region.score >= least]
    return [region for region in there if lies_in(region.box, place)]


def _sharper(seen: Sequence[Region], close: Sequence[Region]) -> list[Region]:
    """The regions, with those that are seen better and elsewhere from close by in place of what was seen from afar."""
    better: list[Region] = []
    for one in close:
        same = [other for other in seen if other.label == one.label and lies_in(one.box, other.box)]
        if all(other.score <= one.score and box_iou(one.box, other.box) < _AGREED for other in same):
            seen = [other for other in seen if not any(other is each for each in same)]
            better.append(one)
    return [*seen, *better]


def fuse(regions: Sequence[Region], same: float = SAME) -> list[Region]:
    """The regions with every place named once, best score first.

    Of regions of one class that overlap by an IoU over `same` the best is kept, and the scores of all of them count as
    evidence for it; of kept regions of different classes that overlap so the one with most evidence stays. It keeps its
    own score: a sum is evidence, but no probability.
    """
    kept: list[tuple[float, Region]] = []
    for one in _by_score(regions):
        if any(one.label == other.label and box_iou(one.box, other.box) > same for _, other in kept):
            continue
        alike = [each for each in regions if each.label == one.label and box_iou(each.box, one.box) > same]
        kept.append((sum(each.score for each in alike), one))
    alone: list[Region] = []
    for _, one in sorted(kept, key=lambda pair: -pair[0]):
        if all(box_iou(one.box, other.box) <= same for other in alone):
            alone.append(one)
    return _by_score(alone)


def _by_score(regions: Sequence[Region]) -> list[Region]:
    return sorted(regions, key=lambda region: -region.score)
