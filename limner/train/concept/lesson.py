"""One lesson: a picture in, a concept out. It resumes exactly after a kill, and keeps the last good state.

Noise, timestep and template of a step are drawn from the seed and the step's number, so that nothing but the trained
numbers and the optimizer's moments has to be kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.backends.hardware import one_thread
from limner.backends.pipelines import Loaded, scale_latents
from limner.backends.sampling import to_pixels
from limner.backends.words import unknown_words
from limner.concept import About, Concept
from limner.protocols import Mask
from limner.train.concept.capture import capture, load_state, optimizer_state, restore_optimizer, save_state
from limner.train.concept.decoder import Reconstruct, full_decoder, light_decoder
from limner.train.concept.loss import Schedule, Target, concept_loss
from limner.train.concept.options import TEMPLATES, Options
from limner.train.concept.student import Student, enrol
from limner.types import BadInput, Event, LimnerError, Picture

SAVE_EVERY = 100
_REPORT_EVERY = 10
_SMALL = 100_000_000
"""Parameters of a U-Net. Measured with 22 million: one thread makes a step in 0.25 s, two in 0.40 (docs/LOG.md)."""

_DECAY = {"words": 1e-2, "negative words": 1e-2, "adapters": 1e-3, "negative adapters": 1e-3, "whole": 1e-2}


@dataclass(slots=True)
class Lesson:
    """Everything of one lesson that does not change from step to step, the optimizer, and how far it has come.

    `alone`: the model is so small that a second thread would cost more by waiting than it computes.
    """

    student: Student
    options: Options
    schedule: Schedule
    target: Target
    others: Sequence[Target]
    reconstruct: Reconstruct | None
    templates: Sequence[str]
    optimizer: torch.optim.AdamW
    named: dict[str, nn.Parameter]
    clipped: Sequence[Sequence[nn.Parameter]]
    averages: dict[str, Tensor]
    about: About
    alone: bool = False
    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])

    def advance(self) -> float:
        """One update; returns the loss before it. Raises LimnerError when it is no longer a number."""
        with one_thread() if self.alone else nullcontext():
            return self._advance()

    def _advance(self) -> float:
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.step)
        with self.student.attached():
            loss = self._losses(generator)
            loss.backward()  # pyright: ignore[reportUnknownMemberType]
        norms = [nn.utils.clip_grad_norm_(parameters, 1.0) for parameters in self.clipped]
        value = float(loss.detach())
        # Asked before the update, so that what is trained stays a number whatever happens.
        if not all(math.isfinite(each) for each in (value, *map(float, norms))):
            raise LimnerError(
                f"the loss is not a number at step {self.step}", "lower the rates; the steps before are kept"
            )
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._average()
        return value

    def _losses(self, generator: torch.Generator) -> Tensor:
        """The loss of the picture, and of one of the others where there are some."""
        loss = self._loss(self.target, generator, said=True)
        if not self.others:
            return loss
        other = self.others[int(torch.randint(len(self.others), (), generator=generator))]
        return loss + self._loss(other, generator, said=False)

    def _loss(self, target: Target, generator: torch.Generator, *, said: bool) -> Tensor:
        options = self.options
        last = len(self.schedule.signal)
        timestep = int(torch.randint(last, (), generator=generator))
        template = self.templates[int(torch.randint(len(self.templates), (), generator=generator))]
        noise = torch.randn(target.latents.shape, generator=generator).to(target.latents)
        rebuilds = said and timestep < options.reconstruction_until * last
        return concept_loss(
            lambda noised, t: self.student.predict(noised, t, template, said=said),
            self.schedule,
            target,
            timestep,
            noise,
            gamma=options.guidance,
            reconstruct=self.reconstruct if rebuilds else None,
            reconstruction=options.reconstruction,
            min_snr=options.min_snr,
        )["loss"]

    @torch.no_grad()
    def _average(self) -> None:
        decay = self.options.ema
        if decay is not None:
            keep = min(decay, (1 + self.step) / (10 + self.step))
            for name, parameter in self.named.items():
                self.averages[name].lerp_(parameter, 1 - keep)

    def concept(self) -> Concept:
        """What has been learned so far."""
        settings = self.options.settings | {"steps": self.step, "seconds": round(self.seconds, 1)}
        about = replace(self.about, settings=settings, curve=tuple(self.curve))
        return capture(self.student, self.averages or self.named, about)

    def save(self, folder: Path) -> None:
        """Write all that an exact resume needs."""
        tensors = {f"value.{name}": parameter for name, parameter in self.named.items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.averages.items()}
        note = {"step": self.step, "seconds": self.seconds, "curve": self.curve, "settings": self.options.settings}
        save_state(
            folder, tensors | optimizer_state(self.optimizer, self.named), note | {"picture": self.about.reference}
        )

    def resume(self, folder: Path) -> None:
        """Go on where a lesson of the same picture and settings ended; another one's state is left aside."""
        found = load_state(folder)
        if found is None or found[1]["picture"] != self.about.reference:
            return
        tensors, note = found
        if not self.options.same_lesson(note["settings"]):
            return
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(tensors[f"value.{name}"])
            for name, average in self.averages.items():
                average.copy_(tensors[f"average.{name}"])
        restore_optimizer(self.optimizer, self.named, tensors)
        self.step, self.seconds = note["step"], note["seconds"]
        self.curve = [(int(step), float(loss)) for step, loss in note["curve"]]


