"""Recipe: the world's judge, trained on rendered truth only (blurred, noised and shifted, never drawn).

Run it as `python -m limner.train.judge --out runs/judge --minutes 10`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from limner.train.autoencoder import to_tensor
from limner.train.libraries import seed_torch
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.world.judge import COLOUR_NAMES, GLOBALS, GRID, Judge, JudgeNet
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene
from limner.world.vocabulary import CORE_CONCEPTS

BATCH = 48
STAGE_SHARES = {"single": 0.2, "pair": 0.35, "count": 0.2, "crowd": 0.25}
PALETTE = Palette(tint=0.4, weather=0.4)


def targets(scenes: Sequence[Scene], concepts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Heat (n, concepts, 16, 16), 1 at centres falling off around them, and per-cell truth (n, 6, 16, 16):
    weight of the cell, colour number, offset x and y, log width and height."""
    heat = torch.zeros(len(scenes), len(concepts), GRID, GRID)
    cells = torch.zeros(len(scenes), 6, GRID, GRID)
    ys, xs = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    for n, scene in enumerate(scenes):
        for thing in scene.things:
            x, y = min(int(thing.x * GRID), GRID - 1), min(int(thing.y * GRID), GRID - 1)
            spread = max(0.7, thing.size * GRID / 7)
            near = torch.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * spread**2))
            channel = heat[n, list(concepts).index(thing.concept)]
            channel.copy_(torch.maximum(channel, near))
            around = ((xs - x).abs() <= 1) & ((ys - y).abs() <= 1)
            colour, size = COLOUR_NAMES.index(thing.colour), math.log(thing.size)
            values = torch.stack([
                torch.ones(GRID, GRID), torch.full((GRID, GRID), float(colour)),
                thing.x * GRID - xs, thing.y * GRID - ys,
                torch.full((GRID, GRID), size), torch.full((GRID, GRID), size),
            ])  # fmt: skip
            cells[n] = torch.where(around, values, cells[n])
    return heat, cells


def focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss over cells (CenterNet's), per object; a batch may have none."""
    chance = logits.float().sigmoid().clamp(1e-5, 1 - 1e-5)
    centre = (heat > 0.999).float()
    positive = centre * (1 - chance) ** 2 * chance.log()
    negative = (1 - centre) * (1 - heat) ** 4 * chance**2 * (1 - chance).log()
    return -(positive + negative).sum() / centre.sum().clamp(min=1)


def cell_losses(values: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of colours and L1 of offsets and sizes, at the cells around centres."""
    weight = truth[:, 0]
    colour = F.cross_entropy(values[:, : len(COLOUR_NAMES)].float(), truth[:, 1].long(), reduction="none")
    place = (values[:, len(COLOUR_NAMES) :].float() - truth[:, 2:]).abs().sum(1)
    number = weight.sum().clamp(min=1)
    return (colour * weight).sum() / number, (place * weight).sum() / number


def disturb(pixels: Tensor, rng: Random) -> Tensor:
    """Blur, noise and small colour shifts, so that the judge is not thrown by an autoencoder's softness."""
    if rng.random() < 0.6:
        small = F.interpolate(pixels, scale_factor=rng.choice((0.4, 0.5, 0.7)), mode="area")
        pixels = F.interpolate(small, pixels.shape[-2:], mode="bilinear")
    shift = torch.randn(len(pixels), 3, 1, 1) * 0.04
    return pixels + shift + torch.randn_like(pixels) * 0.12 * rng.random()


def losses(net: JudgeNet, scenes: Sequence[Scene], pixels: Tensor) -> dict[str, Tensor]:
    """The loss on pictures (n, 3, 128, 128) of these scenes, and its parts."""
    cells, whole = net(pixels.to(next(net.parameters()).dtype))
    heat, truth = targets(scenes, CORE_CONCEPTS)
    found = focal(cells[:, : len(CORE_CONCEPTS)], heat)
    colour, place = cell_losses(cells[:, len(CORE_CONCEPTS) :], truth)
    around = whole_loss(whole, scenes)
    total = found + colour + 0.3 * place + 0.5 * around
    return {"loss": total, "found": found, "colour": colour, "place": place, "around": around}


def whole_loss(logits: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """Cross-entropy of style, background, time and weather, from the logits (n, all their names)."""
    names = {"style": PALETTE.styles, **GLOBALS}
    parts = torch.split(logits.float(), [len(options) for options in names.values()], 1)
    total = torch.zeros(())
    for (key, options), part in zip(names.items(), parts, strict=True):
        labels = torch.tensor([list(options).index(getattr(scene, key)) for scene in scenes])
        total = total + F.cross_entropy(part, labels)
    return total


def begin(start: Path | None) -> JudgeNet:
    """The net to train: new, or of the judge in a folder. Raises ValueError when that one sees other things."""
    if not start:
        return JudgeNet(len(CORE_CONCEPTS), len(PALETTE.styles))
    judge = Judge.load(start)
    if (judge.concepts, judge.styles) != (tuple(CORE_CONCEPTS), tuple(PALETTE.styles)):
        raise ValueError(f"{start}: that judge knows other concepts or styles; train a new one")
    return judge.net


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1.0, help="scales both learning rates")
    parser.add_argument("--weights", type=Path, help="begin with the judge in this folder")
    args = parser.parse_args()
    start_processes()
    seed_torch(1)
    net = cast(begin(args.weights)).train()
    rates = Rates(muon=0.02 * args.rate, adamw=2e-3 * args.rate, ema=0.995)
    optimizer = MixedOptimizer(net.named_parameters(), rates)

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        stages = rng.choices(list(STAGE_SHARES), list(STAGE_SHARES.values()), k=BATCH)
        scenes = [sample_scene(rng, stage, PALETTE) for stage in stages]
        return losses(net, scenes, disturb(to_tensor([render(scene) for scene in scenes]), rng))

    def keep() -> None:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
        save_file(tensors, args.out / "judge.safetensors")
        about = {"concepts": CORE_CONCEPTS, "styles": PALETTE.styles}
        (args.out / "judge.json").write_text(json.dumps(about, indent=1))

    fit(optimizer, loss, Budget(minutes=args.minutes), args.out, on_checkpoint=keep)


if __name__ == "__main__":
    main()
