"""Two choices of the text-to-image recipe, compared by short runs of equal length from nothing.

    limner world fetch && python benchmarks/objectives.py --samples 8000 [--only VARIANT]

v-prediction or flow matching, and CLIP's text tower trained on with the U-Net or left as it was. Every variant sees the
same scenes in the same order, with log SNRs of the same distribution. What is compared is the mean squared error of the
clean latents that the model's answer amounts to, at fixed log SNRs, on held-out scenes; and how much larger that error
is under a caption in which the colours of two things change places: zero for a model that cannot tell whose is whose.
docs/LOG.md quotes the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from limner.backends.hub import WEIGHTS
from limner.train.autoencoder import posterior, to_tensor
from limner.train.libraries import seed_torch
from limner.train.loop import Budget, rate_factor
from limner.train.optim import MixedOptimizer, Rates
from limner.train.text_to_image import PALETTE_LAST, Parts, Pool, begin, latent_scale, log_snr_table, sample_timesteps
from limner.world.caption import caption, describe
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene

BATCH = 48
SHARES = {"single": 0.5, "pair": 0.5}
LOG_SNRS = (-5.0, -3.0, -1.0, 1.0)
HELD_OUT = 96
"""Scenes of held-out pairs, of two things in two colours, that the error is measured on."""

TWO_COLOURS = Palette(tint=1.0, other_time=0.0, weather=0.0)

Noised = tuple[Tensor, Tensor, Tensor]
"""What the U-Net is shown, the answer that it is trained to give, and the times as it is told them."""


@dataclass(frozen=True, slots=True)
class Objective:
    """How a latent is noised at a log SNR, and how an answer becomes a clean latent again."""

    noise: Callable[[Tensor, Tensor, Tensor, Tensor], Noised]
    clean: Callable[[Tensor, Tensor, Tensor], Tensor]


def _sides(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma of a variance-preserving process."""
    return log_snr.sigmoid().sqrt().view(-1, 1, 1, 1), (-log_snr).sigmoid().sqrt().view(-1, 1, 1, 1)


def _v_noise(latents: Tensor, noise: Tensor, log_snr: Tensor, steps: Tensor) -> Noised:
    alpha, sigma = _sides(log_snr)
    return alpha * latents + sigma * noise, alpha * noise - sigma * latents, steps


def _v_clean(shown: Tensor, said: Tensor, log_snr: Tensor) -> Tensor:
    alpha, sigma = _sides(log_snr)
    return alpha * shown - sigma * said


def _flow_time(log_snr: Tensor) -> Tensor:
    """t of x = (1 - t) latent + t noise, whose log SNR is 2 log((1 - t) / t)."""
    return (-log_snr / 2).sigmoid()


def _flow_noise(latents: Tensor, noise: Tensor, log_snr: Tensor, steps: Tensor) -> Noised:
    time_of = _flow_time(log_snr)
    t = time_of.view(-1, 1, 1, 1)
    return (1 - t) * latents + t * noise, noise - latents, time_of * 999


def _flow_clean(shown: Tensor, said: Tensor, log_snr: Tensor) -> Tensor:
    return shown - _flow_time(log_snr).view(-1, 1, 1, 1) * said


V, FLOW = Objective(_v_noise, _v_clean), Objective(_flow_noise, _flow_clean)
VARIANTS: dict[str, tuple[Objective, bool]] = {
    "v, text trained on": (V, False),
    "v, text frozen": (V, True),
    "flow, text trained on": (FLOW, False),
}


def held_out_scenes() -> list[Scene]:
    """Pairs that no training shows, in two colours."""
    rng, found = Random("objectives"), list[Scene]()
    while len(found) < HELD_OUT:
        scene = sample_scene(rng, "pair", TWO_COLOURS, held_out=True)
        colours = {thing.colour for thing in scene.things}
        if None not in colours and len(colours) == 2:
            found.append(scene)
    return found


