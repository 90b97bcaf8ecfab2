"""Muon (Jordan et al. 2024) in the precision that the machine is fast in.

torch.optim.Muon is the same, but its Newton-Schulz iteration is bound to bfloat16: on a CPU without instructions for
that, a step of it costs five times what the gradient does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: the steepest at zero that stays bounded, so singular values end between 0.5 and 1.5."""

_ITERATIONS = 5


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Newton-Schulz: the matrix (rows, columns) with all its singular values brought near 1, computed in `dtype`."""
    a, b, c = _COEFFICIENTS
    x = matrix.to(dtype, copy=True)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    untyped: Any = torch.linalg
    x.div_(untyped.vector_norm(x).clamp(min=1e-7))  # the spectral norm is below 1 then, where the iteration holds
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with Nesterov's look ahead, made orthogonal, on matrices only.

    A step has a spectral norm of about lr, times sqrt(rows / columns) where there are more rows. Weight decay is
    decoupled. Raises ValueError for a parameter that is no matrix.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float, dtype: torch.dtype
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype
        if any(matrix.ndim != 2 for group in self.param_groups for matrix in group["params"]):
            raise ValueError("Muon is for matrices; give other parameters to AdamW")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update; parameters without a gradient stay as they are. No closure is called."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group)

    def _move(self, matrix: nn.Parameter, group: dict[str, Any]) -> None:
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        average = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
        ahead = matrix.grad.lerp(average, group["momentum"])
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        stretch = math.sqrt(max(1.0, matrix.shape[0] / matrix.shape[1]))
        matrix.add_(orthogonal(ahead, self.dtype), alpha=-group["lr"] * stretch)
