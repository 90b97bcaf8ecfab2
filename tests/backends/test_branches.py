"""Adapters on halves of a batch: the same numbers as two separate passes, forwards and backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from limner.backends.branches import Change, changed, layers_named
from limner.train.libraries import seed_torch


def change(side: Any, layer: nn.Module, seed: int, scale: float = 0.5) -> Change:
    weight: Any = layer.weight
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(3, weight[0].numel(), generator=generator).requires_grad_()
    return Change(side, down, torch.randn(len(weight), 3, generator=generator).requires_grad_(), scale)


@pytest.fixture
def module() -> Any:
    seed_torch(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))


def test_each_side_gets_its_own_change_and_no_other(module: Any) -> None:
    rows = torch.randn(4, 5)
    positive, negative = change("positive", module[0], 1), change("negative", module[0], 2)
    with changed(module, {"0": [positive, negative]}, ("negative", "positive")):
        both = module(rows)
    for one, part in ((negative, slice(0, 2)), (positive, slice(2, 4))):
        merged = module[0].weight + one.scale * one.up @ one.down
        wanted = module[2](torch.relu(rows[part] @ merged.T + module[0].bias))
        assert torch.allclose(both[part], wanted, atol=1e-6)


def test_afterwards_the_module_is_as_it_was_whatever_happened(module: Any) -> None:
    rows = torch.randn(2, 5)
    before = module(rows)
    with pytest.raises(ZeroDivisionError), changed(module, {"0": [change("both", module[0], 1)]}, ("positive",)):
        assert not torch.allclose(module(rows), before)
        raise ZeroDivisionError
    assert torch.equal(module(rows), before)


def test_what_is_both_sides_is_the_whole_model_s(module: Any) -> None:
    rows, everywhere = torch.randn(4, 5), change("both", module[2], 3)
    with changed(module, {"2": [everywhere]}, ("negative", "positive")):
        mixed = module(rows)
    with changed(module, {"2": [everywhere]}, ("positive",)):
        assert torch.allclose(mixed, module(rows), atol=1e-6)


def test_several_changes_of_a_layer_add_up(module: Any) -> None:
    rows = torch.randn(2, 5)
    found = [change("positive", module[0], 1), change("both", module[0], 2), change("negative", module[0], 3)]
    with changed(module, {"0": found}, ("positive",)):
        together = module(rows)
    weight = module[0].weight + sum(c.scale * c.up @ c.down for c in found[:2])
    assert torch.allclose(together, module[2](torch.relu(rows @ weight.T + module[0].bias)), atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 2, 1)])
def test_convolutions_change_as_if_the_product_were_in_their_kernel(kernel: int, stride: int, padding: int) -> None:
    seed_torch(0)
    module: Any = nn.Sequential(nn.Conv2d(3, 6, kernel, stride, padding))
    layer, one = module[0], change("positive", module[0], 1)
    rows = torch.randn(2, 3, 8, 8)
    with changed(module, {"0": [one]}, ("positive",)):
        found = module(rows)
    merged = layer.weight + one.scale * (one.up @ one.down).view_as(layer.weight)
    wanted = nn.functional.conv2d(rows, merged, layer.bias, layer.stride, layer.padding)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_batch_that_cannot_be_cut_is_refused(module: Any) -> None:
    sided = changed(module, {"0": [change("positive", module[0], 1)]}, ("negative", "positive"))
    with sided, pytest.raises(ValueError, match="3 rows"):
        module(torch.randn(3, 5))


def test_an_unknown_layer_is_refused_and_nothing_stays(module: Any) -> None:
    rows = torch.randn(2, 5)
    before = module(rows)
    with pytest.raises(KeyError), changed(module, {"0": [change("both", module[0], 1)], "9": []}, ("positive",)):
        pass
    assert torch.equal(module(rows), before)


def test_layers_are_found_by_the_end_of_their_path() -> None:
    module = nn.ModuleDict(
        {"attn": nn.ModuleDict({"to_k": nn.Linear(4, 6), "not_to_k": nn.Linear(4, 6)}), "to_k": nn.Linear(2, 3)}
    )
    assert layers_named(module, ["to_k"]) == {"attn.to_k": (6, 4), "to_k": (3, 2)}
