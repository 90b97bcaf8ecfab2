"""Train a model as a difference of low rank to frozen weights, so that it ships in a fraction of the space.

Cutting the strongest directions out of a freely trained model loses most of what Muon taught it, for Muon moves all
directions alike. So the factors themselves are trained: W = W0 + up @ down (LoRA, Hu et al. 2021, Eq. 3), with the
sum formed once a step, which costs less than a second path for every activation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_PLACE = "parametrizations.weight."


class LowRank(nn.Module):
    """A matrix (out, ...) plus the product of `up` (out, rank), zeros at first, and `down` (rank, in), unit rows."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        inside = weight[0].numel()
        rows = torch.empty(rank, inside)
        nn.init.orthogonal_(rows)
        self.down = nn.Parameter(rows.to(weight.dtype))
        self.up = nn.Parameter(torch.zeros(len(weight), rank, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed matrix, of the same shape."""
        return weight + (self.up @ self.down).view_as(weight)


def add_low_rank(module: nn.Module, rank: int, *, whole: Collection[str] = ()) -> None:
    """Freeze all matrices of `module` that factors of `rank` make smaller, and give each its factors to train.

    Norms, biases, matrices too small for it and the layers named in `whole` stay trainable as they are.
    """
    untyped: Any = module
    for name, layer in list(untyped.named_modules()):
        weight: Any = getattr(layer, "weight", None)
        if name in whole or not isinstance(weight, nn.Parameter) or weight.ndim < 2:
            continue
        if rank * (len(weight) + weight[0].numel()) < weight.numel():
            weight.requires_grad_(False)
            parametrize.register_parametrization(layer, "weight", LowRank(weight, rank))


@torch.no_grad()
def resume_low_rank(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a finished difference (`low_rank_difference`) into a module that `add_low_rank` made ready for that rank.

    Raises ValueError for a name or a shape that the module does not have, before anything is changed.
    """
    state, values = module.state_dict(), dict[str, Tensor]()
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        if kind in ("up", "down"):
            values[f"{stem.removesuffix('.weight')}.{_PLACE}0.{kind}"] = tensor
        elif kind == "full":
            values[stem] = state[stem].float() + tensor.float() if stem in state else tensor
        else:
            values[name] = tensor
    if wrong := [name for name, value in values.items() if name not in state or state[name].shape != value.shape]:
        raise ValueError(f"the module has no {wrong[0]!r} of that shape: its factors are of another rank or base")
    for name, value in values.items():
        state[name].copy_(value)


@torch.no_grad()
def low_rank_difference(module: nn.Module, base: nn.Module) -> dict[str, Tensor]:
    """What was trained of `module` against the untouched `base`, in the form that backends/lowrank.py describes.

    What has no base of the same shape is given whole; what did not change is left out.
    """
    before, found = base.state_dict(), dict[str, Tensor]()
    for name, value in module.state_dict().items():
        stem, marked, kind = name.partition(_PLACE)
        if marked:
            if kind != "original":
                found[f"{stem}weight.{kind.removeprefix('0.')}"] = value.float().contiguous()
        elif name not in before or before[name].shape != value.shape:
            found[name] = value.float().contiguous()
        elif not torch.equal(before[name].to(value.dtype), value):
            found[f"{name}.full"] = (value.float() - before[name].float()).contiguous()
    return found
