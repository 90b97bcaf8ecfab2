"""Safetensors files: read without trust, and written so that the same content always gives the same bytes.

The library's writer orders metadata anew in every run, and its numpy reader knows no bfloat16, in which many
adapters are kept.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from limner.types import BadInput

MAX_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 4 * 2**20
_LENGTH = struct.Struct("<Q")
_KINDS: dict[str, npt.DTypeLike] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
_NAMES = {np.dtype(kind): name for name, kind in _KINDS.items()}
_Extent = Annotated[int, Field(ge=1, le=2**40)]
_Offset = Annotated[int, Field(ge=0, le=2**40)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor as a header describes it; offsets are bytes after the header, the second exclusive."""

    dtype: Literal["F64", "F32", "F16", "BF16", "I64", "I32"]
    shape: Annotated[tuple[_Extent, ...], Field(max_length=8)]
    data_offsets: tuple[_Offset, _Offset]

    @property
    def length(self) -> int:
        """Bytes that shape and dtype ask for."""
        return math.prod(self.shape) * np.dtype(_KINDS[self.dtype]).itemsize


@dataclass(frozen=True, slots=True)
class Header:
    """What is at the beginning of a file, whose tensors begin at byte `start`."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    start: int


_HEADER: TypeAdapter[dict[str, Entry | dict[str, str]]] = TypeAdapter(dict[str, Entry | dict[str, str]])


def read_header(path: Path) -> Header:
    """The checked header: tensors lie side by side, none overlaps, and together they fill the file.

    Raises BadInput, whose message is a reason without the file's name, for files over 4 GiB, headers over 4 MiB,
    types that are not floats or integers, empty tensors and whatever else is not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            return _header(file, path.stat().st_size)
    except OSError as error:
        raise BadInput(f"it cannot be read ({error.strerror})") from error


def read_tensors(path: Path) -> tuple[dict[str, npt.NDArray[np.float32]], Mapping[str, str]]:
    """All tensors as float32, and the metadata; raises like `read_header`."""
    try:
        with path.open("rb") as file:
            header = _header(file, path.stat().st_size)
            return {name: _tensor(file, header.start, entry) for name, entry in header.entries.items()}, header.metadata
    except OSError as error:
        raise BadInput(f"it cannot be read ({error.strerror})") from error


def _header(file: BinaryIO, size: int) -> Header:
    prefix = file.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        raise BadInput("it is not a safetensors file")
    start = _LENGTH.size + _LENGTH.unpack(prefix)[0]
    if size > MAX_BYTES or start > min(size, MAX_HEADER_BYTES):
        raise BadInput("it is not a safetensors file, or too large, or cut short")
    try:
        header = _HEADER.validate_json(file.read(start - _LENGTH.size), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{str(first['loc'][0])[:80]!r}: " if first["loc"] else ""
        raise BadInput(f"its header cannot be read: {where}{first['msg'].lower()}") from error
    metadata = header.pop("__metadata__", {})
    entries = {name: entry for name, entry in header.items() if isinstance(entry, Entry)}
    if isinstance(metadata, Entry) or len(entries) < len(header):
        raise BadInput("its header describes something other than tensors")
    _check_layout(entries, size - start)
    return Header(entries, metadata, start)


def _check_layout(entries: Mapping[str, Entry], available: int) -> None:
    """Without this a short file could claim the same bytes for thousands of large tensors."""
    spans = sorted(entry.data_offsets for entry in entries.values())
    wrong = any(entry.data_offsets[1] - entry.data_offsets[0] != entry.length for entry in entries.values())
    gaps = any(before[1] != after[0] for before, after in pairwise([(0, 0), *spans, (available, available)]))
    if wrong or gaps:
        raise BadInput("it is cut short, or its tensors do not lie where its header says")


def _tensor(file: BinaryIO, start: int, entry: Entry) -> npt.NDArray[np.float32]:
    file.seek(start + entry.data_offsets[0])
    content = file.read(entry.length)
    if len(content) < entry.length:
        raise BadInput("it is cut short")
    stored = np.frombuffer(content, _KINDS[entry.dtype]).reshape(entry.shape)
    if entry.dtype == "BF16":  # the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return stored.astype(np.float32)


def encode(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The file with these tensors (float16, float32 or float64), as bytes that depend on the content alone."""
    # Wider types first, as the library lays them out: then each tensor is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].nbytes
        kind = _NAMES[tensors[name].dtype]
        header[name] = {"dtype": kind, "shape": tensors[name].shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([_LENGTH.pack(len(text)), text, *(tensors[name].tobytes() for name in names)])
