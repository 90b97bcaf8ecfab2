"""What all samplers share: checks of a request, its noise, its text, its progress, and pixels in and out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from limner.backends.branches import Layout
from limner.backends.pipelines import decode, latent_scale
from limner.backends.prompts import Embedding
from limner.types import BadInput, LimnerError, Picture

_MAX_SEED = 2**63 - 1
_PREVIEWED_AFTER = (1, 2, 3)
"""After so many quarters of the steps a picture is shown on the way."""

_PREVIEW_CELLS = 32
"""How many latent cells a preview has along each side at most: decoding is what it costs."""

AfterStep = Callable[[Any, int, Tensor, dict[str, Any]], dict[str, Any]]
"""What pipelines call after every step, as `callback_on_step_end`."""


def check_size(pipeline: Any, width: int, height: int) -> None:
    """Raises BadInput unless both sides, in pixels, are multiples of the latent scale (usually 8)."""
    scale = latent_scale(pipeline)
    if min(width, height) < scale or width % scale or height % scale:
        raise BadInput(f"size {width}x{height}", f"both sides must be multiples of {scale}")


def check_sampling(pipeline: Any, steps: int, seed: int) -> None:
    """Raises BadInput for more or fewer steps than the noise schedule allows, and for a seed out of range."""
    most = pipeline.scheduler.config.num_train_timesteps
    if not 1 <= steps <= most:
        raise BadInput(f"{steps} steps", f"choose 1 to {most}")
    if not 0 <= seed <= _MAX_SEED:
        raise BadInput(f"seed {seed}", f"choose 0 to {_MAX_SEED}")


def check_guidance(guidance: float) -> None:
    """Raises BadInput unless `guidance` is a finite number from 0 on."""
    if not math.isfinite(guidance) or guidance < 0:
        raise BadInput(f"guidance {guidance}", "choose a number from 0 to about 20")


def sides(guidance: float) -> Layout:
    """Which side each part of a text-to-image pipeline's batch is of: it guides with scales over 1 only."""
    return ("negative", "positive") if guidance > 1 else ("positive",)


def noise(pipeline: Any, width: int, height: int, generator: torch.Generator) -> Tensor:
    """A request's own noise (1, c, h, w), drawn on the CPU so that every device starts from the same numbers."""
    scale = latent_scale(pipeline)
    shape = (1, pipeline.vae.config.latent_channels, height // scale, width // scale)
    return torch.randn(shape, generator=generator).to(pipeline.unet.device)


def embeddings(pairs: Sequence[tuple[Embedding, Embedding]]) -> dict[str, Tensor]:
    """Prompts and negative prompts, a pair a picture, as the arguments that the pipelines take."""
    sides = {"prompt_embeds": [pair[0] for pair in pairs], "negative_prompt_embeds": [pair[1] for pair in pairs]}
    states = {name: torch.cat([each.states for each in side]) for name, side in sides.items()}
    if pairs[0][0].pooled is None:
        return states
    names = {"prompt_embeds": "pooled_prompt_embeds", "negative_prompt_embeds": "negative_pooled_prompt_embeds"}
    pooled = {names[name]: [each.pooled for each in side if each.pooled is not None] for name, side in sides.items()}
    return states | {name: torch.cat(side) for name, side in pooled.items()}


def report(
    on_step: Callable[[int, int], None],
    before: int,
    steps: int,
    total: int,
    pipeline: Any,
    step: int,
    _timestep: Tensor,
    tensors: dict[str, Any],
) -> dict[str, Any]:
    """Tell progress in steps; solvers of second order call the model more often than they count steps.

    `steps` is what the whole call of the pipeline is worth, `before` what was done until it.
    """
    on_step(before + steps * (step + 1) // pipeline.num_timesteps, total)
    return tensors


def show(
    on_preview: Callable[[int, Picture], None],
    places: Sequence[int],
    pipeline: Any,
    step: int,
    _timestep: Tensor,
    tensors: dict[str, Any],
) -> dict[str, Any]:
    """Give small pictures of what is being drawn to `on_preview`, by their places: three times on the way, none at
    the end. What is drawn is not touched."""
    count = pipeline.num_timesteps
    if step + 1 in {max(1, count * quarters // 4) for quarters in _PREVIEWED_AFTER} - {count}:
        latents = _foreseen(pipeline.scheduler, tensors["latents"])[: len(places)]
        fewer = math.ceil(max(latents.shape[2:]) / _PREVIEW_CELLS)
        pixels = to_bytes(decode(pipeline.vae, avg_pool2d(latents.float(), fewer)))
        for place, each in zip(places, pixels, strict=True):
            on_preview(place, Picture(each))
    return tensors


def _foreseen(scheduler: Any, latents: Tensor) -> Tensor:
    """The latents without their noise, as the solver's last step took them to be; as they are, where it is silent."""
    if getattr(scheduler.config, "algorithm_type", "") == "dpmsolver++":
        return scheduler.model_outputs[-1]
    return latents


def one_after_the_other(callbacks: Sequence[AfterStep]) -> AfterStep | None:
    """Several callbacks as one; None for none, so that pipelines do without."""
    if not callbacks:
        return None

    def all_of_them(pipeline: Any, step: int, timestep: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        for callback in callbacks:
            callback(pipeline, step, timestep, tensors)
        return tensors

    return all_of_them


def to_pixels(picture: Picture) -> Tensor:
    """The picture as float32 (1, 3, height, width) in [-1, 1]."""
    return torch.tensor(picture.pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


def to_bytes(pixels: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels (n, 3, height, width) in about [-1, 1] to uint8 (n, height, width, 3).

    Raises LimnerError when the numbers overflowed.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise LimnerError("the picture overflowed this precision", "set the precision to float32 or bfloat16")
    scaled = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def trained_size(pipeline: Any) -> tuple[int, int]:
    """(width, height) in pixels; a U-Net's sample size is one number or (height, width)."""
    sample = pipeline.unet.config.sample_size
    height, width = (sample, sample) if isinstance(sample, int) else sample
    return width * latent_scale(pipeline), height * latent_scale(pipeline)
