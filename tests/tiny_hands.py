"""Tiny checkpoints of the pipelines that change pictures, made from those of tests/tiny.py; see there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from limner.backends.lowrank import make_difference
from tests.tiny import diffusers, stable_diffusion, stable_diffusion_xl, transformers


def instruct_pix2pix(folder: Path, *, prediction_type: str = "v_prediction") -> Path:
    """A StableDiffusionInstructPix2PixPipeline of 16 x 16 pictures, its U-Net with 8 input channels."""
    base = diffusers.StableDiffusionPipeline.from_pretrained(
        stable_diffusion(folder, prediction_type=prediction_type), safety_checker=None
    )
    return _save(folder, diffusers.StableDiffusionInstructPix2PixPipeline, base, 8, requires_safety_checker=False)


def instruct_pix2pix_xl(folder: Path) -> Path:
    """A StableDiffusionXLInstructPix2PixPipeline of 16 x 16 pictures."""
    base = diffusers.StableDiffusionXLPipeline.from_pretrained(stable_diffusion_xl(folder), add_watermarker=False)
    unwanted = {"image_encoder", "feature_extractor"}
    return _save(folder, diffusers.StableDiffusionXLInstructPix2PixPipeline, base, 8, unwanted, add_watermarker=False)


def inpainting(folder: Path) -> Path:
    """A StableDiffusionInpaintPipeline as stable-diffusion-inpainting is: its U-Net with 9 input channels."""
    base = diffusers.StableDiffusionPipeline.from_pretrained(stable_diffusion(folder), safety_checker=None)
    return _save(folder, diffusers.StableDiffusionInpaintPipeline, base, 9, requires_safety_checker=False)


def editor_difference(folder: Path, *, rank: int, base: str = "base") -> Path:
    """A folder that holds an editor as a difference to a text-to-image model in the folder `base` beside it.

    Beside both lies the same editor as a whole, in the folder `whole`. The change itself is of rank 2.
    """
    original = diffusers.StableDiffusionPipeline.from_pretrained(
        stable_diffusion(folder.parent / base), safety_checker=None
    )
    states = {part: _copied(getattr(original, part)) for part in ("unet", "text_encoder")}
    whole = _save(
        folder.parent / "whole",
        diffusers.StableDiffusionInstructPix2PixPipeline,
        original,
        8,
        requires_safety_checker=False,
        change=_nudge,
    )
    tuned = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(whole, safety_checker=None)
    folder.mkdir()
    (folder / "limner.json").write_text(json.dumps({"base": base}))
    for part, state in states.items():
        difference = make_difference(state, getattr(tuned, part).state_dict(), rank)
        save_file(difference, folder / f"{part}_difference.safetensors")
    return folder


def _copied(module: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _widened(unet: Any, channels: int) -> Any:
    """The same U-Net with new input channels of random weights, so that what is on them shows in the result."""
    wide = diffusers.UNet2DConditionModel.from_config({**unet.config, "in_channels": channels})
    first = wide.conv_in.weight.detach().clone()
    first[:, :4] = unet.conv_in.weight.detach()
    wide.load_state_dict({**unet.state_dict(), "conv_in.weight": first})
    return wide


@torch.no_grad()
def _nudge(module: Any) -> None:
    """Change every parameter a little: matrices by a change of rank 2."""
    for weight in module.parameters():
        flat = weight.flatten(1) if weight.ndim > 1 else weight[:, None]
        change = torch.randn(len(flat), 2) @ torch.randn(2, flat.shape[1]) / flat.shape[1] ** 0.5
        weight += 0.05 * change.view(weight.shape)


def _save(
    folder: Path,
    kind: Any,
    base: Any,
    channels: int,
    without: set[str] | None = None,
    change: Any = None,
    **options: Any,
) -> Path:
    transformers.set_seed(1)
    parts = {name: part for name, part in base.components.items() if name not in (without or set())}
    parts["unet"] = _widened(base.unet, channels)
    for part in ("unet", "text_encoder"):
        if change:
            change(parts[part])
    kind(**parts, **options).save_pretrained(folder)
    return folder
