"""FID and PRD against values known in closed form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from limner.evaluate.metrics import fid, kmeans, prd

RNG = np.random.default_rng(0)


def normal(count: int, mean: float = 0.0, spread: float = 1.0, dim: int = 3) -> npt.NDArray[np.float64]:
    return RNG.normal(mean, spread, (count, dim))


def test_fid_of_equal_sets_is_nothing() -> None:
    rows = normal(200)
    assert fid(rows, rows) == pytest.approx(0, abs=1e-9)


def test_fid_of_shifted_and_widened_gaussians_is_the_closed_form() -> None:
    rows = normal(500)
    assert fid(rows, rows + 2.0) == pytest.approx(3 * 2.0**2)
    widened = rows.mean(0) + 3.0 * (rows - rows.mean(0))
    assert fid(rows, widened) == pytest.approx(np.trace(np.cov(rows, rowvar=False)) * (3.0 - 1.0) ** 2)


def test_fid_is_symmetric_and_survives_fewer_rows_than_dimensions() -> None:
    first, second = normal(5, dim=16), normal(5, 1.0, dim=16)
    assert fid(first, second) == pytest.approx(fid(second, first), rel=1e-6)
    assert np.isfinite(fid(first, second))


def test_fid_refuses_what_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="cannot fit"):
        fid(normal(1), normal(5))
    with pytest.raises(ValueError, match="cannot fit"):
        fid(normal(5), normal(5, dim=4))


def test_prd_of_equal_sets_is_one_and_of_distant_ones_nothing() -> None:
    rows = normal(120)
    assert prd(rows, rows) == pytest.approx((1.0, 1.0), abs=0.01)
    assert prd(rows, normal(120, 100.0)) == pytest.approx((0.0, 0.0), abs=0.01)


def test_prd_tells_missing_modes_from_foreign_ones() -> None:
    here, there = normal(100), normal(100, 50.0)
    both = np.concatenate([here[:50], there[:50]])
    recall_lost, precision_kept = prd(both, here)
    recall_kept, precision_lost = prd(here, both)
    assert precision_kept > 0.9 > 0.7 > recall_lost
    assert recall_kept > 0.9 > 0.7 > precision_lost


def test_prd_refuses_sets_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="equal numbers"):
        prd(normal(10), normal(11))


def test_kmeans_finds_clusters_that_are_apart() -> None:
    rows = np.concatenate([normal(30, mean) for mean in (0.0, 40.0, 80.0)])
    labels = kmeans(rows, 3, np.random.default_rng(1))
    assert all((labels[start : start + 30] == labels[start]).all() for start in (0, 30, 60))
    assert len(np.unique(labels)) == 3
