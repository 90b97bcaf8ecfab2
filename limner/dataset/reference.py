"""COCO's own reference code, pycocotools, loaded only when it is needed: it judges our masks and reads others'."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from limner.image.files import MAX_PIXELS
from limner.types import BadInput, LimnerError

_LONGEST = 1e7
"""Pixels of all lines of a mask's polygons together."""

_Mask = npt.NDArray[np.bool_]


class Coco(Protocol):
    """What is used of pycocotools.coco.COCO."""

    dataset: dict[str, Any]
    anns: dict[int, dict[str, Any]]
    imgs: dict[int, dict[str, Any]]

    def createIndex(self) -> None:  # noqa: N802
        """Make `anns` and `imgs` from `dataset`."""
        ...

    def annToMask(self, ann: Mapping[str, Any]) -> npt.NDArray[np.uint8]:  # noqa: N802
        """An annotation's mask, (height, width), of 0 and 1."""
        ...


def reference_index(content: dict[str, Any] | Path) -> Coco:
    """pycocotools' index of a COCO file, or of what would stand in one. Raises whatever pycocotools raises."""
    coco_class, _ = _tools()
    with redirect_stdout(io.StringIO()):  # It announces each step.
        coco = cast(Coco, coco_class(str(content)) if isinstance(content, Path) else coco_class())
        if not isinstance(content, Path):
            coco.dataset = content
            coco.createIndex()
    return coco


def decoded(segmentation: Any, width: int, height: int) -> _Mask:
    """The mask of COCO's compressed runs or polygons, as pycocotools draws them. Raises BadInput for anything else."""
    _, tools = _tools()
    if not 0 < width * height <= MAX_PIXELS:
        raise BadInput(f"a mask of {width}x{height} pixels", f"at most {MAX_PIXELS} are read")
    try:
        if isinstance(segmentation, list):
            outlines = _outlines(cast(list[Any], segmentation))
            return tools.decode(tools.merge(tools.frPyObjects(outlines, height, width))).astype(bool)
        size, counts = segmentation["size"], str(segmentation["counts"]).encode("ascii")
        # It trusts the runs to fill the size, so they are counted before they are unpacked.
        if list(size) != [height, width] or sum(run_lengths(counts)) != width * height:
            raise ValueError("its size or its runs are wrong")
        return tools.decode({"size": [height, width], "counts": counts}).astype(bool)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise BadInput(f"a mask cannot be read: {error}") from error


def run_lengths(counts: bytes) -> list[int]:
    """The lengths in COCO's compressed string: five bits a character, each but the first three a difference.

    Raises ValueError for characters out of range, a string that breaks off, and negative lengths.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its runs are damaged")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift or any(length < 0 for length in lengths):
        raise ValueError("its runs are damaged")
    return lengths


def _outlines(polygons: Sequence[Any]) -> list[list[float]]:
    lists = [[float(value) for value in polygon] for polygon in polygons]
    # Lists of four would be taken for boxes.
    if not lists or any(len(one) < 6 or len(one) % 2 for one in lists):
        raise ValueError("a polygon wants three points or more")
    # It walks along every line in fifths of a pixel, inside the picture or not. NaN fails this too.
    points = [np.array(one).reshape(-1, 2) for one in lists]
    if not sum(np.abs(one - np.roll(one, 1, 0)).sum() + np.abs(one).max() for one in points) < _LONGEST:
        raise ValueError("a polygon reaches too far, or its points are no numbers")
    return lists


def _tools() -> tuple[Any, Any]:
    try:
        from pycocotools import mask  # pyright: ignore[reportMissingTypeStubs]
        from pycocotools.coco import COCO  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise LimnerError("COCO's reference code is not installed", "pip install pycocotools") from error
    return cast(Any, COCO), cast(Any, mask)
