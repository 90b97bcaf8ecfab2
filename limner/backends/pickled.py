"""Textual inversion in pickled files, `.pt` and `.bin`, as AUTOMATIC1111 and old diffusers keep it.

A pickle can run any program when it is opened. Limner opens one only when it is told to, and then with a reader that
builds tensors and plain containers and nothing else.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from limner.concept import Array
from limner.image.files import write_whole
from limner.types import BadInput

MAX_BYTES = 64 * 2**20
_ANY_TOKEN = 265
"""The id of «*» in CLIP's vocabulary, for which AUTOMATIC1111 stores the vectors."""


def read_embedding(path: Path, *, allow: bool) -> dict[str, Any]:
    """The dictionary in a pickled file, with float32 arrays for tensors; see `foreign_files.embedding_from_table`.

    Raises BadInput unless `allow`ed, for files over 64 MiB (unpacked as well), and for any that holds something
    other than tensors, numbers, texts, lists and dictionaries; nothing in it is run.
    """
    if not allow:
        raise BadInput(f"{path} is a pickled file, which can run code", "if you trust it, add --unsafe-load")
    content = _read(path)
    try:
        table = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file makes the reader trip over anything
        raise BadInput(f"{path} holds more than tensors, or is damaged", "ask for a .safetensors file") from error
    if not isinstance(table, dict):
        raise BadInput(f"{path} is not an embedding", "a table of tokens or of string_to_param is read")
    return cast(dict[str, Any], _plain(cast(object, table)))


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput(f"{path} is damaged") from error
    if size > MAX_BYTES:
        raise BadInput(f"{path} is larger than {MAX_BYTES // 2**20} MiB", "an embedding is far smaller")
    return content


def _plain(value: object, depth: int = 0) -> object:
    """Tensors as float32 arrays, in dictionaries down to the depth that an embedding has."""
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_complex() or value.is_quantized:
            raise BadInput("an embedding with tensors of an unusual kind is not read")
        return value.detach().float().numpy().copy()
    if isinstance(value, Mapping) and depth < 4:
        return {str(key): _plain(each, depth + 1) for key, each in cast(Mapping[Any, object], value).items()}
    return cast(object, value)


def write_embedding(path: Path, array: Array, name: str, step: int, base: str) -> None:
    """Write vectors (n, dim) as AUTOMATIC1111's `.pt`, whole or not at all.

    `step` is how long was learned and `base` the model's name. Raises BadInput when the folder cannot be written to.
    """
    table = {
        "string_to_token": {"*": _ANY_TOKEN},
        "string_to_param": {"*": torch.tensor(np.asarray(array, np.float32))},
        "name": name,
        "step": step,
        "sd_checkpoint": None,
        "sd_checkpoint_name": base or None,
    }
    file = io.BytesIO()
    torch.save(table, file)
    write_whole(path, file.getvalue())
