"""How alike two pictures are."""

from __future__ import annotations

import math

import numpy as np

from limner.types import Picture


def psnr(first: Picture, second: Picture) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255; infinite for equal pictures.

    Raises ValueError when the sizes differ.
    """
    if first.pixels.shape != second.pixels.shape:
        raise ValueError(f"cannot compare {first.pixels.shape} with {second.pixels.shape}")
    error = float(np.mean((first.pixels.astype(np.float64) - second.pixels) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
