"""The loop that every recipe runs: budget, schedule, log, checkpoints that resume exactly.

Run one process per core with `torchrun --nproc_per_node 2 -m limner.train.<recipe>`; gradients are averaged.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from limner.train.libraries import seed_torch
from limner.train.optim import MixedOptimizer


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train: until `minutes` of training time are spent, or `steps` updates are made."""

    minutes: float = 10.0
    steps: int = 10**9
    warm_up: int = 100
    decay: float = 1 / 3
    """The last share of the budget, over which the rate falls to zero."""
    checkpoint_minutes: float = 4.0

    def spent(self, steps: int, seconds: float) -> float:
        """The share of the budget that is used, 0 to 1."""
        return max(steps / self.steps, seconds / 60 / self.minutes)


def rate_factor(budget: Budget, steps: int, spent: float) -> float:
    """Warm up linearly, hold, then decay linearly to zero over the last part of the budget."""
    warm = min(1.0, (steps + 1) / budget.warm_up)
    return warm * min(1.0, max(0.02, (1 - spent) / budget.decay))


def start_processes() -> tuple[int, int]:
    """Join the other processes when torchrun started this one. Returns (rank, world size).

    Threads are torchrun's business: it gives each process OMP_NUM_THREADS=1.
    """
    if dist.is_torchelastic_launched() and not dist.is_initialized():
        dist.init_process_group("gloo")
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def fit(
    optimizer: MixedOptimizer,
    loss: Callable[[Random, float], dict[str, Tensor]],
    budget: Budget,
    folder: Path,
    *,
    on_checkpoint: Callable[[], None] | None = None,
    log_every: int = 20,
) -> None:
    """Train until the budget is spent. `loss(rng, spent)` returns named scalars; «loss» is descended.

    Resumes from `folder`/state.safetensors when it is there. Progress goes to `folder`/log.jsonl, one line each
    `log_every` steps with means since the last. Raises FloatingPointError when the loss is no longer a number.
    """
    rank, _ = start_processes()
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic() - resume(optimizer, folder)
    saved = time.monotonic()
    rng = _randomness(rank, optimizer.steps)
    means = _Means()
    while (spent := _agreed(budget.spent(optimizer.steps, time.monotonic() - began))) < 1:
        means.add(_update(optimizer, loss(rng, spent), rate_factor(budget, optimizer.steps, spent)))
        if optimizer.steps % log_every == 0:
            row = means.take(optimizer.steps)
            if rank == 0:
                _log(folder, {"step": optimizer.steps, "minutes": (time.monotonic() - began) / 60, **row})
        if rank == 0 and time.monotonic() - saved > budget.checkpoint_minutes * 60:
            means.check(optimizer.steps)
            _checkpoint(optimizer, folder, time.monotonic() - began, on_checkpoint)
            saved = time.monotonic()
    if rank == 0:
        means.check(optimizer.steps)
        _checkpoint(optimizer, folder, time.monotonic() - began, on_checkpoint)
    if dist.is_initialized():
        dist.barrier()  # pyright: ignore[reportUnknownMemberType]


def _randomness(rank: int, steps: int) -> Random:
    """Other numbers for each process, and other ones after a resume than those already trained on."""
    rng = Random(f"{rank}/{steps}")
    seed_torch(rng.getrandbits(32))
    return rng


def _update(optimizer: MixedOptimizer, losses: dict[str, Tensor], factor: float) -> dict[str, float]:
    """One update downwards; returns the losses before it and the norm of the gradient."""
    losses["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
    norm = optimizer.step(factor)
    return {**{name: float(value.detach()) for name, value in losses.items()}, "norm": norm}


@dataclass(slots=True)
class _Means:
    """Means of what was measured at each step since the last line of the log."""

    rows: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def take(self, steps: int) -> dict[str, float]:
        """The means, and begin anew."""
        self.check(steps)
        means = {name: fmean(row[name] for row in self.rows) for name in self.rows[0]}
        self.rows.clear()
        return means

    def check(self, steps: int) -> None:
        """Raise FloatingPointError unless all is a number: asked before each save, so that none keeps a lost run."""
        if any(math.isnan(value) for row in self.rows for value in row.values()):
            raise FloatingPointError(f"the loss is not a number at step {steps}: lower the rates")


def _checkpoint(
    optimizer: MixedOptimizer, folder: Path, seconds: float, on_checkpoint: Callable[[], None] | None
) -> None:
    """Save the state, and let the recipe keep its model while that holds the averaged weights."""
    save(optimizer, folder, seconds)
    if on_checkpoint:
        optimizer.load_average()
        on_checkpoint()
        optimizer.load_masters()


def _agreed(spent: float) -> float:
    """All processes must stop at the same step: take the first one's clock."""
    if not dist.is_initialized():
        return spent
    shared = torch.tensor([spent])
    dist.broadcast(shared, 0)
    return float(shared)


def _log(folder: Path, row: dict[str, float]) -> None:
    rounded = {key: round(value, 5) for key, value in row.items()}
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(rounded) + "\n")


def save(optimizer: MixedOptimizer, folder: Path, seconds: float) -> None:
    """Write the whole state, so that a killed run resumes where it was; renamed into place, never half-written."""
    tensors = {name: tensor.contiguous() for name, tensor in optimizer.tensors()}
    note = {"steps": str(optimizer.steps), "seconds": f"{seconds:.1f}"}
    save_file(tensors, folder / "state.tmp", metadata=note)
    (folder / "state.tmp").rename(folder / "state.safetensors")


def resume(optimizer: MixedOptimizer, folder: Path) -> float:
    """Restore the state if there is one; returns the seconds of training already done."""
    path = folder / "state.safetensors"
    if not path.exists():
        return 0.0
    reader: Any = safe_open(path, "pt")
    with reader as file:
        note, names = file.metadata(), file.keys()
        optimizer.restore({name: file.get_tensor(name) for name in names}, int(note["steps"]))
    return float(note["seconds"])
