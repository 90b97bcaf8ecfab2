"""AdamW over named parameters: a warm-up, a cosine that really falls to 0, averaged gradients, a state that resumes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

BETAS = (0.9, 0.95)
_LONGEST_GRADIENT = 1.0
_KEYS = ("exp_avg", "exp_avg_sq", "step")


def cosine(spent: float, warm_up: float = 0.03) -> float:
    """The share of the rate when this share of the run is over: up in a line, then down half a cosine, to 0 at 1."""
    if spent < warm_up:
        return (spent + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (spent - warm_up) / (1 - warm_up))))


class Descent:
    """Steps parameters downwards. Biases and the weights of norms, which have one dimension, are not decayed.

    `quick` names beginnings of names and by how many times their rate is higher: what begins from nothing has a longer
    way than what was trained before.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        rate: float,
        weight_decay: float = 0.0,
        quick: Mapping[str, float] | None = None,
    ) -> None:
        self.rate = rate
        self.parameters = dict(named)
        quick = quick or {}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            times = next((times for start, times in quick.items() if name.startswith(start)), 1.0)
            groups.setdefault((times, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
        settings: Any = [{"params": p, "weight_decay": decay, "times": times} for (times, decay), p in groups.items()]
        self.adamw = torch.optim.AdamW(settings, lr=rate, betas=BETAS, eps=1e-8)
        self.steps = 0

    def step(self, spent: float, only: str = "") -> float:
        """One update at the rate for this share of the run; returns the norm of the gradient, which is cut to 1.

        `only` leaves alone what has another beginning to its name.
        """
        if dist.is_initialized():
            _average(list(self.parameters.values()))
        for name, parameter in self.parameters.items():
            parameter.grad = parameter.grad if name.startswith(only) else None
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), _LONGEST_GRADIENT)
        for group in self.adamw.param_groups:
            group["lr"] = self.rate * group["times"] * cosine(spent)
        self.adamw.step()  # pyright: ignore[reportUnknownMemberType]
        self.adamw.zero_grad()
        self.steps += 1
        return float(norm)

    def save(self, path: Path, note: Mapping[str, float]) -> None:
        """Write weights, the optimizer's state and a few numbers; renamed into place, never half-written."""
        tensors = {f"weight.{name}": p.detach().contiguous() for name, p in self.parameters.items()}
        for name, parameter in self.parameters.items():
            state: dict[str, Tensor] = self.adamw.state[parameter]
            tensors |= {f"{key}.{name}": state[key].contiguous() for key in _KEYS if key in state}
        numbers = {key: repr(float(value)) for key, value in {**note, "steps": self.steps}.items()}
        temporary = path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata=numbers)
        temporary.rename(path)

    def resume(self, path: Path) -> dict[str, float]:
        """Take up a saved state; returns the numbers that were saved with it, none where there is no state."""
        if not path.exists():
            return {}
        reader: Any = safe_open(path, "pt")
        with reader as file, torch.no_grad():
            names = file.keys()
            saved = {name: file.get_tensor(name) for name in names}
            note = {key: float(value) for key, value in file.metadata().items()}
            for name, parameter in self.parameters.items():
                parameter.copy_(saved[f"weight.{name}"])
                state = {key: saved[f"{key}.{name}"] for key in _KEYS if f"{key}.{name}" in saved}
                self.adamw.state[parameter] = {key: _placed(key, value, parameter) for key, value in state.items()}
        self.steps = int(note.pop("steps"))
        return note


def _placed(key: str, value: Tensor, parameter: Tensor) -> Tensor:
    return value if key == "step" else value.to(parameter.device)


def _average(parameters: list[nn.Parameter]) -> None:
    """The mean of the gradients over all processes, in one message."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    message = torch.cat([gradient.flatten().float() for gradient in gradients])
    dist.all_reduce(message)  # pyright: ignore[reportUnknownMemberType]
    message /= dist.get_world_size()
    parts = torch.split(message, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)
