"""A model kept as a small difference to another one: `limner.json` names the base, safetensors files the change.

`limner.json` is {"base": "embedded:stable-diffusion"}, or the name of a folder beside this one. The change of a part
lies in `PART_difference.safetensors` (unet, text_encoder, ...), in the form that lowrank.py describes, with the names
of the loaded module's state_dict; what has no such file is the base's own: scheduler, tokenizer, decoder.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from limner.backends.hub import WEIGHTS, read_json
from limner.backends.lowrank import apply_difference
from limner.types import ModelUnavailable

_EMBEDDED_BASE = "embedded:stable-diffusion"
_SIBLING = re.compile(r"[A-Za-z0-9][\w-]*")
_CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
}


def base_folder(folder: Path) -> Path | None:
    """The folder of the model that `folder` is a difference to; None when it has a U-Net of its own.

    Raises ModelUnavailable for a base that is neither the embedded text-to-image model nor a folder beside this one
    with parts of its own.
    """
    file = folder / "limner.json"
    if (folder / "unet").is_dir() or not file.is_file():
        return None
    content = read_json(file)
    named = cast(dict[str, Any], content).get("base") if isinstance(content, dict) else None
    if not isinstance(named, str) or not (named == _EMBEDDED_BASE or _SIBLING.fullmatch(named)):
        raise ModelUnavailable(f"{file} names the base {named!r}", f"{_EMBEDDED_BASE} or a folder beside {folder.name}")
    base = WEIGHTS / "stable-diffusion" if named == _EMBEDDED_BASE else folder.parent / named
    if not (base / "unet").is_dir():
        raise ModelUnavailable(f"{folder} is a difference to {named!r}, which is not there", f"put it at {base}")
    return base


def tuned_part(base: Path, file: Path, *, channels: int) -> Any:
    """The part in the folder `base` with the difference in `file` applied: a module in float32, in eval mode.

    A U-Net is first widened to take in `channels`: its `conv_in.weight` then has to come with the difference.
    Raises ModelUnavailable when the difference was made for another base.
    """
    library, name = _CLASSES[base.name]
    tensors: dict[str, Tensor] = load_file(file)
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32}
    if base.name == "unet" and "conv_in.weight" in tensors:
        options |= {"in_channels": channels, "ignore_mismatched_sizes": True, "low_cpu_mem_usage": False}
    part = getattr(import_module(library), name).from_pretrained(base, **options)
    apply_difference(part, tensors)
    return part.eval()