def prepare(
    loaded: Loaded,
    picture: Picture,
    options: Options,
    *,
    mask: Mask | None = None,
    others: Sequence[Picture] = (),
    base: str = "",
    known_words: Set[str] | None = None,
) -> Lesson:
    """A lesson at its first step. The picture must have the size that it is to be learned at, in pixels.

    `mask` (height, width) says what in it is to be learned; `others` are the pictures that keep the words `like`
    what they were; `base` is what the model is called, and `known_words` all that it can read, where that is not
    everything. Raises BadInput for a mask that is empty or of another size, and for a picture whose sides are no
    multiples of the latent scale.
    """
    pipeline = loaded.pipeline
    if picture.width % pipeline.vae_scale_factor or picture.height % pipeline.vae_scale_factor:
        raise BadInput(f"a picture of {picture.width}x{picture.height}", "both sides must be multiples of 8")
    student = enrol(loaded, options)
    target = _target(loaded, picture, options.seed, mask)
    named = {name: parameter for name, _, parameter in student.named()}
    make = {"full": full_decoder, "light": light_decoder}[options.decoder]
    rebuilds = options.how.guided and options.reconstruction > 0
    reconstruct = make(pipeline.vae, target.pixels) if rebuilds else None
    return Lesson(
        student=student,
        options=options,
        schedule=Schedule.of(pipeline.scheduler),
        target=target,
        others=[_target(loaded, other, options.seed, None) for other in others],
        reconstruct=reconstruct,
        templates=_templates(options, known_words),
        optimizer=_optimizer(student),
        named=named,
        clipped=_clipped(student),
        averages={} if options.ema is None else {name: p.detach().clone() for name, p in named.items()},
        about=_about(loaded, options, picture, base),
        alone=pipeline.unet.device.type == "cpu" and sum(p.numel() for p in pipeline.unet.parameters()) < _SMALL,
    )


def _target(loaded: Loaded, picture: Picture, seed: int, mask: Mask | None) -> Target:
    """Latents are sampled once from the posterior and kept, as the authors do."""
    vae = loaded.pipeline.vae
    pixels = to_pixels(picture).to(vae.device)
    with torch.no_grad():
        noise = torch.Generator().manual_seed(seed)
        posterior = vae.encode(pixels.to(vae.dtype)).latent_dist
        spread = torch.randn(posterior.mean.shape, generator=noise).to(posterior.mean) * posterior.std
        latents = scale_latents(vae, (posterior.mean + spread).float())
    weight = _weights(mask, pixels)
    rows, columns = latents.shape[-2:]
    cells = F.adaptive_avg_pool2d(weight, (rows, columns))
    return Target(latents, pixels, cells / cells.mean(), weight)


