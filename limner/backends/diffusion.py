"""Text to image with Stable Diffusion and Stable Diffusion XL, the embedded model included.

**A picture does not depend on its batch.** The noise comes from one generator per request, and text is
encoded prompt by prompt. What remains is arithmetic: a matrix product may add in another order when it has
more rows. In bfloat16 the kernels measured here do not (U-Net of 2 to 32 rows, channels-last decoder), in
float32 they do (1 x 1 convolutions, the products of the time embedding). Kernels differ between machines, so
nothing is assumed: before a batch size is first used for a shape of picture, one step of it is compared with
the same picture alone, bit by bit in every row, and only sizes that agree are used. In float32 this mostly
means one picture at a time, which costs about a third of the speed of batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from limner.backends.hardware import Plan
from limner.backends.hub import WEIGHTS, read_json
from limner.backends.pipelines import Loaded, decode, latent_scale, load_pipeline
from limner.backends.prompts import Embedding
from limner.backends.words import unknown_words
from limner.protocols import DrawRequest
from limner.types import BadInput, LimnerError, Picture

# Beyond 8 pictures (16 rows with guidance) a picture gets less than a tenth faster: performance.md 1.5.
_LARGEST_BATCH = 8
_MAX_SEED = 2**63 - 1
# Float32 copies of the decoder's widest full-size feature map that are alive at its peak.
_DECODER_COPIES = 4


def load_text_to_image(
    source: str,
    *,
    plan: Plan,
    name: str = "",
    steps: int = 20,
    guidance: float = 7.0,
    size: tuple[int, int] | None = None,
) -> DiffusionModel:
    """Load the model at `source`: `embedded:`, a folder, or a Hugging Face id.

    `name` is what recipes call it (default: the source); `steps`, `guidance` and `size` (width, height in
    pixels; default: what the model was trained at) are the profile's defaults. Raises ModelUnavailable.
    """
    loaded = load_pipeline(source, plan=plan)
    vocabulary = WEIGHTS / "vocabulary.json"
    known = frozenset(read_json(vocabulary)["words"]) if source.startswith("embedded:") else None
    return DiffusionModel(
        name=name or source,
        model_hash=loaded.model_hash,
        sampler=loaded.sampler,
        default_size=size or _trained_size(loaded.pipeline),
        default_steps=steps,
        default_guidance=guidance,
        max_batch=_fitting_batch(loaded.pipeline, size or _trained_size(loaded.pipeline), plan.device),
        loaded=loaded,
        known_words=known,
    )


@dataclass(frozen=True, slots=True)
class _Task:
    """One request with its text encoded for both sides of the guidance, and its place in the answer."""

    place: int
    request: DrawRequest
    prompt: Embedding
    negative: Embedding

    @property
    def shape(self) -> tuple[int, int, int, bool]:
        """What decides which kernels run: size, text windows, guidance or none."""
        return (self.request.width, self.request.height, self.prompt.windows, self.request.guidance > 1)

    @property
    def settings(self) -> tuple[Any, ...]:
        """What pictures drawn in one call of the pipeline must have in common."""
        return (*self.shape, self.request.steps, self.request.guidance)


@dataclass(slots=True)
class DiffusionModel:
    """A TextToImage (see protocols) over one diffusers pipeline. Not for use by several threads at once."""

    name: str
    model_hash: str
    sampler: str
    default_size: tuple[int, int]
    default_steps: int
    default_guidance: float
    max_batch: int
    loaded: Loaded
    known_words: frozenset[str] | None = None
    _stable: dict[tuple[Any, ...], bool] = field(default_factory=dict[tuple[Any, ...], bool])

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Draw one picture per request, in order, bit-identical to drawing each of them alone.

        `on_step(done, total)` counts denoising steps of pictures; an exception it raises ends the drawing.
        Raises BadInput for a size that is no multiple of the latent scale (usually 8), for steps, guidance or
        a seed out of range; LimnerError when the numbers overflow.
        """
        for request in requests:
            self._check(request)
        tasks = [
            _Task(place, request, *self.loaded.prompts.pair(request.prompt, request.negative_prompt))
            for place, request in enumerate(requests)
        ]
        total, done = sum(request.steps for request in requests), 0
        pictures: dict[int, Picture] = {}
        for batch in self._batches(tasks):
            report = partial(_report, on_step, done, len(batch), total) if on_step else None
            pixels = _to_bytes(self._render(batch, report))
            pictures |= {task.place: Picture(each) for task, each in zip(batch, pixels, strict=True)}
            done += sum(task.request.steps for task in batch)
        return [pictures[place] for place in range(len(requests))]

    def unknown_words(self, prompt: str) -> list[str]:
        """The content words of `prompt` that the embedded model never saw; empty for other models."""
        return [] if self.known_words is None else unknown_words(prompt, self.known_words)

    def _check(self, request: DrawRequest) -> None:
        scale = latent_scale(self.loaded.pipeline)
        if min(request.width, request.height) < scale or request.width % scale or request.height % scale:
            raise BadInput(f"size {request.width}x{request.height}", f"both sides must be multiples of {scale}")
        most = self.loaded.pipeline.scheduler.config.num_train_timesteps
        if not 1 <= request.steps <= most:
            raise BadInput(f"{request.steps} steps", f"choose 1 to {most}")
        if not math.isfinite(request.guidance) or request.guidance < 0:
            raise BadInput(f"guidance {request.guidance}", "choose a number from 0 to about 20")
        if not 0 <= request.seed <= _MAX_SEED:
            raise BadInput(f"seed {request.seed}", f"choose 0 to {_MAX_SEED}")

    def _batches(self, tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
        """Tasks of equal settings together, in sizes whose result is that of each task alone."""
        for _, group in groupby(sorted(tasks, key=lambda task: task.settings), key=lambda task: task.settings):
            waiting = list(group)
            while waiting:
                size = next(n for n in _halvings(min(len(waiting), self.max_batch)) if self._is_stable(n, waiting[0]))
                yield waiting[:size]
                waiting = waiting[size:]

    def _is_stable(self, size: int, task: _Task) -> bool:
        """Whether every row of a batch of `size` gets the bits that the task gets alone, by trying one step."""
        key = (size, *task.shape)
        if size > 1 and key not in self._stable:
            probe = replace(task, request=replace(task.request, steps=1))
            alone, together = self._render([probe], None), self._render([probe] * size, None)
            self._stable[key] = torch.equal(alone.expand_as(together), together)
        return size == 1 or self._stable[key]

    def _render(self, batch: Sequence[_Task], on_step_end: Callable[..., dict[str, Any]] | None) -> Tensor:
        """Denoise and decode tasks of equal settings: float32 pixels (n, 3, height, width)."""
        pipeline, request = self.loaded.pipeline, batch[0].request
        generators = [torch.Generator().manual_seed(task.request.seed) for task in batch]
        latents = pipeline(
            **_embeddings(batch),
            latents=torch.cat([_noise(pipeline, request, generator) for generator in generators]),
            generator=generators,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            output_type="latent",
            callback_on_step_end=on_step_end,
        ).images
        return decode(pipeline.vae, latents)


def _halvings(most: int) -> Iterator[int]:
    """Powers of two from the largest that is at most `most` down to 1: few sizes, so few to try out."""
    return (2**power for power in range(most.bit_length() - 1, -1, -1))


def _report(
    on_step: Callable[[int, int], None],
    before: int,
    pictures: int,
    total: int,
    pipeline: Any,
    step: int,
    _timestep: Tensor,
    tensors: dict[str, Any],
) -> dict[str, Any]:
    """Tell progress in steps; solvers of second order call the model more often than they count steps."""
    steps = pipeline.scheduler.num_inference_steps
    on_step(before + pictures * (steps * (step + 1) // pipeline.num_timesteps), total)
    return tensors


def _embeddings(batch: Sequence[_Task]) -> dict[str, Tensor]:
    sides = {"prompt_embeds": [task.prompt for task in batch], "negative_prompt_embeds": [t.negative for t in batch]}
    states = {name: torch.cat([each.states for each in side]) for name, side in sides.items()}
    if batch[0].prompt.pooled is None:
        return states
    names = {"prompt_embeds": "pooled_prompt_embeds", "negative_prompt_embeds": "negative_pooled_prompt_embeds"}
    pooled = {names[name]: [each.pooled for each in side if each.pooled is not None] for name, side in sides.items()}
    return states | {name: torch.cat(side) for name, side in pooled.items()}


def _noise(pipeline: Any, request: DrawRequest, generator: torch.Generator) -> Tensor:
    """The request's own noise, drawn on the CPU so that every device starts from the same numbers."""
    scale = latent_scale(pipeline)
    shape = (1, pipeline.unet.config.in_channels, request.height // scale, request.width // scale)
    return torch.randn(shape, generator=generator).to(pipeline.unet.device)


def _to_bytes(pixels: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not bool(torch.isfinite(pixels).all()):
        raise LimnerError("the picture overflowed this precision", "set the precision to float32 or bfloat16")
    scaled = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _trained_size(pipeline: Any) -> tuple[int, int]:
    """(width, height) in pixels; a U-Net's sample size is one number or (height, width)."""
    sample = pipeline.unet.config.sample_size
    height, width = (sample, sample) if isinstance(sample, int) else sample
    return width * latent_scale(pipeline), height * latent_scale(pipeline)


def _fitting_batch(pipeline: Any, size: tuple[int, int], device: str) -> int:
    """Pictures a batch may have: at most 8, and the decoder's peak within half of the free memory."""
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    widest = max(pipeline.vae.config.block_out_channels[:2])
    picture = size[0] * size[1] * widest * 4 * _DECODER_COPIES
    return max(1, min(_LARGEST_BATCH, int(free // 2 // picture)))
