"""Text to image with Stable Diffusion and Stable Diffusion XL, the embedded model included.

**A picture does not depend on its batch.** The noise comes from one generator per request, and text is
encoded prompt by prompt. What remains is arithmetic: a matrix product may add in another order when it has
more rows. In bfloat16 the kernels measured here do not (U-Net of 2 to 32 rows, channels-last decoder), in
float32 they do (1 x 1 convolutions, the products of the time embedding). Kernels differ between machines, so
nothing is assumed: before a batch size is first used for a shape of picture, every layer is tried on random numbers
in it and in the smallest size, those that differ are given their rows in portions from then on (backends.portions), and
one step of a picture is compared bit by bit in every row. Only sizes that agree are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

import psutil
import torch
from torch import Tensor

from limner.backends.hardware import Plan, machine
from limner.backends.hub import WEIGHTS, read_json
from limner.backends.notes import Notes
from limner.backends.pipelines import Loaded, decode, load_pipeline
from limner.backends.portions import Portioned, from_names, in_portions, to_names, unsteady
from limner.backends.prompts import Embedding
from limner.backends.sampling import (
    check_guidance,
    check_sampling,
    check_size,
    embeddings,
    noise,
    one_after_the_other,
    report,
    show,
    sides,
    to_bytes,
    trained_size,
)
from limner.backends.words import unknown_words
from limner.concept import Use, in_words
from limner.prompt import unwanted
from limner.protocols import DrawRequest, Learned
from limner.types import Picture

# What is noted of a batch size that gives other bits.
_UNLIKE = "unlike"
# Beyond 8 pictures (16 rows with guidance) a picture gets less than a tenth faster: performance.md 1.5.
_LARGEST_BATCH = 8
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
    rivals: Sequence[Sequence[str]] = (),
    notes: Notes | None = None,
) -> DiffusionModel:
    """Load the model at `source`: `embedded:`, a folder, or a Hugging Face id.

    `name` is what recipes call it (default: the source); `steps`, `guidance` and `size` (width, height in
    pixels; default: what the model was trained at) are the profile's defaults, and `rivals` the styles that rule each
    other out. `notes` remember between processes which batches leave a picture as it is. Raises ModelUnavailable.
    """
    loaded = load_pipeline(source, plan=plan)
    vocabulary = WEIGHTS / "vocabulary.json"
    known = frozenset(read_json(vocabulary)["words"]) if source.startswith("embedded:") else None
    return DiffusionModel(
        name=name or source,
        model_hash=loaded.model_hash,
        sampler=loaded.sampler,
        default_size=size or trained_size(loaded.pipeline),
        default_steps=steps,
        default_guidance=guidance,
        max_batch=_fitting_batch(loaded.pipeline, size or trained_size(loaded.pipeline), plan.device),
        loaded=loaded,
        known_words=known,
        rivals=rivals,
        kernels=f"{plan.device}, {machine(plan.threads)}, {plan.precision}",
        notes=notes or Notes(),
    )


@dataclass(frozen=True, slots=True)
class _Task:
    """One request with its text encoded for both sides of the guidance, and its place in the answer."""

    place: int
    request: DrawRequest
    prompt: Embedding
    negative: Embedding
    uses: tuple[Use, ...]

    @property
    def shape(self) -> tuple[Any, ...]:
        """What decides which kernels run: size, text windows, guidance or none, and concepts."""
        request = self.request
        return (request.width, request.height, self.prompt.windows, request.guidance > 1, self.uses)

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
    rivals: Sequence[Sequence[str]] = ()
    kernels: str = ""
    """The machine and the precision, by which `notes` remembers what was tried on it."""

    notes: Notes = field(default_factory=Notes)
    _tried: dict[tuple[Any, ...], list[Portioned] | None] = field(
        default_factory=dict[tuple[Any, ...], list[Portioned] | None]
    )

    def draw(
        self,
        requests: Sequence[DrawRequest],
        *,
        on_step: Callable[[int, int], None] | None = None,
        on_preview: Callable[[int, Picture], None] | None = None,
    ) -> list[Picture]:
        """Draw one picture per request, in order, bit-identical to drawing each of them alone.

        `on_step(done, total)` counts denoising steps of pictures; an exception it raises ends the drawing.
        `on_preview(place, picture)` gets a small picture of a request, by its place, up to three times on the way.
        Raises BadInput for a size that is no multiple of the latent scale (usually 8), for steps, guidance or
        a seed out of range; LimnerError when the numbers overflow.
        """
        for request in requests:
            self._check(request)
        tasks = [self._task(place, request) for place, request in enumerate(requests)]
        total, done = sum(request.steps for request in requests), 0
        pictures: dict[int, Picture] = {}
        for batch in self._batches(tasks):
            steps = sum(task.request.steps for task in batch)
            tells = [partial(report, on_step, done, steps, total)] if on_step else []
            shows = [partial(show, on_preview, [task.place for task in batch])] if on_preview else []
            on_step_end = one_after_the_other([*tells, *shows])
            pixels = to_bytes(self._drawn(batch, on_step_end))
            pictures |= {task.place: Picture(each) for task, each in zip(batch, pixels, strict=True)}
            done += steps
        return [pictures[place] for place in range(len(requests))]

    def unknown_words(self, prompt: str) -> list[str]:
        """The content words of `prompt` that the embedded model never saw; empty for other models."""
        return [] if self.known_words is None else unknown_words(in_words(prompt, {}), self.known_words)

    def unwanted(self, prompt: str) -> str:
        """What rules out the one of the model's styles that `prompt` names; "" without one."""
        return unwanted(in_words(prompt, {}), self.rivals)

    def concepts(self, prompt: str) -> list[Learned]:
        """The learned concepts that `prompt` names, made ready. Raises BadInput for one that is not there or unfit."""
        return self.loaded.prompts.rack.learned(prompt, self.model_hash)

    def _task(self, place: int, request: DrawRequest) -> _Task:
        pair = self.loaded.prompts.pair(request.prompt, request.negative_prompt)
        return _Task(place, request, *pair, self.loaded.prompts.rack.hang(request.prompt))

    def _check(self, request: DrawRequest) -> None:
        check_size(self.loaded.pipeline, request.width, request.height)
        check_sampling(self.loaded.pipeline, request.steps, request.seed)
        check_guidance(request.guidance)

    def _batches(self, tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
        """Tasks of equal settings together, in sizes whose result is that of each task alone."""
        for _, group in groupby(sorted(tasks, key=lambda task: task.settings), key=lambda task: task.settings):
            waiting = list(group)
            unit = self._unit(waiting[0])
            while waiting:
                fitting = _halvings(max(unit, min(len(waiting), self.max_batch)))
                size = next(n for n in fitting if n == unit or self._alike(n, unit, waiting[0]))
                yield waiting[:size]
                waiting = waiting[size:]

    def _unit(self, task: _Task) -> int:
        """How many rows a picture's batch has at least; what is missing is filled up with the picture itself.

        Some processors' half-precision kernels give a lone picture other bits than one in company, and all company
        the same: there a pair is the least, for else every picture would have to be drawn alone, at half the speed.
        """
        # Only the next size is tried: a lone picture of a large model must not wait for a probe of eight. In float32
        # company gains too little for a lone picture to cost as much as two.
        units = (1, 2) if self.loaded.pipeline.unet.dtype != torch.float32 else (1,)
        joins = (unit for unit in units if 2 * unit <= self.max_batch and self._alike(2 * unit, unit, task))
        return next(joins, 1)

    def _alike(self, size: int, unit: int, task: _Task) -> bool:
        """Whether every row of a batch of `size` gets the bits that it gets in one of `unit`."""
        key = (size, *task.shape)
        if size != unit and (key, unit) not in self._tried:
            self._tried[key, unit] = self._known(size, unit, task)
        return size == unit or self._tried[key, unit] is not None

    def _known(self, size: int, unit: int, task: _Task) -> list[Portioned] | None:
        """As `_steadied`, which takes seconds: what this machine's kernels do with these weights is remembered.

        Not with concepts in use, whose adapters are layers of their own.
        """
        unet, vae = self.loaded.pipeline.unet, self.loaded.pipeline.vae
        models, key = {"unet": unet, "vae": vae}, f"{self.kernels}, {self.model_hash}, {task.shape}: {size} by {unit}"
        noted = None if task.uses else self.notes.read().get(key)
        with suppress(AttributeError, TypeError, ValueError):  # a damaged note is found out again
            if noted is not None:
                return None if noted == _UNLIKE else from_names(noted, models)
        found = self._steadied(size, unit, task)
        if not task.uses:
            self.notes.write(key, _UNLIKE if found is None else to_names(found, models))
        return found

    def _steadied(self, size: int, unit: int, task: _Task) -> list[Portioned] | None:
        """The layers that need portions for that; None where it cannot be had.

        Each layer is tried by itself, then one step of a picture with all of them; and once more with a decoder that
        gets as few pictures as the smallest batch, for it gains little by more.
        """
        probe, pipeline = replace(task, request=replace(task.request, steps=1)), self.loaded.pipeline
        many = [Tensor()]

        def run() -> None:
            many[0] = self._render([probe] * size, None, unit)

        layers = unsteady((pipeline.unet, pipeline.vae), run, unit / size)
        if layers is None:
            return None
        few = self._render([probe] * unit, None, unit)
        for tried in (layers, [*layers, Portioned(pipeline.vae.decoder, unit)]):
            if tried:  # else it is what `unsteady` has just run
                with in_portions(tried):
                    run()
            if torch.equal(few[:1].expand_as(many[0]), many[0]):
                return tried
        return None

    def _drawn(self, batch: Sequence[_Task], on_step_end: Callable[..., dict[str, Any]] | None) -> Tensor:
        """Denoise and decode tasks, a lone one in its own company: each gets the pixels that it gets in any batch."""
        unit = self._unit(batch[0])
        filled = [*batch, *[batch[-1]] * (unit - len(batch))]
        with in_portions(self._tried.get(((len(filled), *batch[0].shape), unit)) or ()):
            return self._render(filled, on_step_end, unit)[: len(batch)]

    def _render(self, batch: Sequence[_Task], on_step_end: Callable[..., dict[str, Any]] | None, unit: int) -> Tensor:
        """Denoise and decode tasks of equal settings: float32 pixels (n, 3, height, width)."""
        pipeline, request = self.loaded.pipeline, batch[0].request
        generators = [torch.Generator().manual_seed(task.request.seed) for task in batch]
        with self.loaded.prompts.rack.acting("unet", batch[0].uses, sides(request.guidance), unit):
            latents = pipeline(
                **embeddings([(task.prompt, task.negative) for task in batch]),
                latents=torch.cat([noise(pipeline, request.width, request.height, each) for each in generators]),
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


def _fitting_batch(pipeline: Any, size: tuple[int, int], device: str) -> int:
    """Pictures a batch may have: at most 8, and the decoder's peak within half of the free memory."""
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    widest = max(pipeline.vae.config.block_out_channels[:2])
    picture = size[0] * size[1] * widest * 4 * _DECODER_COPIES
    return max(1, min(_LARGEST_BATCH, int(free // 2 // picture)))