def _weights(mask: Mask | None, pixels: Tensor) -> Tensor:
    """How much each pixel counts: all alike, or only those of the mask."""
    shape = tuple(pixels.shape[-2:])
    if mask is None:
        return torch.ones(1, 1, *shape, device=pixels.device)
    if mask.shape != shape or not mask.any():
        raise BadInput(f"a mask of shape {mask.shape} with {int(mask.sum())} pixels", f"the picture's is {shape}")
    weight = torch.tensor(mask, device=pixels.device).float()[None, None]
    return weight / weight.mean()


def _templates(options: Options, known: Set[str] | None) -> Sequence[str]:
    """The templates of which the model can read every word; the first is the bare word, which always can be."""
    every = TEMPLATES[options.kind]
    return every if known is None else [t for t in every if not unknown_words(t.format(""), frozenset(known))]


def _optimizer(student: Student) -> torch.optim.AdamW:
    options, share = student.options, student.options.negative_share
    rates = {
        "words": options.rate,
        "negative words": options.rate * share,
        "adapters": options.adapter_rate,
        "negative adapters": options.adapter_rate * options.negative_adapter_share,
        "whole": options.whole_rate,
    }
    groups = [
        {"params": [p for _, g, p in student.named() if g == group], "lr": rate, "weight_decay": _DECAY[group]}
        for group, rate in rates.items()
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]])


def _clipped(student: Student) -> list[list[nn.Parameter]]:
    """Gradients are clipped to 1 by group: the sides' words each for itself, as the authors do."""
    groups: dict[str, list[nn.Parameter]] = {}
    for _, group, parameter in student.named():
        groups.setdefault(group, []).append(parameter)
    return list(groups.values())


def _about(loaded: Loaded, options: Options, picture: Picture, base: str) -> About:
    family = "sdxl" if len(loaded.prompts.towers) > 1 else "sd"
    return About(
        kind=options.kind,
        like=options.like,
        method=options.method,
        base=base,
        base_hash=loaded.model_hash,
        family=family,
        guidance=options.guidance,
        reference=picture.sha256,
    )


def study(lesson: Lesson, folder: Path | None) -> Generator[Event, None, Concept]:
    """Go on with a lesson to its end and return the concept; `folder` keeps the state every SAVE_EVERY steps.

    Yields «learn» events (steps done of all; data: loss, seconds left). Closing it saves the state, so that nothing
    is lost. Raises LimnerError when the loss is no longer a number: the state before is kept.
    """
    if folder is not None:
        lesson.resume(folder)
    options, recent = lesson.options, list[float]()
    good = lesson.step
    try:
        while lesson.step < options.steps and lesson.seconds < 60 * options.minutes:
            began = time.monotonic()
            recent.append(lesson.advance())
            lesson.seconds += time.monotonic() - began
            good = lesson.step
            if lesson.step % _REPORT_EVERY == 0 or lesson.step == options.steps:
                yield _progress(lesson, recent)
            if folder is not None and lesson.step % SAVE_EVERY == 0:
                lesson.save(folder)
    finally:
        if folder is not None and good == lesson.step:  # not in the middle of an update
            lesson.save(folder)
    return lesson.concept()


def _progress(lesson: Lesson, recent: list[float]) -> Event:
    """The mean loss since the last report, and the time that the rest will take."""
    loss = sum(recent) / len(recent)
    recent.clear()
    lesson.curve.append((lesson.step, round(loss, 5)))
    options = lesson.options
    by_steps = lesson.seconds / lesson.step * (options.steps - lesson.step)
    left = max(0.0, min(by_steps, 60 * options.minutes - lesson.seconds))
    text = f"step {lesson.step}: loss {loss:.3f}, {left:.0f} s left"
    return Event("learn", text, lesson.step, options.steps, {"loss": loss, "seconds_left": left})
