"""Recipe: the editor, InstructPix2Pix's U-Net of 8 input channels, from the text-to-image model (DialogPaint 3.2).

The edited picture's latents are noised and denoised; the latents of the picture before stand beside them, clean and
unscaled, as the pipeline gives them. Text, picture and both are left out for 5 % of the samples each, so that the two
guidance scales of Eq. 3 mean something. The world's triples are exact, and what they change is often a small part of
the picture: that part counts more. Factors of low rank are trained (adapters.py), so that the editor ships as a small
difference to the text-to-image model.

    torchrun --nproc_per_node 2 -m limner.train.editor --base limner/world/weights/stable-diffusion --out runs/editor \
        --minutes 60
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from limner.train.adapters import add_low_rank, low_rank_difference, resume_low_rank
from limner.train.autoencoder import posterior, to_tensor
from limner.train.libraries import seed_torch
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.text_to_image import LOG_SNR_MEAN, Parts, begin, log_snr_table, sample_timesteps
from limner.types import EditKind
from limner.world.edits import EditTriple, changed_mask, sample_edit
from limner.world.render import render
from limner.world.sample import Palette

BATCH = 32
DROP = 0.05
"""The share of samples without text, that without the picture, and that without both (InstructPix2Pix 3.2.1)."""

REUSE = 3
CHANGED_WEIGHT = 4.0
"""How much more a latent cell counts whose pixels the edit changes."""

SHARES: dict[EditKind, float] = {
    "replace": 1.2, "add": 1.0, "remove": 0.7, "recolour": 1.2, "restyle": 1.6, "background": 1.1, "time": 1.1,
    "weather": 2.0,
}  # fmt: skip
"""How often each kind is shown. What changes all cells takes the longest to learn (docs/LOG.md)."""

PALETTE = Palette(tint=0.4, other_time=0.15)
UNET_RANK, TEXT_RANK = 28, 12
"""What fits into the space left: 7.5 MB in half precision."""

_DIFFERENCE = "_difference.safetensors"


@dataclass(frozen=True, slots=True)
class Sample:
    """A triple as the U-Net sees it: latents before (unscaled) and after (scaled), and the weight of each cell."""

    instruction: str
    before: Tensor
    after: Tensor
    weight: Tensor


@dataclass(slots=True)
class Pool:
    """Triples and their latents, each to be used REUSE times under other noise."""

    vae: AutoencoderKL
    scale: float
    palette: Palette = PALETTE
    shares: Mapping[EditKind, float] = field(default_factory=lambda: SHARES)
    waiting: deque[Sample] = field(default_factory=deque[Sample])

    def take(self, rng: Random, count: int) -> list[Sample]:
        """`count` samples, a third of them new."""
        fresh = max(count // REUSE, count - len(self.waiting))
        new = self.encode([self._sampled(rng) for _ in range(fresh)])
        old = [self.waiting.popleft() for _ in range(count - fresh)]
        self.waiting.extend(new * (REUSE - 1))
        if len(self.waiting) > 50 * count:
            self.waiting = deque(rng.sample(list(self.waiting), 40 * count))
        return [*new, *old]

    def _sampled(self, rng: Random) -> EditTriple:
        [kind] = rng.choices(list(self.shares), list(self.shares.values()))
        return sample_edit(rng, kind, self.palette)

    def encode(self, triples: Sequence[EditTriple]) -> list[Sample]:
        """The triples rendered and encoded; the source's latents are the posterior's mode, as the pipeline's are."""
        pictures = [render(scene) for triple in triples for scene in (triple.before, triple.after)]
        with torch.no_grad():
            latents = posterior(self.vae, to_tensor(pictures).to(self.vae.dtype)).mean.float()
        masks = torch.stack([torch.tensor(changed_mask(triple)).float() for triple in triples])[:, None]
        weights = 1 + (CHANGED_WEIGHT - 1) * F.adaptive_max_pool2d(masks, latents.shape[-2:])
        samples = zip(triples, latents[0::2], latents[1::2] * self.scale, weights, strict=True)
        return [Sample(triple.change.instruction, before, after, weight) for triple, before, after, weight in samples]


