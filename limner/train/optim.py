"""One optimizer for every recipe: Muon on matrices, AdamW on the rest, fp32 masters under half-precision weights.

Muon wants 2-D parameters, so a convolution (out, in, kh, kw) is trained as the matrix (out, in*kh*kw): its
master copy simply has that shape. The averaged weights (EMA) are kept beside the masters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from limner.train.muon import Muon
from limner.train.precision import trained_in

_LEAST_MATRIX_SIDE = 16
"""Thinner matrices (the first and last convolutions) gain nothing from orthogonal updates."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates and averaging. Muon's is per update of spectral norm 1, AdamW's as usual."""

    muon: float = 0.015
    adamw: float = 1.5e-3
    weight_decay: float = 0.01
    ema: float = 0.999


class MixedOptimizer:
    """Steps a set of named parameters through their fp32 masters.

    `embedding` in a name keeps a matrix away from Muon: its rows are looked up, not multiplied.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], rates: Rates) -> None:
        self.rates = rates
        self.parameters = {name: p for name, p in parameters if p.requires_grad}
        self.masters = {name: _master(p) for name, p in self.parameters.items()}
        self.averages = {name: master.detach().clone() for name, master in self.masters.items()}
        self.matrices = {name for name, master in self.masters.items() if _is_matrix(name, master)}
        muon = [m for name, m in self.masters.items() if name in self.matrices]
        others = [m for name, m in self.masters.items() if name not in self.matrices]
        self.muon = Muon(muon, lr=rates.muon, momentum=0.95, weight_decay=rates.weight_decay, dtype=trained_in())
        self.adamw = torch.optim.AdamW(others, lr=rates.adamw, betas=(0.9, 0.98), weight_decay=rates.weight_decay)
        self.steps = 0

    def step(self, factor: float) -> float:
        """One update with both rates scaled by `factor`; gradients are averaged over processes and cleared.

        Returns the norm of the whole gradient, before it is clipped to 1. A weight that has no gradient in any
        process is left as it is: a zero would still decay it, and move it along its momentum.
        """
        self._take_gradients()
        norm = nn.utils.clip_grad_norm_(self.masters.values(), 1.0)
        _advance(self.muon, factor * self.rates.muon)
        _advance(self.adamw, factor * self.rates.adamw)
        self.steps += 1
        self._publish()
        return float(norm)

    def _take_gradients(self) -> None:
        for name, parameter in self.parameters.items():
            self.masters[name].grad = None if parameter.grad is None else _flat(parameter.grad)
            parameter.grad = None
        if dist.is_initialized():
            _average_gradients(list(self.masters.values()))

    @torch.no_grad()
    def _publish(self) -> None:
        keep = min(self.rates.ema, (1 + self.steps) / (10 + self.steps))
        for name, master in self.masters.items():
            self.averages[name].lerp_(master, 1 - keep)
        self.load_masters()

    def load_average(self) -> None:
        """Put the averaged weights into the model; `load_masters` puts the raw ones back."""
        self._load(self.averages)

    def load_masters(self) -> None:
        """Put the raw weights back into the model."""
        self._load(self.masters)

    @torch.no_grad()
    def _load(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name].view_as(parameter))

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that an exact resume needs, by name; what is yielded is live, not copied."""
        for name, master in self.masters.items():
            yield f"master.{name}", master.detach()
            yield f"average.{name}", self.averages[name]
            for key, value in self._state(name).items():
                yield f"state.{key}.{name}", value

    def restore(self, saved: Mapping[str, Tensor], steps: int) -> None:
        """Take up the state that `tensors` gave; names not saved keep their fresh state."""
        self.steps = steps
        for name, master in self.masters.items():
            if f"master.{name}" in saved:
                master.data.copy_(saved[f"master.{name}"])
                self.averages[name].copy_(saved[f"average.{name}"])
                self._state(name).update(_state_of(saved, name))
        self.load_masters()

    def _state(self, name: str) -> dict[str, Tensor]:
        optimizer = self.muon if name in self.matrices else self.adamw
        return optimizer.state[self.masters[name]]


def _advance(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()  # pyright: ignore[reportUnknownMemberType]


def _average_gradients(masters: Sequence[nn.Parameter]) -> None:
    """The mean over all processes, in one message: many small ones cost more than the numbers in them.

    It begins with who has a gradient, so that all processes leave the same weights without one.
    """
    present = torch.tensor([float(master.grad is not None) for master in masters])
    gradients = [torch.zeros_like(m) if m.grad is None else m.grad for m in masters]
    message = torch.cat([present, *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(message)  # pyright: ignore[reportUnknownMemberType]
    message /= dist.get_world_size()
    present, *parts = torch.split(message, [len(masters), *(master.numel() for master in masters)])
    for master, share, part in zip(masters, present, parts, strict=True):
        master.grad = part.view_as(master) if share > 0 else None


def _state_of(saved: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    keys = ("momentum_buffer", "exp_avg", "exp_avg_sq", "step")
    return {key: saved[f"state.{key}.{name}"].clone() for key in keys if f"state.{key}.{name}" in saved}


def _is_matrix(name: str, master: Tensor) -> bool:
    return master.ndim == 2 and min(master.shape) >= _LEAST_MATRIX_SIDE and "embedding" not in name


def _master(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(_flat(parameter.detach()).clone())


def _flat(tensor: Tensor) -> Tensor:
    whole = tensor.float()
    return whole.reshape(whole.shape[0], -1) if whole.ndim > 2 else whole
