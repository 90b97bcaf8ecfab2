"""The difference between two sets of weights as few numbers: matrices by their strongest singular directions.

A tuned model mostly differs from its base by matrices of low effective rank (LoRA, Hu et al. 2021, section 4.1), so
that W' - W = up @ down with a small inner dimension r keeps most of the change in a fraction of the space.
Here the factors are cut out of a finished model; by Eckart and Young nothing of rank r comes closer.

A difference is a table of tensors, for a parameter NAME one of:
`NAME.down` (r, in) and `NAME.up` (out, r), a convolution's (out, in, kh, kw) flattened to (out, in * kh * kw);
`NAME.full`, added as it is (norms, biases, small matrices); `NAME`, which takes the parameter's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limner.types import ModelUnavailable

_KINDS = ("down", "up", "full")


@torch.no_grad()
def apply_difference(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Change the parameters of `module` in place by a difference as described above.

    The sum is taken in float32 and stored in the parameter's own precision. Raises ModelUnavailable, before
    anything is changed, for a name that the module does not have, half of a pair, or a shape that does not fit.
    """
    state = module.state_dict()
    changed = {name: _changed(name, state, tensors) for name in sorted({_parameter(name, state) for name in tensors})}
    for name, value in changed.items():
        state[name].copy_(value)


def _parameter(name: str, state: Mapping[str, Tensor]) -> str:
    """The parameter that a difference's tensor called `name` belongs to."""
    stem, _, kind = name.rpartition(".")
    found = name if name in state else stem if kind in _KINDS else ""
    if found not in state:
        raise ModelUnavailable(f"the difference has {name!r}, which its base does not", "it was made for another base")
    return found


def _changed(name: str, state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
    parts = {kind: tensors[f"{name}.{kind}"].float() for kind in _KINDS if f"{name}.{kind}" in tensors}
    wanted = tuple(state[name].shape)
    if name in tensors and not parts:
        return _fitting(name, tensors[name].float(), wanted)
    before = state[name].float()
    if name not in tensors and parts.keys() == {"full"}:
        return before + _fitting(name, parts["full"], wanted).to(before.device)
    if name in tensors or parts.keys() != {"down", "up"}:
        raise ModelUnavailable(f"the difference gives {name!r} as {', '.join(parts)}", "down and up come in pairs")
    down, up = parts["down"], parts["up"]
    sides = (len(before), before[0].numel())
    if down.ndim != 2 or up.ndim != 2 or (len(up), down.shape[1]) != sides or up.shape[1] != len(down):
        raise ModelUnavailable(f"the factors of {name!r} do not fit {wanted}", "they were made for another base")
    return before + (up @ down).to(before.device).view(wanted)


def _fitting(name: str, tensor: Tensor, wanted: tuple[int, ...]) -> Tensor:
    if tuple(tensor.shape) != wanted:
        found = tuple(tensor.shape)
        raise ModelUnavailable(f"the difference has {name!r} as {found}, not {wanted}", "it was made for another base")
    return tensor


def make_difference(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The difference from `base` to `tuned` (two state dicts) in float32, with factors of at most `rank`.

    What is equal is left out, what has another shape or no base is given whole, and where factors would take
    as much space as the matrix the difference is given in full, which is exact.
    """
    difference: dict[str, Tensor] = {}
    for name, after in tuned.items():
        before = base.get(name)
        if before is None or before.shape != after.shape:
            difference[name] = after.detach().float().contiguous().clone()
        elif not torch.equal(before, after):
            difference |= {f"{name}.{kind}": part for kind, part in _compressed(before, after, rank).items()}
    return difference


@torch.no_grad()
def _compressed(before: Tensor, after: Tensor, rank: int) -> dict[str, Tensor]:
    change = after.float() - before.float()
    flat = change.flatten(1) if change.ndim > 1 else change[:, None]
    if rank * (flat.shape[0] + flat.shape[1]) >= flat.numel():
        return {"full": change.contiguous()}
    linalg: Any = torch.linalg
    left, values, right = linalg.svd(flat, full_matrices=False)
    # Each factor gets the root of the singular values: both then survive half precision equally well.
    root = values[:rank].sqrt()
    return {"down": (root[:, None] * right[:rank]).contiguous(), "up": (left[:, :rank] * root).contiguous()}
