"""Pictures to what a vision model was trained on, in batches, from the model's own preprocessor_config.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers.image_processing_base import ImageProcessingMixin

from limner.types import Picture


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize (bicubic with antialiasing), perhaps crop the middle, scale to mean and deviation.

    `size` is the shortest edge in pixels, or (height, width). `crop` is (height, width).
    """

    size: int | tuple[int, int]
    crop: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pictures: Sequence[Picture]) -> Tensor:
        """Pictures of any sizes to float32 (n, 3, height, width); neighbours of equal size go together."""
        groups = (list(group) for _, group in groupby(pictures, key=lambda picture: picture.pixels.shape))
        return torch.cat([self._prepare(group) for group in groups])

    def _prepare(self, pictures: Sequence[Picture]) -> Tensor:
        stacked = torch.tensor(np.stack([picture.pixels for picture in pictures])).permute(0, 3, 1, 2).float()
        target = self._target(pictures[0].height, pictures[0].width)
        resized = interpolate(stacked, size=target, mode="bicubic", antialias=True)
        # Rounded because the models were trained on 8-bit pictures that had been resized as such.
        pixels = _middle(resized.round().clamp(0, 255), self.crop or target) / 255
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (self.mean, self.std))
        return (pixels - mean) / std

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.size, tuple):
            return self.size
        short = min(height, width)
        return height * self.size // short, width * self.size // short


def _middle(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = ((pixels.shape[axis] - length) // 2 for axis, length in zip((2, 3), size, strict=True))
    return pixels[:, :, top : top + size[0], left : left + size[1]]


def read_preprocessing(folder: Path) -> Preprocessing:
    """Read preprocessor_config.json (or its twin inside processor_config.json).

    Sizes are one number, {"shortest_edge": n} or {"height": h, "width": w}. Raises OSError or KeyError when
    the file or one of its entries is missing.
    """
    reader: Any = ImageProcessingMixin
    settings: dict[str, Any] = reader.get_image_processor_dict(folder, local_files_only=True)[0]
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    return Preprocessing(
        size=_edge_or_sides(settings["size"]),
        crop=None if crop is None else _sides(crop),
        mean=tuple(settings["image_mean"]),
        std=tuple(settings["image_std"]),
    )


def _edge_or_sides(size: Any) -> int | tuple[int, int]:
    if isinstance(size, int):
        return size
    return int(size["shortest_edge"]) if "shortest_edge" in size else _sides(size)


def _sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size["height"]), int(size["width"]))
