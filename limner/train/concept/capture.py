"""From what was trained to a Concept, and from a lesson's state to disk and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from limner.concept import About, Array, Concept, Factors, Side
from limner.train.concept.student import Student

STATE = "state.safetensors"


def capture(student: Student, values: Mapping[str, Tensor], about: About, preview: bytes = b"") -> Concept:
    """The concept whose trained numbers are `values`, by the names that `Student.named` gives."""
    words: dict[Side, dict[str, Array]] = {}
    for name, vectors in student.words.items():
        side, _, part = name.partition(".")
        words.setdefault("negative" if side == "negative" else "positive", {})[part] = _array(
            values.get(f"words.{name}", vectors)
        )
    adapters: dict[Side, dict[str, Factors]] = {}
    for part, layers in student.factors.items():
        for path, changes in layers.items():
            for change in changes:
                name = f"adapters.{change.side}.{part}.{path}"
                pair = _array(values[f"{name}.down"]), _array(values[f"{name}.up"])
                adapters.setdefault(change.side, {})[f"{part}.{path}"] = Factors(*pair, scale=change.scale)
    whole = {
        f"unet.{name}": _array(values[f"whole.{name}"].float() - before.float())
        for name, before in student.originals.items()
    }
    return Concept(student.options.name, dict(words), dict(adapters), whole, about, preview)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().float().cpu().numpy().copy()


def save_state(folder: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write a lesson's whole state, renamed into place so that a kill leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(held, folder / "state.tmp", metadata={"note": json.dumps(note)})
    (folder / "state.tmp").replace(folder / STATE)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The state that `save_state` wrote last, or None where there is none."""
    if not (folder / STATE).is_file():
        return None
    reader: Any = safe_open(folder / STATE, "pt")
    with reader as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        note: dict[str, Any] = json.loads(file.metadata()["note"])
    return tensors, note


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[str, Tensor], saved: Mapping[str, Tensor]
) -> None:
    """Give AdamW back its moments; `names` are the trained tensors by name."""
    for name, parameter in names.items():
        found = {
            key: saved[f"adam.{key}.{name}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"adam.{key}.{name}" in saved
        }
        if found:
            optimizer.state[parameter] = {
                key: value.clone() if key == "step" else value.to(parameter.device, parameter.dtype).clone()
                for key, value in found.items()
            }


def optimizer_state(optimizer: torch.optim.Optimizer, names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AdamW's moments as flat tensors by name."""
    return {
        f"adam.{key}.{name}": value
        for name, parameter in names.items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }
