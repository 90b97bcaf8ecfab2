"""The loop that every recipe runs: budget, schedule, log, checkpoints that resume exactly.

Run one process per core with `torchrun --nproc_per_node 2 -m limner.train.<recipe>`; gradients are averaged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from limner.train.optim import MixedOptimizer


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train: until `minutes` of training time are spent, or `steps` updates are made."""

    minutes: float = 10.0
    steps: int = 10**9
    warm_up: int = 100
    checkpoint_minutes: float = 4.0

    def spent(self, steps: int, seconds: float) -> float:
        """The share of the budget that is used, 0 to 1."""
        return max(steps / self.steps, seconds / 60 / self.minutes)


def rate_factor(budget: Budget, steps: int, spent: float) -> float:
    """Warm up linearly, hold, then decay linearly to zero over the last third of the budget."""
    warm = min(1.0, (steps + 1) / budget.warm_up)
    return warm * min(1.0, max(0.02, (1 - spent) * 3))


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
    seconds = resume(optimizer, folder)
    rng = Random(f"{rank}/{optimizer.steps}")
    torch.manual_seed(rng.getrandbits(32))
    sums: dict[str, float] = {}
    saved = began = time.monotonic() - seconds
    saved = time.monotonic()
    while (spent := _agreed(budget.spent(optimizer.steps, time.monotonic() - began))) < 1:
        losses = loss(rng, spent)
        losses["loss"].backward()
        norm = optimizer.step(rate_factor(budget, optimizer.steps, spent))
        for name, value in {**{k: float(v.detach()) for k, v in losses.items()}, "norm": norm}.items():
            sums[name] = sums.get(name, 0.0) + value / log_every
        if optimizer.steps % log_every == 0:
            if not all(v == v for v in sums.values()):
                raise FloatingPointError(f"the loss is not a number at step {optimizer.steps}: lower the rates")
            if rank == 0:
                _log(folder, {"step": optimizer.steps, "minutes": (time.monotonic() - began) / 60, **sums})
            sums = {}
        if rank == 0 and time.monotonic() - saved > budget.checkpoint_minutes * 60:
            save(optimizer, folder, time.monotonic() - began)
            _with_average(optimizer, on_checkpoint)
            saved = time.monotonic()
    if rank == 0:
        save(optimizer, folder, time.monotonic() - began)
        _with_average(optimizer, on_checkpoint)
    if dist.is_initialized():
        dist.barrier()


def _with_average(optimizer: MixedOptimizer, action: Callable[[], None] | None) -> None:
    if action:
        optimizer.load_average()
        action()
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
    with safe_open(path, "pt") as file:
        note = file.metadata()
        optimizer.restore({key: file.get_tensor(key) for key in file.keys()}, int(note["steps"]))
    return float(note["seconds"])
