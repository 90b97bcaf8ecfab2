"""How a concept looks in the files of other programs, as names and bytes.

The programs' own loaders decide the details: diffusers refuses `.alpha` beside PEFT's names, so that there the scale is
multiplied into the upper factor, it reads a text encoder's adapters by its older names only, and of several alphas in
one of kohya's files it applies some to the wrong modules.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limner.concept import Array, Concept, Factors, Side
from limner.concept_file import modelspec
from limner.foreign_files import PEFT_CONFIG, PEFT_WEIGHTS
from limner.module_names import PARTS, deeper, kohya_name
from limner.tensorfile import encode

Export = Literal["a1111", "diffusers", "kohya", "peft"]
SDXL_KEYS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
_SUFFIX: dict[Side, str] = {"positive": "", "negative": "-neg", "both": "-both"}


def contents(concept: Concept, form: Export) -> Iterator[tuple[str, bytes]]:
    """The files of a form, by their paths in the folder that they go to; see `concept_formats.export`."""
    place = "embeddings/" if form == "kohya" else ""
    for side, words in concept.words.items():
        if words:
            name = concept.name + _SUFFIX[side]
            yield f"{place}{name}.safetensors", _embedding(concept, words, name, form in ("a1111", "kohya"))
    for side, table in concept.adapters.items() if form != "a1111" else ():
        # A plain LoRA, which has no sides, is called like the concept.
        plain = side == "both" and not concept.adapters.get("positive")
        name = concept.name + ("" if plain else _SUFFIX[side])
        if table:
            yield from _adapter(concept, table, name, form)


def _adapter(concept: Concept, table: Mapping[str, Factors], name: str, form: Export) -> Iterator[tuple[str, bytes]]:
    if form == "peft":
        yield from _peft(concept, table, name)
    else:
        card = modelspec(concept, name, "", adapter=True)
        if form == "kohya":
            yield f"Lora/{name}.safetensors", encode(_kohya(concept, table), card | _training(concept, table, name))
        else:
            yield f"{name}.lora.safetensors", encode(_diffusers(table), card)


def _embedding(concept: Concept, words: Mapping[str, Array], name: str, by_file_name: bool) -> bytes:
    said = name if by_file_name else f"<{name}>"
    negative = name.endswith(_SUFFIX["negative"])
    where = f"{said} in the {'negative ' if negative else ''}prompt"
    if concept.about.family == "sdxl" or "text_encoder" not in words:
        tensors = {key: words[encoder] for key, encoder in SDXL_KEYS.items() if encoder in words}
    else:
        tensors = {"emb_params" if by_file_name else said: words["text_encoder"]}
    card = modelspec(concept, name, said, negative=negative, hint=where)
    return encode({key: vectors.astype(np.float32) for key, vectors in tensors.items()}, card)


def _small(values: Array) -> npt.NDArray[Any]:
    """In half precision where nothing is lost by it, as with all that comes out of a concept's file."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half, values) else values.astype(np.float32)


def _upper(factors: Factors) -> Array:
    """`up`, for a convolution with the 1 x 1 kernel that it has elsewhere."""
    return factors.up[..., None, None] if factors.down.ndim == 4 else factors.up


def _kohya(concept: Concept, table: Mapping[str, Factors]) -> dict[str, npt.NDArray[Any]]:
    """One alpha for all modules, what differs from it multiplied into `up`: diffusers mixes up several."""
    common = _common_alpha(table)
    tensors: dict[str, npt.NDArray[Any]] = {}
    for path, factors in table.items():
        stem = kohya_name(path, concept.about.family)
        ratio = np.float32(factors.scale * len(factors.down) / common)
        tensors[f"{stem}.lora_down.weight"] = _small(factors.down)
        tensors[f"{stem}.lora_up.weight"] = _small(_upper(factors) * ratio)
        tensors[f"{stem}.alpha"] = np.asarray(common, np.float32)
    return tensors


def _common_alpha(table: Mapping[str, Factors]) -> float:
    alphas = Counter(factors.scale * len(factors.down) for factors in table.values() if factors.scale > 0)
    return alphas.most_common(1)[0][0] if alphas else 1.0


def _training(concept: Concept, table: Mapping[str, Factors], name: str) -> dict[str, str]:
    """The few of kohya's `ss_` keys that programs show or choose by."""
    ranks = {len(factors.down) for factors in table.values()}
    return {
        "ss_base_model_version": {"sd": "sd_v1", "sdxl": "sdxl_base_v1-0"}[concept.about.family],
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(ranks.pop()) if len(ranks) == 1 else "Dynamic",
        "ss_network_alpha": f"{_common_alpha(table):g}",
        "ss_output_name": name,
        "ss_sd_model_name": concept.about.base,
    }


def _diffusers(table: Mapping[str, Factors]) -> dict[str, npt.NDArray[Any]]:
    tensors: dict[str, npt.NDArray[Any]] = {}
    for path, factors in table.items():
        part, _, rest = path.partition(".")
        # Diffusers converts text encoders from its older names, and cannot tell by PEFT's what it has before it.
        stem, lower, upper = (f"{part}.{deeper(rest)}.lora_linear_layer", "down", "up")
        if part == "unet":
            stem, lower, upper = path, "lora_A", "lora_B"
        tensors[f"{stem}.{lower}.weight"] = _small(factors.down)
        tensors[f"{stem}.{upper}.weight"] = _small(_upper(factors) * np.float32(factors.scale))
    return tensors


def _peft(concept: Concept, table: Mapping[str, Factors], name: str) -> Iterator[tuple[str, bytes]]:
    for part in PARTS:
        own = {path.removeprefix(f"{part}."): each for path, each in table.items() if path.startswith(f"{part}.")}
        tensors: dict[str, npt.NDArray[Any]] = {}
        for path, factors in own.items():
            tensors[f"base_model.model.{path}.lora_A.weight"] = _small(factors.down)
            tensors[f"base_model.model.{path}.lora_B.weight"] = _small(_upper(factors))
        if own:
            yield f"{name}/{part}/{PEFT_WEIGHTS}", encode(tensors, {"format": "pt"})
            yield f"{name}/{part}/{PEFT_CONFIG}", json.dumps(_peft_config(concept, own), indent=2).encode()


def _peft_config(concept: Concept, table: Mapping[str, Factors]) -> dict[str, Any]:
    ranks = {path: len(factors.down) for path, factors in table.items()}
    alphas = {path: factors.scale * len(factors.down) for path, factors in table.items()}
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": concept.about.base,
        "target_modules": sorted(table),
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {path: each for path, each in ranks.items() if each != rank},
        "alpha_pattern": {path: each for path, each in alphas.items() if each != alpha},
        "bias": "none",
        "inference_mode": True,
    }
