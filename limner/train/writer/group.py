"""The processes that share a run, as `accelerate launch` or torchrun start them; alone, each of these does nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from limner.staging import sole


def processes() -> int:
    """How many processes share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the first one writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def device() -> torch.device:
    """Where this process computes: its own GPU, or the CPU."""
    return (
        torch.device("cuda", rank() % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")
    )


def summed(values: Tensor) -> Tensor:
    """The sum over all processes; the values themselves where there is one only."""
    if dist.is_initialized():
        dist.all_reduce(values)  # pyright: ignore[reportUnknownMemberType]
    return values


def agreed(number: float) -> float:
    """The first process's number: all must stop at the same step, and clocks differ."""
    if not dist.is_initialized():
        return number
    shared = torch.tensor([number], dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)


def at_work(folder: Path) -> AbstractContextManager[None]:
    """The folder for this run alone; the first process locks it for all. Raises BadInput where another run has it."""
    return nullcontext() if rank() else sole(folder)


def meet() -> None:
    """Wait until all processes are here, such as for a file that the first one writes."""
    summed(torch.zeros(1))
