"""Items, rejects and limner.json as lines of JSON, checked and bounded; and what is wrong with an item in itself."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from limner.dataset.items import FORMAT, MAX_LINE, Annotation, Info, Item, Lineage, Reject
from limner.image.files import MAX_PIXELS
from limner.image.rle import from_rle
from limner.turn import canonical
from limner.types import BadInput, Box

_ITEM, _REJECT, _INFO, _LINEAGE = TypeAdapter(Item), TypeAdapter(Reject), TypeAdapter(Info), TypeAdapter(Lineage)
_T = TypeVar("_T")


def item_row(item: Item) -> bytes:
    """One line of JSON, always the same for the same item. Raises BadInput for one that could not be read again."""
    return _row(_ITEM, item, f"item {item.id[:80]!r}")


def reject_row(reject: Reject) -> bytes:
    """One line of JSON; raises like `item_row`."""
    return _row(_REJECT, reject, f"reject {reject.id[:80]!r}")


def info_row(info: Info) -> bytes:
    """limner.json's content; raises like `item_row`."""
    return _row(_INFO, info, "limner.json")


def lineage_values(lineage: Lineage) -> dict[str, Any]:
    """A lineage as JSON values."""
    return _LINEAGE.dump_python(lineage, mode="json")


def parse_item(row: bytes | str, where: str) -> Item:
    """Read a row; raises BadInput, naming `where`, for anything that is no item."""
    return _parsed(_ITEM, row, where)


def parse_reject(row: bytes | str, where: str) -> Reject:
    """Read a row of rejects; raises like `parse_item`."""
    return _parsed(_REJECT, row, where)


def parse_info(content: bytes | str, where: str) -> Info:
    """Read limner.json; raises like `parse_item`, and for a format that a newer Limner wrote."""
    info = _parsed(_INFO, content, where)
    if info.format != FORMAT:
        raise BadInput(f"{where} was written by a newer Limner (format {info.format})", "update Limner to read it")
    return info


def parse_lineage(values: Any, where: str) -> Lineage:
    """Read a lineage from JSON values; raises like `parse_item`."""
    return _parsed(_LINEAGE, canonical(values), where)


def _row(adapter: TypeAdapter[_T], value: _T, where: str) -> bytes:
    try:
        row = canonical(adapter.dump_python(value, mode="json", warnings=False))
    except ValueError as error:
        raise BadInput(f"{where} cannot be written: {error}") from error
    _parsed(adapter, row, where)
    return row + b"\n"


def _parsed(adapter: TypeAdapter[_T], row: bytes | str, where: str) -> _T:
    if len(row) > MAX_LINE:
        raise BadInput(f"{where} is longer than {MAX_LINE // 2**20} MiB")
    try:
        return adapter.validate_json(row)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise BadInput(f"{where} cannot be read: {place}: {first['msg']}") from error


def item_problems(item: Item) -> list[str]:
    """What is wrong with an item in itself: boxes and masks that do not fit its picture, names that contradict."""
    problems: list[str] = []
    if PurePosixPath(item.file).stem != item.id:
        problems.append(f"its file is called {item.file}")
    if item.width * item.height > MAX_PIXELS:
        problems.append(f"{item.width}x{item.height} pixels are more than {MAX_PIXELS}")
    if item.id in item.lineage.parents:
        problems.append("it is its own parent")
    for number, content in enumerate(item.regions):
        problems += [f"region {number} ({content.label}): {what}" for what in _region_problems(content, item)]
    return problems


def _region_problems(content: Annotation, item: Item) -> list[str]:
    problems = [] if inside(content.box, item.width, item.height) else [f"box {list(content.box)} is not inside"]
    if content.mask is None:
        return problems
    if content.mask["size"] != [item.height, item.width]:
        return [*problems, f"a mask of size {content.mask['size'][:4]}, not {[item.height, item.width]}"]
    try:
        empty = not from_rle(content.mask).any()
    except BadInput as error:
        return [*problems, str(error)]
    return [*problems, "its mask is empty"] if empty else problems


def inside(box: Box, width: int, height: int) -> bool:
    """Whether a box has an area and lies within a picture."""
    x0, y0, x1, y1 = box
    return all(map(math.isfinite, box)) and 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
