"""How far two sets of pictures lie apart, by any network's features: FID, and precision and recall (PRD).

Both take arrays (pictures, dim) of features, one row a picture; which network made them must be said beside the figure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.floating]

CLUSTERS, ANGLES, REPEATS = 20, 1001, 10
"""Sajjadi et al. 2018, section 4: joint clusters of both sets, slopes of the curve, and repeated clusterings."""


def fid(first: Features, second: Features) -> float:
    """Fréchet distance of the Gaussians fitted to two sets (Heusel et al. 2017, Eq. 6); 0 for equal ones.

    Raises ValueError for fewer than two rows or different dimensions. With fewer rows than dimensions the covariance
    is singular, and the figure depends on the number of rows: compare only equal numbers.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"cannot fit Gaussians to {first.shape} and {second.shape}")
    means = first.mean(0) - second.mean(0)
    one, two = (np.cov(rows.astype(np.float64), rowvar=False) for rows in (first, second))
    # The trace of the root of a product of two covariances is the sum of the roots of its eigenvalues.
    roots = np.sqrt(np.linalg.eigvals(one @ two).real.clip(min=0)).sum()
    return float(means @ means + np.trace(one) + np.trace(two) - 2 * roots)


def prd(real: Features, made: Features, *, seed: int = 0) -> tuple[float, float]:
    """(F_8, F_1/8) of the precision-recall curve of two sets (Sajjadi et al. 2018), in [0, 1], higher is better.

    F_8 weighs recall (is all of `real` among `made`?), F_1/8 precision (is what was `made` like the real?). Both sets
    must have equally many rows, since the curve compares histograms over joint clusters. Raises ValueError otherwise.
    """
    if len(real) != len(made):
        raise ValueError(f"{len(real)} real and {len(made)} made pictures: compare equal numbers")
    rng = np.random.default_rng(seed)
    curves = [_curve(*_histograms(real, made, rng)) for _ in range(REPEATS)]
    precision, recall = np.mean(curves, axis=0)
    return _best_f(precision, recall, 8), _best_f(precision, recall, 1 / 8)


def _histograms(real: Features, made: Features, rng: np.random.Generator) -> tuple[Features, Features]:
    """The shares of each set in the clusters of both."""
    rows = np.concatenate([real, made]).astype(np.float64)
    clusters = min(CLUSTERS, len(rows))
    labels = kmeans(rows, clusters, rng)
    shares = [np.bincount(part, minlength=clusters) / len(part) for part in np.split(labels, [len(real)])]
    return shares[0], shares[1]


def _curve(real: Features, made: Features) -> npt.NDArray[np.float64]:
    """(2, ANGLES): precision and recall for slopes between 0 and infinity (their Eq. 6 and 7)."""
    slopes = np.tan(np.linspace(1e-6, np.pi / 2 - 1e-6, ANGLES))[:, None]
    precision = np.minimum(slopes * real, made).sum(1)
    return np.clip(np.stack([precision, precision / slopes[:, 0]]), 0, 1)


def _best_f(precision: Features, recall: Features, beta: float) -> float:
    weighted = (1 + beta**2) * precision * recall / np.maximum(beta**2 * precision + recall, 1e-12)
    return float(weighted.max())


def kmeans(rows: Features, clusters: int, rng: np.random.Generator, rounds: int = 50) -> npt.NDArray[np.intp]:
    """The cluster of each row, 0 to clusters - 1, by Lloyd's iterations from k-means++ seeds."""
    centres = _seeds(rows, clusters, rng)
    labels = np.full(len(rows), -1, np.intp)
    for _ in range(rounds):
        nearest = _distances(rows, centres).argmin(1)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        for cluster in np.unique(labels):
            centres[cluster] = rows[labels == cluster].mean(0)
    return labels


def _seeds(rows: Features, clusters: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rows far from each other: each next one is drawn in proportion to its squared distance from the nearest."""
    chosen = [int(rng.integers(len(rows)))]
    for _ in range(clusters - 1):
        distance = _distances(rows, rows[chosen]).min(1)
        total = distance.sum()
        share = distance / total if total > 0 else None
        chosen.append(int(rng.choice(len(rows), p=share)))
    return rows[chosen].astype(np.float64)


def _distances(rows: Features, centres: Features) -> Features:
    """Squared Euclidean distances (rows, centres)."""
    squares = (rows**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * rows @ centres.T
    return np.maximum(squares, 0)
