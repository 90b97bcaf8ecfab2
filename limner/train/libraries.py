"""The few calls of torch, transformers and diffusers that their own annotations leave without types."""

from __future__ import annotations

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
