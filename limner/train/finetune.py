"""Fine-tuning by ParlAI's recipe for Blender: Adam, warm-up, plateaus, and a stop when validation no longer improves.

The printed numbers of DialogPaint 4.1 and the unprinted ones of the recipe that they come from (methods 3.1).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Recipe:
    """`batch` samples at a time, an update each `accumulate` batches; validated `validations` times an epoch.

    The rate is halved after more than `patience` validations without a better figure; after `stop` of them it ends.
    """

    rate: float = 7e-6
    batch: int = 128
    accumulate: int = 2
    clip: float = 0.1
    warm_up: int = 100
    patience: int = 3
    stop: int = 10
    validations: int = 4


def fine_tune(
    model: nn.Module,
    loss: Callable[[Random], Tensor],
    recipe: Recipe,
    *,
    steps_per_epoch: int,
    minutes: float,
    validate: Callable[[], float],
    on_better: Callable[[], None],
) -> float:
    """Train until validation stops improving or the minutes are over; returns the best (lowest) validation figure.

    `on_better` is called whenever `validate` gave a lower figure than ever before, so that it can keep the model.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=recipe.patience)
    rng, began = Random(0), time.monotonic()
    every = max(1, steps_per_epoch // recipe.validations)
    best, worse, step = math.inf, 0, 0
    model.train()
    while worse < recipe.stop:
        _update(model, optimizer, loss, recipe, rng, min(1.0, (step + 1) / recipe.warm_up))
        step += 1
        over = time.monotonic() - began > minutes * 60
        if step % every and not over:
            continue
        figure = validate()
        plateau.step(figure)  # pyright: ignore[reportUnknownMemberType]
        worse = 0 if figure < best else worse + 1
        if figure < best:
            best = figure
            on_better()
        if over:
            break
    return best


def _update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Random], Tensor],
    recipe: Recipe,
    rng: Random,
    scale: float,
) -> None:
    """One update from several batches, with the gradient clipped and the rate scaled for this one time."""
    for _ in range(recipe.accumulate):
        (loss(rng) / recipe.accumulate).backward()  # pyright: ignore[reportUnknownMemberType]
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    rates = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * scale
    optimizer.step()  # pyright: ignore[reportUnknownMemberType]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    optimizer.zero_grad()
