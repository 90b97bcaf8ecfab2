"""Regions of a picture drawn anew from a prompt: blended latent diffusion (Avrahami et al. 2023; ChatGenImage 3.4).

With a plain text-to-image U-Net, after every step what lies outside the mask is put back from the picture, noised to
the step's level: no weights beside those that draw. A U-Net with 9 input channels, trained to fill, sees mask and
masked picture instead. Either way the decoder changes a little outside the mask, so the picture itself is pasted back
there. Each picture is filled by itself, so that a result depends on its request only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from limner.backends.hardware import Plan
from limner.backends.pipelines import (
    INPAINTING,
    Loaded,
    as_inpainting,
    decode,
    encode,
    latent_scale,
    load_pipeline,
    scale_latents,
)
from limner.backends.sampling import (
    check_guidance,
    check_sampling,
    check_size,
    embeddings,
    noise,
    report,
    sides,
    to_bytes,
    to_pixels,
    trained_size,
)
from limner.image.paste import paste_back
from limner.protocols import FillRequest, Learned, Mask
from limner.types import BadInput, Picture


def load_inpainter(
    source: str,
    *,
    plan: Plan,
    name: str = "",
    steps: int = 20,
    guidance: float = 7.5,
    size: tuple[int, int] | None = None,
) -> DiffusionInpainter:
    """Load the model at `source` for filling: `embedded:`, a folder, or a Hugging Face id.

    It may be a text-to-image model or one trained to fill. `name` is what recipes call it (default: the source);
    `steps`, `guidance` and `size` (width, height in pixels; default: what the model was trained at) are the
    profile's defaults. Raises ModelUnavailable.
    """
    loaded = load_pipeline(source, plan=plan, use=INPAINTING)
    return _inpainter(loaded, name=name or source, steps=steps, guidance=guidance, size=size)


def inpainter_from(
    loaded: Loaded, *, name: str, steps: int = 20, guidance: float = 7.5, size: tuple[int, int] | None = None
) -> DiffusionInpainter:
    """An inpainter over the modules of a text-to-image model that is already in memory; see `load_inpainter`."""
    return _inpainter(as_inpainting(loaded), name=name, steps=steps, guidance=guidance, size=size)


def _inpainter(
    loaded: Loaded, *, name: str, steps: int, guidance: float, size: tuple[int, int] | None
) -> DiffusionInpainter:
    return DiffusionInpainter(
        name=name,
        model_hash=loaded.model_hash,
        sampler=loaded.sampler,
        default_size=size or trained_size(loaded.pipeline),
        default_steps=steps,
        default_guidance=guidance,
        loaded=loaded,
    )


@dataclass(slots=True)
class DiffusionInpainter:
    """An Inpainter (see protocols) over one diffusers pipeline. Not for use by several threads at once."""

    name: str
    model_hash: str
    sampler: str
    default_size: tuple[int, int]
    default_steps: int
    default_guidance: float
    loaded: Loaded

    def fill(
        self, requests: Sequence[FillRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Fill each request's mask by itself, in order; each result equals its picture bit by bit outside the mask.

        The model redraws every latent cell that the mask touches, so that a thin mask is filled too. With a
        strength below 1 only that share of the steps is run. `on_step(done, total)` counts the steps that are
        run for all requests; an exception it raises ends the work. Raises BadInput for a picture whose sides are
        no multiples of the latent scale (usually 8), a mask that is empty or of another size, a strength that
        leaves no step, and for steps, guidance or a seed out of range; LimnerError when the numbers overflow.
        """
        for request in requests:
            self._check(request)
        total, done = sum(_steps(request) for request in requests), 0
        pictures: list[Picture] = []
        for request in requests:
            tell = partial(report, on_step, done, _steps(request), total) if on_step else None
            pictures.append(paste_back(request.picture, self._fill(request, tell), request.mask, feather=0))
            done += _steps(request)
        return pictures

    def concepts(self, prompt: str) -> list[Learned]:
        """The learned concepts that `prompt` names, made ready. Raises BadInput for one that is not there or unfit."""
        return self.loaded.prompts.rack.learned(prompt, self.model_hash)

    def _check(self, request: FillRequest) -> None:
        width, height = request.picture.width, request.picture.height
        check_size(self.loaded.pipeline, width, height)
        check_sampling(self.loaded.pipeline, request.steps, request.seed)
        check_guidance(request.guidance)
        if request.mask.shape != (height, width):
            raise BadInput(f"a mask of shape {request.mask.shape}", f"the picture's is {(height, width)}")
        if not request.mask.any():
            raise BadInput("the mask is empty", "mark what to draw anew")
        if not 0 < request.strength <= 1 or not _steps(request):
            raise BadInput(
                f"strength {request.strength} of {request.steps} steps",
                "choose a strength above 0 and at most 1, and enough steps for one of them to be run",
            )

    def _fill(self, request: FillRequest, tell: Callable[..., dict[str, Any]] | None) -> Picture:
        pipeline, picture = self.loaded.pipeline, request.picture
        generator = torch.Generator().manual_seed(request.seed)
        mask, pixels = _cells(request.mask, latent_scale(pipeline)), to_pixels(picture)
        # Encoded here and not by the pipeline, which would take a random sample of the posterior.
        source = _latents(pipeline, pixels)
        trained_to_fill = pipeline.unet.config.in_channels > 4
        embedded = embeddings([self.loaded.prompts.pair(request.prompt, request.negative_prompt)])
        rack = self.loaded.prompts.rack
        with rack.acting("unet", rack.hang(request.prompt), sides(request.guidance)):
            latents = pipeline(
                **embedded,
                image=source,
                masked_image_latents=_latents(pipeline, pixels * (1 - mask)) if trained_to_fill else source,
                mask_image=mask,
                # Below full strength the pipeline must draw the noise itself to mix it with the picture.
                latents=noise(pipeline, picture.width, picture.height, generator) if request.strength == 1 else None,
                strength=request.strength,
                generator=[generator],
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                width=picture.width,
                height=picture.height,
                output_type="latent",
                callback_on_step_end=tell,
            ).images
        return Picture(to_bytes(decode(pipeline.vae, latents))[0])


def _steps(request: FillRequest) -> int:
    """How many of the request's steps are run: as the pipelines count them."""
    return min(int(request.steps * request.strength), request.steps)


def _latents(pipeline: Any, pixels: Tensor) -> Tensor:
    return scale_latents(pipeline.vae, encode(pipeline.vae, pixels))


def _cells(mask: Mask, scale: int) -> Tensor:
    """The mask, float (1, 1, height, width), grown to whole latent cells: the pipelines look at one pixel a cell."""
    exact = torch.tensor(mask)[None, None].float()
    return interpolate(max_pool2d(exact, scale), scale_factor=scale)
