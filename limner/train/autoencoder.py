"""Recipe: the autoencoder, AutoencoderKL with 4 latent channels at an eighth of the picture's size.

Trained on random crops of rendered scenes by L1 on pixels and on their differences (edges) at two scales, with a
very small KL term, as latent diffusion has it. Drops and flakes are thin and L1 loves the median, so a pixel that
they cover counts more. With `--weights` the encoder is anchored: the latents of scenes in clear weather stay near
what other models were trained on. `--decoder` continues with the encoder frozen: all latents stay.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.types import Picture
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Scene

CROP = 64
BATCH = 16
FALLING = ("rain", "snowfall")
FALLING_WEIGHT = 4.0
"""How much more a pixel counts that a drop or a flake covers."""

ANCHOR = 2.0
"""Weight of the squared distance that clear scenes' latents move; it is about 1 % of their variance when it matters."""

PALETTE = Palette(weather=0.4)


def new_autoencoder() -> AutoencoderKL:
    """The shipped architecture: 6.5 M parameters, f8, 4 channels, no attention."""
    build: Any = AutoencoderKL  # whose annotations ask for tuples of one
    return build(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 192),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=128,
        mid_block_add_attention=False,
    )


def to_tensor(pictures: list[Picture]) -> Tensor:
    """Pictures as float32 in [-1, 1], shape (n, 3, height, width)."""
    stacked = np.stack([picture.pixels for picture in pictures])
    return torch.as_tensor(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def posterior(vae: AutoencoderKL, pixels: Tensor) -> Any:
    """The Gaussian over latents (n, 4, height / 8, width / 8) of pictures (n, 3, height, width) in [-1, 1]."""
    untyped: Any = vae
    return untyped.encode(pixels).latent_dist


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures in about [-1, 1], float32, of latents as `posterior` gives them."""
    untyped: Any = vae
    return untyped.decode(latents).sample.float()


def crops(rng: Random, count: int, palette: Palette = PALETTE) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of random scenes in [-1, 1], shape (count, 3, CROP, CROP), three of four cut around an object; the weight
    of each pixel, (count, 1, CROP, CROP); and which of the crops show clear weather, (count,)."""
    scenes = [sample_scene(rng, rng.choice(STAGES), palette) for _ in range(count)]
    whole = to_tensor([render(scene) for scene in scenes])
    dry = to_tensor([render(_dry(scene)) for scene in scenes])
    covered = (whole - dry).abs().amax(1, keepdim=True) > 0.05
    both = torch.cat([whole, 1 + (FALLING_WEIGHT - 1) * covered], 1)
    corners = [corner(rng, scene) for scene in scenes]
    cut = torch.stack([w[:, y : y + CROP, x : x + CROP] for w, (x, y) in zip(both, corners, strict=True)])
    return cut[:, :3], cut[:, 3:], torch.tensor([scene.weather == "clear" for scene in scenes])


def _dry(scene: Scene) -> Scene:
    """The scene without what falls; fog is not in the way of anything thin."""
    return replace(scene, weather="clear") if scene.weather in FALLING else scene


def corner(rng: Random, scene: Scene) -> tuple[int, int]:
    """The top left corner of a crop, in pixels of a picture of 128: anywhere, or such that an object is in it."""
    last = 128 - CROP
    if rng.random() < 0.25:
        return rng.randint(0, last), rng.randint(0, last)
    thing = rng.choice(scene.things)
    reach = thing.size / 3
    centre = thing.x + rng.uniform(-reach, reach), thing.y + rng.uniform(-reach, reach)
    x, y = (min(last, max(0, round(c * 128 - CROP / 2))) for c in centre)
    return x, y


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbours, across and down."""
    return pictures[..., :, 1:] - pictures[..., :, :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def reconstruction_loss(drawn: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 on pixels plus L1 on edges, at full and half size: edges are what makes flat art look crisp."""
    total = torch.zeros(())
    for _ in range(2):
        triples = zip(edges(drawn), edges(truth), (weight[..., 1:], weight[..., 1:, :]), strict=True)
        total = total + _l1(drawn, truth, weight) + sum((_l1(*triple) for triple in triples), torch.zeros(()))
        drawn, truth, weight = (F.avg_pool2d(part, 2) for part in (drawn, truth, weight))
    return total


def _l1(drawn: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    return ((drawn - truth).abs() * weight).mean()


def losses(model: AutoencoderKL, old: AutoencoderKL | None, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """The loss on what `crops` gave, its parts, and the PSNR in dB; `old` is the model whose latents are to stay."""
    truth, weight, clear = batch
    latents = posterior(model, truth.to(model.dtype))
    drawn = decode(model, latents.sample())
    kl = latents.kl().float().mean() / (CROP * CROP * 3)
    rebuilt = reconstruction_loss(drawn, truth, weight)
    mse = F.mse_loss(drawn.detach(), truth) / 4
    moved = torch.zeros(()) if old is None else _moved(latents.mean, old, truth, clear)
    total = rebuilt + 1e-3 * kl + ANCHOR * moved
    return {"loss": total, "rebuilt": rebuilt, "kl": kl, "moved": moved, "psnr": -10 * torch.log10(mse)}


def _moved(means: Tensor, old: AutoencoderKL, truth: Tensor, clear: Tensor) -> Tensor:
    """Mean squared distance of clear scenes' latents from the old ones."""
    with torch.no_grad():
        before: Tensor = posterior(old, truth.to(old.dtype)).mean
    return ((means - before).float().square().mean((1, 2, 3)) * clear).mean()


def begin(start: Path | None, *, decoder_only: bool) -> tuple[AutoencoderKL, AutoencoderKL | None]:
    """The model to train, in the precision of `cast`: new, or from a folder and then with the anchor of its latents;
    with the encoder frozen, and needing no anchor, for `decoder_only`."""
    model = cast(from_folder(AutoencoderKL, start) if start else new_autoencoder())
    old = copy.deepcopy(model).eval().requires_grad_(False) if start and not decoder_only else None
    if decoder_only:
        model.encoder.requires_grad_(False)
        model.get_submodule("quant_conv").requires_grad_(False)
    return model.train(), old


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=float, default=1.0, help="scales both learning rates")
    parser.add_argument("--weights", type=Path, help="begin with the weights in this folder")
    parser.add_argument("--decoder", action="store_true", help="leave the encoder as it is: the latents stay the same")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    model, old = begin(args.weights, decoder_only=args.decoder)
    rates = Rates(muon=0.01 * args.rate, adamw=1e-3 * args.rate, ema=0.995)

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, old, crops(rng, BATCH))

    def keep() -> None:
        to_folder(model, args.out / "model")

    fit(MixedOptimizer(model.named_parameters(), rates), loss, Budget(args.minutes), args.out, on_checkpoint=keep)


if __name__ == "__main__":
    main()