def widen(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Let the U-Net take in 8 channels; the four new ones begin at zero, so that it still draws what it drew."""
    old: Any = unet.conv_in
    if old.in_channels == 8:
        return unet
    new = nn.Conv2d(8, old.out_channels, old.kernel_size, padding=old.padding, dtype=old.weight.dtype)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :4] = old.weight
        assert new.bias is not None
        new.bias.copy_(old.bias)
    unet.conv_in = new
    config: Any = unet
    config.register_to_config(in_channels=8)
    return unet


def drop(rng: Random, samples: Sequence[Sample]) -> tuple[list[str], Tensor]:
    """Instructions and source latents, with one in twenty of each, and of both, made nothing."""
    lots = [rng.random() for _ in samples]
    texts = ["" if lot < 2 * DROP else sample.instruction for lot, sample in zip(lots, samples, strict=True)]
    kept = torch.tensor([float(not DROP <= lot < 3 * DROP) for lot in lots]).view(-1, 1, 1, 1)
    return texts, torch.stack([sample.before for sample in samples]) * kept


def edit_loss(
    unet: UNet2DConditionModel, samples: Sequence[Sample], sources: Tensor, words: Tensor, steps: Tensor, signal: Tensor
) -> Tensor:
    """Squared error of the velocity, per sample, weighted over the cells with a mean weight of one."""
    after, weight = torch.stack([s.after for s in samples]), torch.stack([s.weight for s in samples])
    alpha, sigma = signal[steps].sqrt().view(-1, 1, 1, 1), (1 - signal[steps]).sqrt().view(-1, 1, 1, 1)
    noise = torch.randn_like(after)
    seen = torch.cat([alpha * after + sigma * noise, sources], 1).to(words.dtype)
    error = (unet(seen, steps, words).sample.float() - (alpha * noise - sigma * after)).square()
    return (error * weight / weight.mean((1, 2, 3), keepdim=True)).mean((1, 2, 3))


@dataclass(frozen=True, slots=True)
class Editor:
    """What is trained, and the untouched base that it becomes a difference to."""

    parts: Parts
    base: Parts

    def keep(self, folder: Path) -> None:
        """Save the difference as `limner.backends.difference` reads it."""
        folder.mkdir(parents=True, exist_ok=True)
        pairs = {"unet": (self.parts.unet, self.base.unet), "text_encoder": (self.parts.text, self.base.text)}
        for name, (tuned, untouched) in pairs.items():
            save_file(low_rank_difference(tuned, untouched), folder / f"{name}{_DIFFERENCE}")
        (folder / "limner.json").write_text(json.dumps({"base": "embedded:stable-diffusion"}))


def start(base: Path, weights: Path | None = None) -> Editor:
    """The editor to train, from the folder of a text-to-image pipeline; U-Net and text tower in factors.

    `weights` is a folder that `Editor.keep` wrote for the same base: training goes on from there.
    """
    parts, untouched = (begin(base / "vae", base / "tokenizer", base, freeze_text=False) for _ in range(2))
    add_low_rank(widen(parts.unet), UNET_RANK, whole=("conv_in",))
    add_low_rank(parts.text, TEXT_RANK)
    if weights:
        resume_low_rank(parts.unet, load_file(weights / f"unet{_DIFFERENCE}"))
        resume_low_rank(parts.text, load_file(weights / f"text_encoder{_DIFFERENCE}"))
    return Editor(parts, untouched)


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="the text-to-image pipeline's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="go on from this editor, a difference to the same base")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=BATCH, help="samples a step and process")
    parser.add_argument("--log-snr", type=float, default=LOG_SNR_MEAN, help="mean log SNR of the timesteps")
    parser.add_argument("--rate", type=float, default=0.8, help="share of the usual learning rates")
    parser.add_argument("--decay", type=float, default=0.5, help="last share of the budget, while the rate falls")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    editor = start(args.base, args.weights)
    parts = editor.parts
    vae_config: Any = parts.vae.config
    pool, table = Pool(parts.vae, float(vae_config.scaling_factor)), log_snr_table(parts.scheduler)
    signal = parts.scheduler.alphas_cumprod.float()
    rates = Rates(muon=0.015 * args.rate, adamw=1.5e-3 * args.rate, ema=0.998)
    optimizer = MixedOptimizer(parts.named_parameters(), rates)

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        samples = pool.take(rng, args.batch)
        texts, sources = drop(rng, samples)
        words, steps = parts.words(texts), sample_timesteps(len(samples), table, args.log_snr)
        return {"loss": edit_loss(parts.unet, samples, sources, words, steps, signal).mean()}

    budget = Budget(minutes=args.minutes, decay=args.decay)
    fit(optimizer, loss, budget, args.out, on_checkpoint=lambda: editor.keep(args.out / "model"))


if __name__ == "__main__":
    main()
