"""Changes of low rank that reach some rows of a batch only: DreamArtist's positive and negative adapters (4.3).

Classifier-free guidance runs both sides of a prompt as one batch. A layer that an adapter changes computes its own
output for all rows and then adds scale * up(down(input)) to the rows of the adapter's side, in training as in drawing.
Two passes with one adapter switched on each would do the same work more slowly, and in training they easily lose
one side's gradients (switching adapters off also switches off `requires_grad`).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.backends.portions import by_portions
from limner.concept import Side

Layout = tuple[Literal["positive", "negative"], ...]
"""Which side each equal part of a batch is of: ("negative", "positive") where a pipeline guides."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one layer for one side: `down` (rank, in) or (rank, in, kh, kw), `up` (out, rank)."""

    side: Side
    down: Tensor
    up: Tensor
    scale: float = 1.0


Changes = Mapping[str, Sequence[Change]]
"""By the path of a linear layer or convolution inside a module."""


@contextmanager
def changed(module: nn.Module, changes: Changes, layout: Layout, portion: int | None = None) -> Generator[None]:
    """Let `changes` act on `module` within the block; batches must be as `layout` says.

    `portion` rows of a side are taken at a time, all for None (see `limner.backends.portions`).
    Raises KeyError for a layer that the module does not have; a batch that cannot be cut so raises ValueError.
    """
    untyped: Any = module
    layers = dict(untyped.named_modules())
    with ExitStack() as stack:
        for path, found in changes.items():
            hook: Any = partial(_add, found, layout, portion)
            stack.callback(layers[path].register_forward_hook(hook).remove)
        yield


def _add(
    changes: Sequence[Change],
    layout: Layout,
    portion: int | None,
    layer: nn.Module,
    args: tuple[Tensor, ...],
    out: Tensor,
) -> Tensor:
    rows = args[0]
    if len(rows) % len(layout):
        raise ValueError(f"{len(rows)} rows cannot be cut into {len(layout)} sides")
    everywhere = [change for change in changes if change.side == "both"]
    if len(everywhere) == len(changes) and portion is None:
        return out + sum(_product(layer, change, rows) for change in everywhere)
    parts = zip(layout, rows.chunk(len(layout)), out.chunk(len(layout)), strict=True)
    return torch.cat(
        [
            _sum(layer, part, into, portion, [c for c in changes if c.side in (side, "both")])
            for side, part, into in parts
        ]
    )


def _sum(layer: nn.Module, rows: Tensor, out: Tensor, portion: int | None, changes: Sequence[Change]) -> Tensor:
    for change in changes:
        out = out + by_portions(partial(_product, layer, change), rows, rows=portion)
    return out


def _product(layer: nn.Module, change: Change, rows: Tensor) -> Tensor:
    down, up = change.down.to(rows.dtype), change.up.to(rows.dtype)
    if isinstance(layer, nn.Conv2d):
        kernel = down.view(len(down), -1, *layer.kernel_size)
        inner = F.conv2d(rows, kernel, None, layer.stride, layer.padding, layer.dilation)  # pyright: ignore[reportArgumentType]
        return F.conv2d(inner, up[..., None, None]) * change.scale
    return F.linear(F.linear(rows, down), up) * change.scale


def layers_named(module: nn.Module, endings: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The linear layers of a module whose path ends in one of `endings`: (outputs, inputs) by path."""
    untyped: Any = module
    named: list[tuple[str, nn.Module]] = list(untyped.named_modules())
    return {
        path: (layer.out_features, layer.in_features)
        for path, layer in named
        if isinstance(layer, nn.Linear) and any(path == end or path.endswith(f".{end}") for end in endings)
    }
