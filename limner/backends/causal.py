"""Causal language models of transformers: from safetensors, or out of one GGUF file, as llama.cpp packs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limner.backends.hub import check_configs, check_weights, model_folder, not_loadable, quieten
from limner.backends.looking import load_tokenizer
from limner.types import ModelUnavailable

_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
_PACKED = ".gguf"


@dataclass(frozen=True, slots=True)
class Causal:
    """A model in the mode that its library loads it in, its tokenizer, and the folder that both came from."""

    model: Any
    tokenizer: Any
    folder: Path


def load_causal(source: str, *, dtype: torch.dtype | None = None, default: str = "") -> Causal:
    """Load a GGUF file, a folder, a hub id, or `embedded:`, which means `default`; code that comes with it never runs.

    A GGUF file, also one that is alone in its folder, is dequantised. `dtype` None takes the one it was saved in.
    Raises ModelUnavailable when it is missing, unsafe or pickled, no causal language model, or needs the package gguf.
    """
    path = Path(source).expanduser()
    if path.suffix == _PACKED:
        return _loaded(path.parent, path.name, dtype)
    folder = model_folder(source, files=_FILES, default=default)
    check_configs(folder)
    packed = list(folder.glob(f"*{_PACKED}"))
    if len(packed) == 1 and not any(folder.glob("*.safetensors")):
        return _loaded(folder, packed[0].name, dtype)
    check_weights(folder)
    return _loaded(folder, None, dtype)


def _loaded(folder: Path, packed: str | None, dtype: torch.dtype | None) -> Causal:
    quieten()
    from transformers import AutoModelForCausalLM

    untyped: Any = AutoModelForCausalLM
    safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    weights: dict[str, Any] = {"gguf_file": packed} if packed else {"use_safetensors": True}
    tokenizer = _packed_tokenizer(folder, packed, safely) if packed else load_tokenizer(folder)
    try:
        return Causal(untyped.from_pretrained(folder, dtype=dtype or "auto", **safely, **weights), tokenizer, folder)
    except Exception as error:  # whatever a malformed file makes the library raise
        raise not_loadable(folder / (packed or ""), error) from error


def _packed_tokenizer(folder: Path, packed: str, safely: Mapping[str, Any]) -> Any:
    from transformers import AutoTokenizer

    untyped: Any = AutoTokenizer
    try:
        return untyped.from_pretrained(folder, gguf_file=packed, **safely)
    except ImportError as error:
        raise ModelUnavailable(f"{packed} cannot be read without the package gguf", "pip install gguf") from error
    except Exception as error:  # as above
        raise not_loadable(folder / packed, error) from error
