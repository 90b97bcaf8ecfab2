"""How well boxes and masks fit the truth: intersection over union, and mean average precision.

Average precision is the all-point interpolated one (PASCAL VOC from 2010 on): the area under the precision-recall
curve after each precision is raised to the best one at any higher recall. COCO's, beside it, reads that curve at 101
recalls and averages over ten overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from limner.protocols import Mask
from limner.regions import box_iou
from limner.types import Box, Region

COCO_OVERLAPS = np.linspace(0.5, 0.95, 10)
COCO_MOST = 100
"""So many claims of one label in one picture count, best score first."""

_RECALLS = np.linspace(0, 1, 101)


def mask_iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks of one shape, 0 to 1; 1 when both are empty, as they are equal."""
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / union if union else 1.0


def average_precision(
    found: Sequence[Sequence[Region]], truth: Sequence[Sequence[Region]], label: str, iou: float = 0.5
) -> float:
    """The average precision of one label, 0 to 1; `found` and `truth` hold one sequence of regions a picture.

    Best score first, each found region takes the true one it overlaps most; it is right when that overlap is at
    least `iou` and nothing better scored took it. Raises ValueError when the label is not in the truth.
    """
    wanted = [[region.box for region in regions if region.label == label] for regions in truth]
    total = sum(map(len, wanted))
    if total == 0:
        raise ValueError(f"nothing of {label!r} is in the truth")
    claims = [(r.score, n, r.box) for n, regions in enumerate(found) for r in regions if r.label == label]
    taken: set[tuple[int, int]] = set()
    right: list[bool] = []
    for _, picture, box in sorted(claims, key=lambda claim: -claim[0]):
        overlap, best = max(((box_iou(box, true), i) for i, true in enumerate(wanted[picture])), default=(0.0, -1))
        right.append(overlap >= iou and (picture, best) not in taken)
        taken |= {(picture, best)} if right[-1] else set()
    return _area_under(np.array(right, bool), total)


def _area_under(right: npt.NDArray[np.bool_], total: int) -> float:
    """The area under the interpolated precision-recall curve of claims in order of their scores."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / total)


def mean_average_precision(
    found: Sequence[Sequence[Region]], truth: Sequence[Sequence[Region]], iou: float = 0.5
) -> float:
    """The mean of `average_precision` over all labels of the truth; labels only found are nobody's mistake here.

    Raises ValueError when the truth is empty or `found` is not of as many pictures.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures were looked at, but {len(truth)} have a truth")
    labels = sorted({region.label for regions in truth for region in regions})
    if not labels:
        raise ValueError("there is no truth to compare with")
    return fmean(average_precision(found, truth, label, iou) for label in labels)


def coco_average_precision(found: Sequence[Sequence[Region]], truth: Sequence[Sequence[Region]]) -> tuple[float, float]:
    """COCO's AP@[.5:.95] and AP50, each 0 to 1 and the mean over all labels of the truth.

    As pycocotools has it, for objects of all sizes: at each overlap a claim takes the best true region that is still
    free. Raises ValueError like `mean_average_precision`.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures were looked at, but {len(truth)} have a truth")
    labels = sorted({region.label for regions in truth for region in regions})
    if not labels:
        raise ValueError("there is no truth to compare with")
    table = np.array([_coco_precisions(found, truth, label) for label in labels])
    return float(table.mean()), float(table[:, 0].mean())


def _coco_precisions(
    found: Sequence[Sequence[Region]], truth: Sequence[Sequence[Region]], label: str
) -> npt.NDArray[np.float64]:
    """The average precision of one label at each of the overlaps."""
    scores, right, total = list[float](), list[npt.NDArray[np.bool_]](), 0
    for regions, true in zip(found, truth, strict=True):
        claims = sorted((r for r in regions if r.label == label), key=lambda r: -r.score)[:COCO_MOST]
        wanted = [region.box for region in true if region.label == label]
        total += len(wanted)
        scores += [region.score for region in claims]
        right += [_taken([region.box for region in claims], wanted)]
    order = np.argsort(-np.array(scores), kind="stable")
    return np.array([_read_at_recalls(column, total) for column in np.concatenate(right)[order].T])


def _taken(claims: Sequence[Box], wanted: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """Which claims of one picture, best score first, are right at which overlap: (claims, overlaps)."""
    ious = np.array([[box_iou(claim, true) for true in wanted] for claim in claims]).reshape(len(claims), len(wanted))
    right = np.zeros((len(claims), len(COCO_OVERLAPS)), np.bool_)
    for column, least in enumerate(COCO_OVERLAPS.tolist()):
        free = np.ones(len(wanted), np.bool_)
        for row in range(len(claims)):
            fitting = np.where(free & (ious[row] >= least), ious[row], -1.0)[::-1]  # of equals it takes the last
            if fitting.size and fitting.max() >= 0:
                right[row, column] = True
                free[len(wanted) - 1 - fitting.argmax()] = False
    return right


def _read_at_recalls(right: npt.NDArray[np.bool_], total: int) -> float:
    """The mean of the precisions, each raised to the best one at any higher recall, at 101 recalls from 0 to 1."""
    hits = np.cumsum(right)
    envelope = np.maximum.accumulate((hits / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(hits / total, _RECALLS, side="left")
    return float(np.append(envelope, 0.0)[places].mean())
