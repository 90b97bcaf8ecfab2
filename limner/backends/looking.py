"""What the models that look at pictures share: how they are loaded from a folder, and what they remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from limner.backends.hub import check_configs, check_weights, model_folder, not_loadable, quieten, read_json
from limner.types import ModelUnavailable, Picture

_FILES = ("*.json", "*.txt", "model*.safetensors")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
_REMEMBERED_PICTURES = 4

Seen = TypeVar("Seen")


def checked_folder(source: str, classes: Mapping[str, str], *, default: str) -> tuple[Path, str]:
    """The folder of a model and its config's model_type, which is one of `classes` (model_type to class name).

    Raises ModelUnavailable when it is missing, unsafe, or of another class: BLIP has one model_type for heads that
    caption and heads that score, and the library would fill a missing head with noise.
    """
    folder = model_folder(source, files=_FILES, default=default)
    check_configs(folder)
    check_weights(folder)
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    held = config.get("architectures") or [classes.get(kind)]
    if kind not in classes or classes[kind] not in held:
        found = ", ".join(map(str, held)) if kind in classes else repr(kind)
        raise ModelUnavailable(f"{folder} is a {found} model", f"what fits here: {', '.join(classes.values())}")
    return folder, kind


def load_model(folder: Path, name: str, dtype: torch.dtype) -> Any:
    """The transformers class `name` from `folder`, for inference. Raises ModelUnavailable when it does not load."""
    quieten()
    import transformers

    try:
        kind: Any = getattr(transformers, name)
        return kind.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True).eval()
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer. Raises ModelUnavailable without a vocabulary, where the library makes up an empty one."""
    if not any(any(folder.glob(pattern)) for pattern in _VOCABULARIES):
        raise ModelUnavailable(f"{folder} has no tokenizer", "fetch the model again")
    from transformers import AutoTokenizer

    auto: Any = AutoTokenizer
    try:
        return auto.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error


def to_pixels(boxes: Tensor, width: int, height: int) -> Tensor:
    """Boxes (n, 4) as centre and size in shares of a picture to (x0, y0, x1, y1) in pixels, not clipped, on the CPU."""
    shares = boxes.cpu().double()
    centre, half = shares[:, :2], shares[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1) * torch.tensor([width, height] * 2)


@dataclass(slots=True)
class LastSeen(Generic[Seen]):
    """What an encoder made of the last few pictures: an edit asks several times about one, in other words each time.

    For models whose weights do not change any more. Pictures of equal pixels are one.
    """

    _kept: dict[str, Seen] = field(default_factory=dict[str, Seen])

    def of(self, picture: Picture, look: Callable[[], Seen]) -> Seen:
        """What `look` made of this picture when it was last asked, or makes of it now."""
        name = picture.sha256
        seen = self._kept.pop(name) if name in self._kept else look()
        self._kept[name] = seen  # at the end, so that the first is the one longest unasked
        if len(self._kept) > _REMEMBERED_PICTURES:
            del self._kept[next(iter(self._kept))]
        return seen
