"""The labels of a drawn picture: caption, boxes of the classes that are wanted, masks (ChatGenImage 3.2).

A place that several finds claim gets the class with the most evidence, once (methods 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limner.look import cut_out
from limner.protocols import Eyes
from limner.regions import box_iou
from limner.types import AnnotatedPicture, BadInput, Picture, Region

SAME = 0.5
"""The overlap (intersection over union) from which two boxes hold one thing."""


def label(eyes: Eyes, picture: Picture, classes: Sequence[str], *, threshold: float | None = None) -> AnnotatedPicture:
    """Caption a picture, find every thing of `classes` in it and cut it out, best score first.

    `threshold` is the least detector score that makes a label; None for the one from which on the detector says that a
    thing is there. A region of which the segmenter finds nothing has no mask. Raises BadInput for no class.
    """
    if not classes:
        raise BadInput("no class was named", 'name things with commas between them, such as "red panda, car"')
    least = eyes.detector.present if threshold is None else threshold
    [caption] = eyes.captioner.caption([picture])
    [found] = eyes.detector.detect([picture], [list(dict.fromkeys(classes))], threshold=least)
    sure = [region for region in found if region.score >= least]
    cut = [
        region if region.mask is not None and region.mask.any() else replace(region, mask=None)
        for region in cut_out(eyes, picture, fuse(sure))
    ]
    return AnnotatedPicture(picture, caption, cut)


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
