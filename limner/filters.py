"""Which made pictures are good enough to learn from: pixel check and semantic check (ChatGenImage 3.5).

Both give a Verdict with the scores that led to it, so that a reject can be kept aside and counted by its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from limner.image.paste import dilate
from limner.protocols import ImageTextScorer, Mask
from limner.regions import box_iou, lies_in
from limner.types import BadInput, Box, Picture, Region

PIXELS = "pixels changed"
MISMATCH = "mismatch"
OUTRANKED = "outranked"
LOST = "object lost"
NOT_FOUND = "object not found"
REASONS = (PIXELS, MISMATCH, OUTRANKED, LOST, NOT_FOUND)

BEST_PSNR = 100.0
"""In dB, what equal pixels get: infinity cannot be written as JSON."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Plane = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a picture must reach. The paper gives no numbers; these are ours.

    `psnr` (dB) and `ssim` (at most 1) are of what an edit was to leave alone: an autoencoder's trip there and back
    costs about as much as they allow. `similarity` is the least cosine of picture and text, None for the scorer's own
    per text; `rank` says how many candidates of one text may stay. `found` is the detector score that makes a label,
    None for the detector's own; `same` the IoU from which a thing is where it was.
    """

    psnr: float = 25.0
    ssim: float = 0.85
    similarity: float | None = None
    rank: int = 1
    found: float | None = None
    same: float = 0.5

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise BadInput(f"rank is {self.rank}", "at least one candidate must stay")
        if not (math.isfinite(self.psnr) and -1 <= self.ssim <= 1 and 0 < self.same <= 1):
            raise BadInput("thresholds are out of range", "psnr is in dB, ssim from -1 to 1, same above 0 and up to 1")
        for name, value in (("similarity", self.similarity), ("found", self.found)):
            if value is not None and not -1 <= value <= 1:
                raise BadInput(f"{name} is {value}", "choose a number from -1 to 1, or none for the model's own")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a picture is kept; the `reason` is "" if so, else one of REASONS. `scores` by name, JSON numbers."""

    kept: bool
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


def all_of(*verdicts: Verdict) -> Verdict:
    """Kept if all are; else the first one's reason that is not. The scores of all."""
    reason = next((verdict.reason for verdict in verdicts if not verdict.kept), "")
    scores = {name: value for verdict in verdicts for name, value in verdict.scores.items()}
    return Verdict(all(verdict.kept for verdict in verdicts), reason, scores)


def check_pixels(before: Picture, after: Picture, edited: Mask, limits: Thresholds | None = None) -> Verdict:
    """Is what lies outside `edited` (height, width) as it was? PSNR over its pixels, SSIM over its whole windows.

    Inside everything may change; where nothing lies outside, nothing can be wrong. Raises ValueError for other sizes.
    """
    limits = limits or Thresholds()
    signal, structure = _psnr(before, after, ~edited), ssim(before, after, ~dilate(edited, _WINDOW // 2))
    kept = signal >= limits.psnr and structure >= limits.ssim
    return Verdict(kept, "" if kept else PIXELS, {"psnr": round(signal, 3), "ssim": round(structure, 5)})


def check_texts(
    scorer: ImageTextScorer, pictures: Sequence[Picture], text: str, limits: Thresholds | None = None
) -> list[Verdict]:
    """For each candidate: does it show the text, and is it among the best? By cosine; of equals the earlier is better.

    Scores: "similarity" and "rank" (from 1).
    """
    limits = limits or Thresholds()
    if not pictures:
        return []
    cosines: list[float] = (scorer.encode_pictures(pictures) @ scorer.encode_texts([text]).T)[:, 0].tolist()
    least = scorer.thresholds([text])[0] if limits.similarity is None else limits.similarity
    order = sorted(range(len(pictures)), key=lambda number: -cosines[number])
    verdicts: list[Verdict] = []
    for number, cosine in enumerate(cosines):
        rank = order.index(number) + 1
        reason = MISMATCH if cosine < least else OUTRANKED if rank > limits.rank else ""
        verdicts.append(Verdict(not reason, reason, {"similarity": round(cosine, 5), "rank": rank}))
    return verdicts


def check_kept(before: Sequence[Region], after: Sequence[Region], limits: Thresholds | None = None) -> Verdict:
    """Is every thing of before still found where it was, by its name? Each needs a find of its own.

    Score "objects kept": the share of them, 1 where there was none.
    """
    limits = limits or Thresholds()
    free, kept = list(after), 0
    for old in before:
        fitting = [new for new in free if new.label == old.label and box_iou(new.box, old.box) >= limits.same]
        if fitting:
            free.remove(max(fitting, key=lambda new: box_iou(new.box, old.box)))
            kept += 1
    share = kept / len(before) if before else 1.0
    return Verdict(share == 1, "" if share == 1 else LOST, {"objects kept": round(share, 5)})


def check_found(regions: Sequence[Region], name: str, box: Box | None = None) -> Verdict:
    """Is a thing of that name found, most of it in `box` where one is given? Score "found": the best one's."""
    scores = [r.score for r in regions if r.label == name and (box is None or lies_in(r.box, box))]
    best = max(scores, default=0.0)
    return Verdict(best > 0, "" if best > 0 else NOT_FOUND, {"found": round(best, 5)})


def ssim(first: Picture, second: Picture, where: Mask | None = None) -> float:
    """Structural similarity (Wang et al. 2004), at most 1, averaged over the channels and the pixels `where` is True.

    Windows are Gaussian, 11 x 11, sigma 1.5, peak 255; at the border the picture is mirrored. 1.0 where there is no
    pixel. Raises ValueError when the sizes differ.
    """
    if first.pixels.shape != second.pixels.shape or (where is not None and where.shape != first.pixels.shape[:2]):
        raise ValueError(f"cannot compare {first.pixels.shape} with {second.pixels.shape}")
    if where is not None and not where.any():
        return 1.0
    x, y = first.pixels.astype(np.float64), second.pixels.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    covariance = _blur(x * y) - mean_x * mean_y
    variances = _blur(x * x) - mean_x**2 + _blur(y * y) - mean_y**2
    table = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    table /= (mean_x**2 + mean_y**2 + _C1) * (variances + _C2)
    return float(table.mean() if where is None else table[where].mean())


def _blur(values: Plane) -> Plane:
    """The Gaussian mean around every pixel of (height, width, channels)."""
    steps = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(steps**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        width = [(0, 0)] * 3
        width[axis] = (_WINDOW // 2, _WINDOW // 2)
        padded, length = np.pad(values, width, mode="symmetric"), values.shape[axis]
        values = sum(
            (weight * padded.take(range(i, i + length), axis) for i, weight in enumerate(weights.tolist())),
            start=np.zeros_like(values),
        )
    return values


def _psnr(first: Picture, second: Picture, where: Mask) -> float:
    if first.pixels.shape != second.pixels.shape or where.shape != first.pixels.shape[:2]:
        raise ValueError(f"cannot compare {first.pixels.shape} with {second.pixels.shape}")
    differences = first.pixels[where].astype(np.float64) - second.pixels[where]
    error = float((differences**2).mean()) if differences.size else 0.0
    return BEST_PSNR if error == 0 else min(BEST_PSNR, 10 * math.log10(255**2 / error))
