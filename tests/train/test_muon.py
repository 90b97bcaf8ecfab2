"""Muon: the library's own in bfloat16, to the bit; orthogonal steps in float32, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limner.train.libraries import seed_torch
from limner.train.muon import Muon, orthogonal

SETTINGS: dict[str, Any] = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.01}


def moved(kind: Any, start: Tensor, **settings: Any) -> Tensor:
    """A matrix after three updates downhill on the same random gradients."""
    matrix = nn.Parameter(start.clone())
    optimizer: Any = kind([matrix], **SETTINGS, **settings)
    for step in range(3):
        seed_torch(step)
        matrix.grad = torch.randn_like(matrix)
        optimizer.step()
    return matrix.detach()


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (16, 16)])
def test_in_bfloat16_it_is_the_librarys_own_to_the_bit(shape: tuple[int, int]) -> None:
    seed_torch(0)
    start = torch.randn(shape)
    assert torch.equal(moved(Muon, start, dtype=torch.bfloat16), moved(torch.optim.Muon, start))


@pytest.mark.parametrize("shape", [(48, 16), (16, 48)])
def test_in_float32_all_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    seed_torch(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(-1, 1, shape[1]))
    found = orthogonal(matrix, torch.float32)
    values = np.linalg.svd(found.numpy(), compute_uv=False)
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5
    assert found.dtype == torch.float32


def test_what_has_no_gradient_does_not_even_decay_and_the_gradient_is_left_alone() -> None:
    seed_torch(0)
    still, moving = nn.Parameter(torch.randn(16, 16)), nn.Parameter(torch.randn(16, 16))
    before, moving.grad = still.detach().clone(), torch.randn(16, 16)
    gradient = moving.grad.clone()
    Muon([still, moving], **SETTINGS, dtype=torch.float32).step()
    assert torch.equal(still.detach(), before)
    assert torch.equal(moving.grad, gradient)


def test_only_matrices() -> None:
    with pytest.raises(ValueError, match="AdamW"):
        Muon([nn.Parameter(torch.zeros(3))], **SETTINGS, dtype=torch.float32)
