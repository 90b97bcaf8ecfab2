"""Hugging Face's image folder: train/, validation/ and test/, each with ID.png and a metadata.jsonl.

A row has `file_name`, `caption`, `objects` ({"bbox": [[x, y, width, height]], "category": [name]}, as the hub's
datasets for detection have them) and `limner`, the whole Item as JSON text, so that nothing is lost and no column's
type depends on what the first rows happen to hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from limner.dataset.folder import read_inside
from limner.dataset.imports import Names, clipped, imported, known_info, load_picture, split_named
from limner.dataset.items import MAX_LINE, Annotation, Dataset, Entry, Item, Split
from limner.dataset.rows import item_row, parse_item
from limner.turn import canonical
from limner.types import BadInput

METADATA = "metadata.jsonl"
_FOLDERS: Mapping[Split, str] = {"train": "train", "val": "validation", "test": "test"}


def write(root: Path, dataset: Dataset) -> tuple[int, int]:
    """Write the dataset; returns the number of items, and 0 for the rejects, which are left out."""
    files: dict[Split, BinaryIO] = {}
    count = 0
    with ExitStack() as stack:
        for item, data in dataset.entries:
            count += 1
            folder = root / _FOLDERS[item.split]
            if item.split not in files:
                folder.mkdir()
                files[item.split] = stack.enter_context((folder / METADATA).open("wb"))
            plain = replace(item, file=f"{item.id}{item.suffix}")
            (folder / plain.file).write_bytes(data)
            files[item.split].write(canonical(_row(plain)) + b"\n")
    return count, 0


def _row(item: Item) -> dict[str, Any]:
    boxes = [content.box for content in item.regions]
    objects = {
        "bbox": [[float(x0), float(y0), round(x1 - x0, 2), round(y1 - y0, 2)] for x0, y0, x1, y1 in boxes],
        "category": [content.label for content in item.regions],
    }
    own = item_row(item).decode().rstrip("\n")
    return {"file_name": item.file, "caption": item.caption, "objects": objects, "limner": own}


def folders(root: Path) -> list[Path]:
    """The folders of a dataset that have a metadata.jsonl, train first."""
    order = ("train", "val", "test")
    found = [path.parent for path in root.glob(f"*/{METADATA}")]
    return sorted(found, key=lambda path: (order.index(split_named(path.name)), path.name))


def read(root: Path) -> Dataset:
    """Open an image folder, Limner's or one with `objects` of its shape. Raises BadInput as its rows are reached."""
    return Dataset(known_info(root, root.name, _categories(root)), _entries(root), iter(()))


def _categories(root: Path) -> tuple[str, ...]:
    found = (name for folder in folders(root) for _, row in _rows(folder) for name in _objects(row)[1])
    return tuple(sorted(set(found)))


def _entries(root: Path) -> Iterator[Entry]:
    names = Names()
    for folder in folders(root):
        for where, row in _rows(folder):
            name = row.get("file_name")
            if not isinstance(name, str) or not name:
                raise BadInput(f"{where} has no file_name")
            if isinstance(row.get("limner"), str):
                item = parse_item(row["limner"], where)
                if item.file != name:
                    raise BadInput(f"{where}: its item is of {item.file}")
                yield item, read_inside(folder, name)
            else:
                yield _foreign(folder, name, row, names, where)


def _foreign(folder: Path, name: str, row: Mapping[str, Any], names: Names, where: str) -> Entry:
    data, width, height = load_picture(folder, name)
    boxes, labels = _objects(row)
    if len(boxes) != len(labels):
        raise BadInput(f"{where} has {len(boxes)} boxes and {len(labels)} categories")
    regions: list[Annotation] = []
    for (x, y, w, h), label in zip(boxes, labels, strict=True):
        if box := clipped((x, y, x + w, y + h), width, height):
            regions.append(Annotation(label, box))
    caption = next((row[key] for key in ("caption", "text") if isinstance(row.get(key), str)), "")
    item = imported(
        names.give(f"{folder.name}/{name}"),
        name,
        (width, height),
        caption=caption,
        split=split_named(folder.name),
        regions=tuple(regions),
    )
    return item, data


def _objects(row: Mapping[str, Any]) -> tuple[list[tuple[float, float, float, float]], list[str]]:
    """Boxes and names; ([], []) for a row without objects. Raises BadInput for other shapes."""
    objects: Any = row.get("objects") or {}
    try:
        boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in objects.get("bbox", [])]
        labels = [str(name) for name in objects.get("category", objects.get("categories", []))]
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInput("a row's objects are not {bbox, category}") from error
    return boxes, labels


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with (folder / METADATA).open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(2 * MAX_LINE), b""), 1):
            where = f"{folder.name}/{METADATA}:{number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadInput(f"{where} is not JSON") from error
            if not isinstance(row, dict):
                raise BadInput(f"{where} is no object")
            yield where, cast(dict[str, Any], row)
