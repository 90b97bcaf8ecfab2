"""The few calls of torch, transformers and diffusers that their own annotations leave without types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch

_Part = TypeVar("_Part")


def seed_torch(number: int) -> None:
    """Seed torch's own random numbers."""
    torch.manual_seed(number)  # pyright: ignore[reportUnknownMemberType]


def from_folder(kind: type[_Part], folder: Path, **options: Any) -> _Part:
    """A model, tokenizer or pipeline of class `kind` from a local folder; the network is never asked.

    Raises OSError when the folder holds no such thing.
    """
    untyped: Any = kind
    return untyped.from_pretrained(folder, local_files_only=True, **options)


def to_folder(part: Any, folder: Path) -> None:
    """Save a model, tokenizer or pipeline, as `from_folder` reads it."""
    part.save_pretrained(folder)


def write_preprocessing(folder: Path, processor: str, size: int = 128) -> None:
    """preprocessor_config.json for an image processor class: the whole picture to size x size, values to [-1, 1]."""
    settings: dict[str, Any] = {
        "image_processor_type": processor,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=1))
