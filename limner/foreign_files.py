"""What lies in the files of other programs, in one form: tensors by their names there, with an alpha beside each.

Kohya's files have their alphas among the tensors. PEFT keeps them in `adapter_config.json` beside the file, and
diffusers keeps the same in the file's metadata; forgetting them draws an adapter too strongly or too weakly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from limner.concept import Array
from limner.module_names import PARTS
from limner.tensorfile import read_tensors
from limner.types import BadInput

PEFT_WEIGHTS, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
MAX_CONFIG_BYTES = 2**20
PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_DIFFUSERS_CONFIG = "lora_adapter_metadata"
_WEIGHT = re.compile(
    r"(?P<stem>.{1,300}?)(?:\.lora_(?P<peft>A|B)\.weight|\.lora_(?P<kohya>down|up)\.weight"
    r"|[._]lora(?:_linear_layer)?\.(?P<old>down|up)\.weight)"
)
_TABLE: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_Number = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e6)]
Unpickle = Callable[[Path], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Table:
    """The content of one file. `label` is its name without endings («gizmo-neg»), `part` what it is about, if known."""

    label: str
    tensors: Mapping[str, Array]
    part: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class _Config:
    """The fields of a LoraConfig that change what its factors mean."""

    lora_alpha: _Number | None = None
    alpha_pattern: Mapping[str, _Number] = field(default_factory=dict[str, float])
    use_rslora: bool = False
    use_dora: bool = False


_CONFIG = TypeAdapter(_Config)


def weight_of(key: str) -> tuple[str, Literal["down", "up"]] | None:
    """The module that a tensor of an adapter belongs to, as the file calls it, and which factor it is."""
    if not (match := _WEIGHT.fullmatch(key)):
        return None
    down = "down" in (match["kohya"], match["old"]) or match["peft"] == "A"
    return match["stem"], "down" if down else "up"


def read_table(path: Path, unpickle: Unpickle | None = None) -> Table:
    """Read a safetensors file, or with `unpickle` the vectors of a pickled one.

    Raises BadInput, naming the file, for pickled files without `unpickle` and for what cannot be read.
    """
    if path.suffix.lower() in PICKLED:
        return _pickled(path, unpickle)
    try:
        tensors, metadata = read_tensors(path)
        inside = path.name == PEFT_WEIGHTS and path.parent.name in PARTS
        table = Table(_label(path), tensors, path.parent.name if inside else "", metadata)
        return replace(table, tensors=dict(_alphas(path, table)) | tensors)
    except BadInput as error:
        raise BadInput(f"cannot take over {path}: {error.message}", error.hint) from error


def _pickled(path: Path, unpickle: Unpickle | None) -> Table:
    if unpickle is None:
        raise BadInput(f"{path} is a pickled file, which can run code", "if you trust it, add --unsafe-load")
    return Table(path.stem, {"emb_params": embedding_from_table(unpickle(path))})


def embedding_from_table(table: Mapping[str, object]) -> Array:
    """The vectors (n, dim) in a table out of a pickled file.

    A1111's is {"string_to_param": {"*": vectors}}, diffusers' {token: vectors}. Raises BadInput for any other.
    """
    inner = table.get("string_to_param", table)
    values = list(cast(Mapping[str, object], inner).values()) if isinstance(inner, Mapping) else []
    try:
        vectors = np.atleast_2d(np.asarray(values[0] if len(values) == 1 else None, np.float32))
    except (TypeError, ValueError) as error:
        raise BadInput("the pickled file has no vectors of one token") from error
    if vectors.ndim != 2 or vectors.shape[1] < 2 or not np.isfinite(vectors).all():
        raise BadInput("the pickled file has no vectors of one token", "string_to_param or one token is read")
    return vectors


def _label(path: Path) -> str:
    if path.name == PEFT_WEIGHTS:
        return (path.parent.parent if path.parent.name in PARTS else path.parent).name
    return path.name.removesuffix(".safetensors").removesuffix(".lora")


def _alphas(path: Path, table: Table) -> Iterator[tuple[str, Array]]:
    """What configs say of each module, as the tensor that kohya's files have for it."""
    downs = {key: found[0] for key in table.tensors if (found := weight_of(key)) and found[1] == "down"}
    configs = _configs(path, table)
    for key, stem in downs.items():
        plain = stem.removeprefix("base_model.model.")
        part = plain.partition(".")[0]
        if config := configs.get("") or configs.get(part):
            module = plain.removeprefix(f"{part}.") if "" not in configs else plain
            alpha = _alpha(config, module, table.tensors[key])
            if alpha is not None:
                yield f"{stem}.alpha", np.asarray(alpha, np.float32)


def _configs(path: Path, table: Table) -> dict[str, _Config]:
    """The configs that come with a file, by the part that they are about, or "" for all of the file."""
    beside = path.with_name(PEFT_CONFIG)
    if path.name == PEFT_WEIGHTS and beside.is_file():
        return {"": _config(_json(_read(beside)))}
    told: dict[str, dict[str, Any]] = {}
    for key, value in _json(table.metadata.get(_DIFFUSERS_CONFIG, "{}")).items():
        part, _, name = key.partition(".")
        told.setdefault(part, {})[name] = value
    return {part: _config(values) for part, values in told.items() if part in PARTS}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise BadInput(f"{path.name} is too large")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInput(f"{path.name} cannot be read") from error


def _json(text: str) -> dict[str, Any]:
    try:
        return _TABLE.validate_json(text)
    except ValidationError as error:
        raise BadInput("its config is not a JSON object") from error


def _config(values: Mapping[str, Any]) -> _Config:
    try:
        config = _CONFIG.validate_python({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].lower()
        raise BadInput(f"its config cannot be read: {reason}") from error
    if config.use_dora:
        raise BadInput("it is a DoRA", "merge it into plain factors first")
    if any(not re.fullmatch(r"[\w.]+", key) for key in config.alpha_pattern):
        raise BadInput("its alpha_pattern holds expressions, which are not read")
    return config


def _alpha(config: _Config, module: str, down: Array) -> float | None:
    """Alpha so that alpha / rank is the scale that PEFT takes (rsLoRA divides by the root of the rank)."""
    matching = (alpha for key, alpha in config.alpha_pattern.items() if f".{module}".endswith(f".{key}"))
    alpha = next(matching, config.lora_alpha)
    return alpha if alpha is None or not config.use_rslora else alpha * math.sqrt(len(np.atleast_1d(down)))
