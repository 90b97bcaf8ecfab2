"""Masks as text: COCO's uncompressed run-length encoding."""

from __future__ import annotations

from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from limner.image.files import MAX_PIXELS
from limner.types import BadInput


class Rle(TypedDict):
    """`size` is [height, width]; `counts` are run lengths down the columns, the first run being of zeros."""

    size: list[int]
    counts: list[int]


def to_rle(mask: npt.NDArray[np.bool_]) -> Rle:
    """Encode a boolean mask (height, width); a mask that starts with True has a first count of 0."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff(np.concatenate(([0], changes, [pixels.size]))).tolist()
    starts_set = pixels.size > 0 and bool(pixels[0])
    return {"size": list(mask.shape), "counts": [0, *counts] if starts_set else counts}


def from_rle(content: Any) -> npt.NDArray[np.bool_]:
    """Decode to a boolean mask (height, width).

    Raises BadInput for anything that is not such an object: other types (COCO's compressed strings too), runs
    that do not fill the size, more than 32 Mi pixels.
    """
    fields = cast(dict[str, Any], content) if isinstance(content, dict) else {}
    size, counts = _whole_numbers(fields.get("size")), _whole_numbers(fields.get("counts"))
    if len(size) != 2 or not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise BadInput("a mask's size must be [height, width]", f"of at most {MAX_PIXELS} pixels")
    if sum(counts) != size[0] * size[1]:
        raise BadInput(f"a mask's runs cover {sum(counts)} of {size[0]}x{size[1]} pixels")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")


def _whole_numbers(value: Any) -> list[int]:
    items = cast(list[Any], value) if isinstance(value, list) else [None]
    if any(type(item) is not int or item < 0 for item in items):
        raise BadInput("a mask needs `size` and `counts`, lists of whole numbers", "COCO's compressed form is not read")
    return cast(list[int], items)
