"""Pictures changed by instruction: InstructPix2Pix (Brooks et al. 2023) on Stable Diffusion and Stable Diffusion XL.

DialogPaint 3.2: the U-Net sees the noised latents beside those of the picture, and two scales guide it (Eq. 3),
e = e(0, 0) + s_I * (e(0, picture) - e(0, 0)) + s_T * (e(text, picture) - e(0, picture)), where 0 is the empty text and
a picture of zeros. The picture's latents are the posterior's mode and not scaled, as in training. Each picture is
edited by itself, so that a result depends on its request only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from limner.backends.branches import Layout
from limner.backends.hardware import Plan
from limner.backends.pipelines import EDITING, Loaded, decode, encode, load_pipeline
from limner.backends.sampling import (
    check_sampling,
    check_size,
    embeddings,
    noise,
    report,
    to_bytes,
    to_pixels,
    trained_size,
)
from limner.protocols import EditRequest
from limner.types import BadInput, Picture

_SIDES: Layout = ("positive", "negative", "negative")
"""The pipelines' batch is: text and picture, picture alone, neither."""


def load_editor(
    source: str,
    *,
    plan: Plan,
    name: str = "",
    steps: int = 20,
    text_guidance: float = 7.5,
    image_guidance: float = 1.5,
    size: tuple[int, int] | None = None,
) -> DiffusionEditor:
    """Load the InstructPix2Pix model at `source`: `embedded:`, a folder, or a Hugging Face id.

    A text-to-image folder whose U-Net takes in 8 channels counts as one, and so does a small difference to another
    model (see difference.py). `name` is what recipes call it (default: the source); `steps`, both guidances and
    `size` (width, height in pixels; default: what the model was trained at) are the profile's defaults. Raises
    ModelUnavailable.
    """
    loaded = load_pipeline(source, plan=plan, use=EDITING)
    return DiffusionEditor(
        name=name or source,
        model_hash=loaded.model_hash,
        sampler=loaded.sampler,
        default_size=size or trained_size(loaded.pipeline),
        default_steps=steps,
        default_text_guidance=text_guidance,
        default_image_guidance=image_guidance,
        loaded=loaded,
    )


@dataclass(slots=True)
class DiffusionEditor:
    """An ImageEditor (see protocols) over one diffusers pipeline. Not for use by several threads at once."""

    name: str
    model_hash: str
    sampler: str
    default_size: tuple[int, int]
    default_steps: int
    default_text_guidance: float
    default_image_guidance: float
    loaded: Loaded

    def edit(
        self, requests: Sequence[EditRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Edit each picture by itself, in order; each result has its picture's size.

        `on_step(done, total)` counts the denoising steps of all requests; an exception it raises ends the work.
        Raises BadInput for a picture whose sides are no multiples of the latent scale (usually 8), an empty
        instruction, steps, scales or a seed out of range; LimnerError when the numbers overflow.
        """
        for request in requests:
            self._check(request)
        total, done = sum(request.steps for request in requests), 0
        pictures: list[Picture] = []
        for request in requests:
            tell = partial(report, on_step, done, request.steps, total) if on_step else None
            pictures.append(self._edit(request, tell))
            done += request.steps
        return pictures

    def _check(self, request: EditRequest) -> None:
        check_size(self.loaded.pipeline, request.picture.width, request.picture.height)
        check_sampling(self.loaded.pipeline, request.steps, request.seed)
        if not request.instruction.strip():
            raise BadInput("the instruction is empty", "say what to change: make the car blue")
        # Outside these the pipeline would drop both guidances without a word.
        if not math.isfinite(request.text_guidance) or request.text_guidance <= 1:
            raise BadInput(f"text guidance {request.text_guidance}", "choose a number above 1, about 3 to 12")
        if not math.isfinite(request.image_guidance) or request.image_guidance < 1:
            raise BadInput(f"image guidance {request.image_guidance}", "choose a number from 1 on, about 1 to 3")

    def _edit(self, request: EditRequest, tell: Callable[..., dict[str, Any]] | None) -> Picture:
        pipeline, picture = self.loaded.pipeline, request.picture
        generator = torch.Generator().manual_seed(request.seed)
        embedded = embeddings([self.loaded.prompts.pair(request.instruction, request.negative_prompt)])
        rack = self.loaded.prompts.rack
        with rack.acting("unet", rack.hang(request.instruction), _SIDES):
            latents = pipeline(
                **embedded,
                **_sized(pipeline, picture),
                **_progress(pipeline, tell),
                image=encode(pipeline.vae, to_pixels(picture)),
                latents=noise(pipeline, picture.width, picture.height, generator),
                generator=[generator],
                num_inference_steps=request.steps,
                guidance_scale=request.text_guidance,
                image_guidance_scale=request.image_guidance,
                output_type="latent",
            ).images
        return Picture(to_bytes(decode(pipeline.vae, latents))[0])


def _is_xl(pipeline: Any) -> bool:
    return hasattr(pipeline, "text_encoder_2")


def _sized(pipeline: Any, picture: Picture) -> dict[str, int]:
    """XL is told the size, which its U-Net is conditioned on; Stable Diffusion takes it from the picture."""
    return {"width": picture.width, "height": picture.height} if _is_xl(pipeline) else {}


def _progress(pipeline: Any, tell: Callable[..., dict[str, Any]] | None) -> dict[str, Any]:
    """XL's editing pipeline only has the older callback, of step, timestep and latents, step by step."""
    if not _is_xl(pipeline):
        return {"callback_on_step_end": tell}

    def older(step: int, timestep: Any, _latents: Any) -> None:
        if tell:
            tell(_Counted(pipeline.scheduler.num_inference_steps), step, timestep, {})

    return {"callback": older}


@dataclass(frozen=True, slots=True)
class _Counted:
    """What `report` asks a pipeline for, where the pipeline does not count its own timesteps."""

    num_timesteps: int