def swapped(scene: Scene) -> Scene:
    """The scene with the colours of its two things exchanged."""
    first, second = scene.things
    return replace(scene, things=(replace(first, colour=second.colour), replace(second, colour=first.colour)))


@torch.no_grad()
def errors(parts: Parts, objective: Objective, table: Tensor, latents: Tensor, captions: Sequence[str]) -> list[float]:
    """Mean squared error of the clean latents at each of LOG_SNRS, the noise being the same for all."""
    words, found = parts.words(captions), list[float]()
    for level in LOG_SNRS:
        generator = torch.Generator().manual_seed(5)
        log_snr = torch.full((len(latents),), level)
        steps = torch.searchsorted(-table, -log_snr.double()).clamp(0, len(table) - 1)
        noise = torch.randn(latents.shape, generator=generator)
        shown, _, times = objective.noise(latents, noise, log_snr, steps)
        said = parts.unet(shown.to(words.dtype), times, words).sample.float()
        found.append(float((objective.clean(shown, said, log_snr) - latents).square().mean()))
    return found


def train(name: str, samples: int) -> dict[str, float]:
    """One variant from nothing, and its errors afterwards."""
    objective, freeze = VARIANTS[name]
    seed_torch(0)
    drawer = WEIGHTS / "stable-diffusion"
    parts = begin(drawer / "vae", WEIGHTS / "clip", None, freeze_text=freeze)
    pool, table = Pool(parts.vae, latent_scale(parts.vae)), log_snr_table(parts.scheduler)
    optimizer = MixedOptimizer(parts.named_parameters(), Rates(ema=0.99))
    budget, rng, started = Budget(minutes=1e9, steps=samples // BATCH, warm_up=30), Random(0), time.perf_counter()
    for step in range(budget.steps):
        pairs = pool.take(rng, BATCH, SHARES, PALETTE_LAST)
        words = parts.words([caption(scene, rng) for scene, _ in pairs])
        latents = torch.stack([latent for _, latent in pairs])
        steps = sample_timesteps(BATCH, table)
        shown, wanted, times = objective.noise(latents, torch.randn_like(latents), table[steps].float(), steps)
        said = parts.unet(shown.to(words.dtype), times, words).sample.float()
        torch.autograd.backward((said - wanted).square().mean())
        optimizer.step(rate_factor(budget, step, step / budget.steps))
    minutes = (time.perf_counter() - started) / 60
    optimizer.load_average()
    return {**_measured(parts, objective, table, pool.scale), "minutes": round(minutes, 1)}


def _measured(parts: Parts, objective: Objective, table: Tensor, scale: float) -> dict[str, float]:
    scenes = held_out_scenes()
    with torch.no_grad():
        pixels = to_tensor([render(scene) for scene in scenes]).to(parts.vae.dtype)
        latents = posterior(parts.vae, pixels).mean.float() * scale
    right = errors(parts, objective, table, latents, [describe(scene) for scene in scenes])
    wrong = errors(parts, objective, table, latents, [describe(swapped(scene)) for scene in scenes])
    found = {f"error at {level:g}": round(error, 4) for level, error in zip(LOG_SNRS, right, strict=True)}
    rows = zip(LOG_SNRS, right, wrong, strict=True)
    apart = {f"swapped at {level:g}": round(other / error - 1, 4) for level, error, other in rows}
    return {**found, **apart}


def main() -> None:
    """Train the variants and print a line of JSON each; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8000, help="scenes that each variant is trained on")
    parser.add_argument("--only", choices=list(VARIANTS), help="one variant")
    parser.add_argument("--out", type=Path, help="append the lines to this file as well")
    args = parser.parse_args()
    for name in [args.only] if args.only else VARIANTS:
        line = json.dumps({"variant": name, "samples": args.samples, **train(name, args.samples)})
        print(line, flush=True)
        if args.out:
            with args.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
