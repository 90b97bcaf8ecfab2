"""In which precision a recipe trains: the one that this machine is faster in."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import torch
from torch import nn

from limner.backends import hardware
from limner.config import load_settings

_Part = TypeVar("_Part", bound=nn.Module)


def cast(part: _Part) -> _Part:
    """The part itself, its weights in `trained_in()` from now on."""
    nn.Module.to(part, trained_in())
    return part


@cache
def trained_in() -> torch.dtype:
    """bfloat16 where it pays, else float32: a CPU that has no instructions for it is thirty times slower in it.

    Measured once for each machine, as `limner doctor` shows; LIMNER_PRECISION says it instead. float16, which is for
    drawing, has too few exponents for gradients: float32 then.
    """
    settings = load_settings()
    plan = hardware.plan(
        "cpu", precision=settings.precision, threads=torch.get_num_threads(), cache=settings.cache
    )  # as many threads as torchrun gave
    return torch.bfloat16 if plan.precision == "bfloat16" else torch.float32
