"""Training in factors of low rank: nothing changes at first, only the factors learn, and the difference is exact."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner.backends.lowrank import apply_difference
from limner.train.adapters import add_low_rank, low_rank_difference, resume_low_rank
from limner.train.libraries import seed_torch


def network() -> nn.Sequential:
    seed_torch(0)
    return nn.Sequential(nn.Embedding(90, 40), nn.Linear(40, 32), nn.LayerNorm(32), nn.Linear(32, 3))


IDS = torch.arange(12)


def trained(rank: int, whole: tuple[str, ...] = ()) -> tuple[nn.Sequential, nn.Sequential]:
    """A network in factors after three steps, and its untouched base."""
    base = network()
    model = copy.deepcopy(base)
    add_low_rank(model, rank, whole=whole)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: Any = torch.optim.AdamW(learning, lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward((model(IDS) - 1).square().mean())
        optimizer.step()
    return model, base


def test_factors_change_nothing_at_first() -> None:
    base, model = network(), network()
    add_low_rank(model, 4)
    torch.testing.assert_close(model(IDS), base(IDS))


def test_matrices_are_frozen_and_all_else_is_trained() -> None:
    model = network()
    add_low_rank(model, 4, whole=("1",))
    trains = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert not trains["0.parametrizations.weight.original"]
    assert trains["1.weight"]
    assert trains["2.weight"]
    assert trains["3.weight"]  # too small for factors: 4 * (3 + 32) is more than 96
    assert trains["0.parametrizations.weight.0.up"]


def test_the_difference_makes_the_trained_model_of_its_base() -> None:
    model, base = trained(4, whole=("1",))
    wanted = model(IDS)
    difference = low_rank_difference(model, base)
    apply_difference(base, difference)
    torch.testing.assert_close(base(IDS), wanted, atol=1e-5, rtol=1e-5)
    shapes: dict[str, tuple[int, ...]] = {name: tuple(value.shape) for name, value in difference.items()}
    assert shapes["0.weight.down"] == (4, 40)
    assert shapes["0.weight.up"] == (90, 4)
    assert "1.weight.full" in shapes


def test_a_layer_of_another_shape_is_given_whole() -> None:
    base, model = nn.Linear(4, 6), nn.Linear(8, 6)
    difference: dict[str, Tensor] = low_rank_difference(model, base)
    torch.testing.assert_close(difference["weight"], model.weight.detach())


def test_what_did_not_change_is_left_out() -> None:
    base = network()
    assert low_rank_difference(copy.deepcopy(base), base) == {}


def test_training_goes_on_from_a_finished_difference() -> None:
    model, base = trained(4, whole=("1",))
    again = copy.deepcopy(base)
    add_low_rank(again, 4, whole=("1",))
    resume_low_rank(again, low_rank_difference(model, base))
    torch.testing.assert_close(again(IDS), model(IDS))


def test_a_difference_of_another_rank_is_refused() -> None:
    model, base = trained(4)
    before = base(IDS)
    again = copy.deepcopy(base)
    add_low_rank(again, 6)
    with pytest.raises(ValueError, match="another rank or base"):
        resume_low_rank(again, low_rank_difference(model, base))
    torch.testing.assert_close(again(IDS), before)
