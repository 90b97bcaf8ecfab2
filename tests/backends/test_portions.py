"""Layers that take their rows in portions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner.backends.portions import Portioned, by_portions, in_portions, unsteady
from limner.train.libraries import seed_torch


class Steady(nn.Linear):
    """A product that takes each row by itself, on machines, too, whose small products depend on their batch."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.cat([super(Steady, self).forward(row[None]) for row in input])


class Moody(Steady):
    """A product whose bits depend, once in a thousand values, on how many rows there are."""

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        odd = (out * 1e4).long() % 1000 == 7
        return torch.where(odd, out + 1e-6 * len(input), out)


def net(*layers: nn.Module) -> nn.Sequential:
    seed_torch(0)
    return nn.Sequential(Steady(8, 16), *layers)


def run(model: nn.Module, rows: int = 8) -> Tensor:
    return model(torch.linspace(-1, 1, rows * 8).view(rows, 8))


def test_a_layer_whose_bits_depend_on_its_batch_is_found() -> None:
    moody = Moody(16, 64)
    model = net(moody, Steady(64, 16), Steady(16, 16))
    found = unsteady([model], lambda: run(model), 0.25)
    assert found == [Portioned(moody, 2)]


def test_in_portions_it_is_the_same_for_any_batch() -> None:
    moody = Moody(16, 4096)
    model = net(moody)
    with in_portions([Portioned(moody, 2)]):
        eight, two = run(model, 8), model(torch.linspace(-1, 1, 64).view(8, 8)[2:4])
    assert torch.equal(eight[2:4], two)
    assert not torch.equal(run(model, 8), eight)


def test_afterwards_all_is_as_it_was() -> None:
    layer = nn.Linear(8, 16)
    own = layer.forward
    with pytest.raises(RuntimeError), in_portions([Portioned(layer, 2)]):
        assert layer.forward != own
        raise RuntimeError
    assert layer.forward == own
    assert "forward" not in vars(layer)


def test_where_most_layers_are_unsteady_batches_are_not_worth_it() -> None:
    model = nn.Sequential(Moody(8, 64), Moody(64, 64), Moody(64, 64))
    assert unsteady([model], lambda: run(model), 0.5) is None


def test_no_hook_is_left_behind() -> None:
    layer = nn.Linear(8, 16)

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        unsteady([layer], fail, 0.5)
    hooks: Any = vars(layer)["_forward_pre_hooks"]
    assert not hooks


@pytest.mark.parametrize("rows", [None, 3, 5, 7, 100])
def test_portions_are_put_together_again(rows: int | None) -> None:
    batch = torch.arange(14.0).view(7, 2)
    sizes: list[int] = []

    def product(part: Tensor) -> Tensor:
        sizes.append(len(part))
        return part * 2

    assert torch.equal(by_portions(product, batch, rows=rows), batch * 2)
    assert max(sizes) == min(rows or 7, 7)
