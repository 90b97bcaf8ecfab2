"""Layers that take their batch in portions, so that a row's bits do not depend on how many others there are.

Libraries of kernels choose by the number of rows how they cut a product up, and with it the order in which they add.
Where the orders differ, one value in ten thousand has another last bit, which a few steps later is another picture: too
rare for one step of one picture to meet it. So each layer is tried by itself, on many random numbers, and a layer that
is not steady is given its rows a few at a time, always as many.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

VALUES = 2**18
"""So many outputs of a layer are compared; of one that is not steady, dozens differ among them."""

_NUMBERS = 2**16 + 1
"""Random numbers that batches are made of, again and again: an odd number, so that no two rows are the same."""

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Portioned:
    """A layer, and how many rows it is given at a time."""

    layer: nn.Module
    rows: int


@torch.no_grad()
def unsteady(models: Iterable[nn.Module], run: Callable[[], object], share: float) -> list[Portioned] | None:
    """The matrix products that give a row other bits in the batches of `run` than in batches of `share` of their size.

    Those are the linear layers and the convolutions of single pixels. Larger convolutions go through each picture by
    itself; a run has so many values of them that no trial is needed to see what is wrong with one.
    None where most of those that `run` reaches do: then nothing would be gained by batches.
    """
    shapes, numbers = _shapes(models, run), torch.randn(_NUMBERS, generator=torch.Generator().manual_seed(0))
    found = [
        Portioned(layer, rows)
        for layer, shape in shapes.items()
        if (rows := round(shape[0] * share)) and not _is_steady(layer, shape, rows, numbers)
    ]
    return found if 2 * len(found) <= len(shapes) else None


def to_names(layers: Sequence[Portioned], models: Mapping[str, nn.Module]) -> list[tuple[str, int]]:
    """The layers by their names in the models, with their rows: what `from_names` takes."""
    whole: Any = nn.ModuleDict(models)
    names: dict[nn.Module, str] = {layer: path for path, layer in whole.named_modules()}
    return [(names[each.layer], each.rows) for each in layers]


def from_names(named: Sequence[tuple[str, int]], models: Mapping[str, nn.Module]) -> list[Portioned]:
    """The layers of those names. Raises AttributeError, TypeError or ValueError where they are none of the models."""
    whole = nn.ModuleDict(models)
    return [Portioned(whole.get_submodule(name), int(rows)) for name, rows in named]


@contextmanager
def in_portions(layers: Sequence[Portioned]) -> Generator[None]:
    """Let these layers take so many rows of their batch at a time within the block."""
    before = [vars(each.layer).get("forward") for each in layers]
    for each in layers:
        each.layer.forward = partial(by_portions, each.layer.forward, rows=each.rows)
    try:
        yield
    finally:
        for each, own in zip(layers, before, strict=True):
            if own is None:
                del each.layer.forward  # the class's own is seen again
            else:
                each.layer.forward = own


def by_portions(product: Product, batch: Tensor, *, rows: int | None) -> Tensor:
    """What `product` makes of a batch (n, ...), so many rows at a time; all at once for None."""
    if rows is None or len(batch) <= rows:
        return product(batch)
    return torch.cat([product(part) for part in torch.split(batch, rows)])


def _shapes(models: Iterable[nn.Module], run: Callable[[], object]) -> dict[nn.Module, torch.Size]:
    """The shape of the batch that each matrix product last had in a run."""
    shapes: dict[nn.Module, torch.Size] = {}

    def note(layer: nn.Module, args: tuple[Any, ...]) -> None:
        shapes[layer] = args[0].shape

    layers = [layer for model in models for layer in model.modules() if _is_product(layer)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def _is_product(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))


def _is_steady(layer: nn.Module, shape: torch.Size, rows: int, numbers: Tensor) -> bool:
    weight: Tensor = next(layer.parameters())
    compared = 0
    while compared < VALUES:
        places = torch.arange(compared, compared + shape.numel()) % len(numbers)
        batch = numbers[places].view(shape).to(weight)
        whole = layer(batch)
        if not torch.equal(whole, by_portions(layer, batch, rows=rows)):
            return False
        compared += whole.numel()
    return True
