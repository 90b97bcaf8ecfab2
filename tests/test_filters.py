"""Filters: what an edit must leave alone, what it must show, and why a picture was turned down."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from limner.filters import (
    BEST_PSNR,
    LOST,
    MISMATCH,
    NOT_FOUND,
    OUTRANKED,
    PIXELS,
    Thresholds,
    Verdict,
    all_of,
    check_found,
    check_kept,
    check_pixels,
    check_texts,
    ssim,
)
from limner.image.paste import box_mask
from limner.types import BadInput, Picture, Region
from tests.retoucher import ShapeScorer, grainy, show

NOISE = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
Pixels = npt.NDArray[np.uint8]


def slow_ssim(first: Pixels, second: Pixels) -> npt.NDArray[np.float64]:
    """Wang et al.'s formula, window by window, at the pixels whose window lies inside."""
    steps = np.arange(11) - 5
    kernel = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    height, width, channels = first.shape
    table = np.zeros((height - 10, width - 10, channels))
    for y, x, c in np.ndindex(*table.shape):
        a, b = (p[y : y + 11, x : x + 11, c].astype(np.float64) for p in (first, second))
        mean_a, mean_b = float((kernel * a).sum()), float((kernel * b).sum())
        var_a, var_b = float((kernel * (a - mean_a) ** 2).sum()), float((kernel * (b - mean_b) ** 2).sum())
        both = float((kernel * (a - mean_a) * (b - mean_b)).sum())
        c1, c2 = 2.55**2, 7.65**2
        table[y, x, c] = (2 * mean_a * mean_b + c1) * (2 * both + c2)
        table[y, x, c] /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return table


def test_ssim_is_the_published_one() -> None:
    other = np.clip(NOISE.astype(int) + np.random.default_rng(1).integers(-60, 60, NOISE.shape), 0, 255).astype(
        np.uint8
    )
    inside = np.zeros(NOISE.shape[:2], np.bool_)
    inside[5:-5, 5:-5] = True
    expected = float(slow_ssim(NOISE, other).mean())
    assert 0.3 < expected < 0.97
    assert ssim(Picture(NOISE.copy()), Picture(other), inside) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25)
@given(*[arrays(np.uint8, (4, 6, 3))] * 2)
def test_ssim_is_symmetric_and_one_for_equals(first: Pixels, second: Pixels) -> None:
    one, two = Picture(first), Picture(second)
    assert ssim(one, one) == pytest.approx(1)
    assert ssim(one, two) == pytest.approx(ssim(two, one))
    assert -1 <= ssim(one, two) <= 1 + 1e-9


def test_nothing_to_compare_is_alike_and_other_sizes_are_refused() -> None:
    one, other = Picture(NOISE.copy()), Picture(255 - NOISE)
    nowhere = np.zeros(NOISE.shape[:2], np.bool_)
    assert ssim(one, other, nowhere) == 1
    assert check_pixels(one, other, ~nowhere).scores == {"psnr": BEST_PSNR, "ssim": 1.0}
    with pytest.raises(ValueError, match="cannot compare"):
        ssim(one, show())
    with pytest.raises(ValueError, match="cannot compare"):
        check_pixels(one, show(), nowhere)


PLAIN = grainy(show(("blue square", (4, 4, 16, 16)), size=(96, 96)))
HOLE = box_mask((40, 40, 80, 80), 96, 96)


def test_inside_the_box_everything_may_change() -> None:
    pixels = PLAIN.pixels.copy()
    pixels[40:80, 40:80] = 0
    verdict = check_pixels(PLAIN, Picture(pixels), HOLE)
    assert verdict == Verdict(True, "", {"psnr": BEST_PSNR, "ssim": 1.0})


def test_outside_the_box_nothing_may_be_lost() -> None:
    pixels = PLAIN.pixels.copy()
    pixels[4:16, 4:16] = 255
    verdict = check_pixels(PLAIN, Picture(pixels), HOLE)
    assert (verdict.kept, verdict.reason) == (False, PIXELS)
    outside = ~HOLE
    error = ((pixels[outside].astype(float) - PLAIN.pixels[outside]) ** 2).mean()
    assert verdict.scores["psnr"] == pytest.approx(10 * math.log10(255**2 / error), abs=1e-3)
    assert check_pixels(PLAIN, Picture(pixels), HOLE, Thresholds(psnr=5, ssim=0)).kept


def test_a_blur_that_psnr_forgives_is_seen_by_ssim() -> None:
    texture = Picture((128 + 12 * (np.indices((96, 96)).sum(axis=0) % 2)[..., None].repeat(3, 2)).astype(np.uint8))
    flat = Picture(np.full((96, 96, 3), 134, np.uint8))
    verdict = check_pixels(texture, flat, HOLE)
    assert verdict.scores["psnr"] > 25
    assert verdict.scores["ssim"] < 0.7
    assert verdict.reason == PIXELS


RED, BOTH, BLUE = (
    show(("red circle", (28, 6, 40, 18))),
    show(("red circle", (28, 6, 40, 18)), ("blue square", (4, 30, 16, 42))),
    show(("blue square", (4, 30, 16, 42))),
)


def test_texts_have_a_threshold_and_a_rank() -> None:
    verdicts = check_texts(ShapeScorer(), [BLUE, RED, BOTH, RED], "red circle", Thresholds(rank=2))
    assert [each.reason for each in verdicts] == [MISMATCH, "", "", OUTRANKED]
    assert [each.scores["rank"] for each in verdicts] == [4, 1, 2, 3]
    assert verdicts[1].scores["similarity"] == verdicts[2].scores["similarity"] > 0
    strict = check_texts(ShapeScorer(), [RED], "red circle", Thresholds(similarity=0.99))
    assert [each.reason for each in strict] == [MISMATCH]
    assert check_texts(ShapeScorer(), [], "red circle") == []


def test_every_thing_needs_a_find_of_its_own() -> None:
    left, right = Region("car", (0, 0, 10, 10)), Region("car", (4, 0, 14, 10))
    assert check_kept([left, right], [right, left]).kept
    half = check_kept([left, right], [left], Thresholds(same=0.3))
    assert (half.kept, half.reason, half.scores) == (False, LOST, {"objects kept": 0.5})
    assert not check_kept([left], [Region("bus", left.box)]).kept
    assert not check_kept([left], [Region("car", (6, 0, 16, 10))]).kept
    assert check_kept([], []).scores == {"objects kept": 1.0}


def test_a_new_thing_is_found_in_its_box() -> None:
    regions = [Region("fox", (10, 10, 30, 30), 0.7), Region("fox", (60, 60, 80, 80), 0.9), Region("car", (0, 0, 9, 9))]
    assert check_found(regions, "fox") == Verdict(True, "", {"found": 0.9})
    assert check_found(regions, "fox", (8, 8, 32, 32)).scores == {"found": 0.7}
    assert check_found(regions, "fox", (0, 40, 20, 60)) == Verdict(False, NOT_FOUND, {"found": 0.0})
    assert not check_found(regions, "dog").kept


def test_the_first_fault_is_the_reason() -> None:
    verdict = all_of(Verdict(True, "", {"a": 1}), Verdict(False, LOST, {"b": 2}), Verdict(False, MISMATCH, {"c": 3}))
    assert verdict == Verdict(False, LOST, {"a": 1, "b": 2, "c": 3})
    assert all_of().kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0},
        {"ssim": 2},
        {"same": 0},
        {"psnr": math.inf},
        {"similarity": 1.5},
        {"found": -2},
        {"similarity": math.nan},
    ],
)
def test_thresholds_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        Thresholds(**wrong)  # pyright: ignore[reportArgumentType]
