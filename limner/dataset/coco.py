"""COCO: annotations/instances_SPLIT.json and captions_SPLIT.json beside SPLIT/ID.png.

Boxes are [x, y, width, height] in pixels here and nowhere else; masks are uncompressed runs, which pycocotools takes.
Image ids count the pictures from 1 and annotation ids the regions, over all splits in the dataset's order; category ids
are the classes' places from 1. So ids are the same each time, and a dataset that grows keeps those it has.

Beside COCO's own keys an image carries its `lineage` and an annotation its `score`; other programs pass over them.
Files are built as the pictures pass, so memory does not grow with the dataset.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from limner.dataset.items import Annotation, Dataset, Info, Item, Split
from limner.dataset.rows import lineage_values
from limner.image.rle import from_rle
from limner.turn import canonical
from limner.types import BadInput

ANNOTATIONS = "annotations"


@dataclass(slots=True)
class _Part:
    """One JSON list in the making."""

    path: Path
    file: BinaryIO
    rows: int = 0

    def add(self, value: Any) -> None:
        self.file.write((b",\n" if self.rows else b"\n") + canonical(value))
        self.rows += 1


_Parts = dict[str, _Part]


def write(root: Path, dataset: Dataset) -> tuple[int, int]:
    """Write the dataset; returns the number of items, and 0 for the rejects, which COCO has no place for.

    Raises BadInput for a label that is not among the classes.
    """
    numbers = category_ids(dataset.info.classes)
    folder = root / ANNOTATIONS
    folder.mkdir()
    parts: dict[Split, _Parts] = {"train": _begin(folder, "train")}
    count = regions = 0
    try:
        for item, data in dataset.entries:
            count += 1
            if item.split not in parts:
                parts[item.split] = _begin(folder, item.split)
            (root / item.split).mkdir(exist_ok=True)
            (root / item.split / _file_name(item)).write_bytes(data)
            _add(parts[item.split], item, count, regions, numbers)
            regions += len(item.regions)
        for split, three in parts.items():
            _finish(three, folder, split, dataset.info)
    finally:
        for part in (part for three in parts.values() for part in three.values()):
            part.file.close()
            part.path.unlink(missing_ok=True)
    return count, 0


def _begin(folder: Path, split: Split) -> _Parts:
    paths = {name: folder / f".{split}-{name}.part" for name in ("images", "annotations", "captions")}
    return {name: _Part(path, path.open("wb")) for name, path in paths.items()}


def _add(parts: _Parts, item: Item, number: int, regions: int, categories: Mapping[str, int]) -> None:
    """Add picture `number`, of which `regions` regions are before its own."""
    parts["images"].add(image(item, number))
    parts["captions"].add({"id": number, "image_id": number, "caption": item.caption})
    for region_number, content in enumerate(item.regions, regions + 1):
        parts["annotations"].add(instance(content, region_number, number, categories))


def _finish(parts: _Parts, folder: Path, split: Split, info: Info) -> None:
    for part in parts.values():
        part.file.flush()
    instances = header(info)
    captions = {key: value for key, value in instances.items() if key != "categories"}
    _join(folder / f"instances_{split}.json", instances, parts["images"], parts["annotations"])
    _join(folder / f"captions_{split}.json", captions, parts["images"], parts["captions"])


def _join(path: Path, head: Mapping[str, Any], images: _Part, annotations: _Part) -> None:
    with path.open("wb") as file:
        file.write(canonical(head)[:-1])
        for key, part in (("images", images), ("annotations", annotations)):
            file.write(f',\n"{key}":['.encode())
            with part.path.open("rb") as rows:
                shutil.copyfileobj(rows, file)
            file.write(b"]")
        file.write(b"}\n")


def header(info: Info) -> dict[str, Any]:
    """What stands above the images: info, licences (of the models), categories."""
    licences = sorted({model.licence for model in info.models if model.licence})
    ids = category_ids(info.classes)
    return {
        "info": {"description": info.name, "generated_by_models": info.generated},
        "licenses": [{"id": number, "name": name, "url": ""} for number, name in enumerate(licences, 1)],
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in ids.items()],
    }


def category_ids(classes: Sequence[str]) -> dict[str, int]:
    """Each class's id: its place, from 1."""
    return {name: number for number, name in enumerate(classes, 1)}


def image(item: Item, number: int) -> dict[str, Any]:
    """An entry of `images`."""
    return {
        "id": number,
        "file_name": _file_name(item),
        "width": item.width,
        "height": item.height,
        "lineage": lineage_values(item.lineage),
    }


def instance(content: Annotation, number: int, image_id: int, categories: Mapping[str, int]) -> dict[str, Any]:
    """An entry of `annotations`; `segmentation` is [] where there is no mask. Raises BadInput for an unknown label."""
    x0, y0, x1, y1 = content.box
    if content.label not in categories:
        raise BadInput(f"{content.label[:80]!r} is not among the dataset's classes", "add it to limner.json's classes")
    width, height = round(x1 - x0, 2), round(y1 - y0, 2)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": categories[content.label],
        "bbox": [x0, y0, width, height],
        "area": round(width * height, 2) if content.mask is None else int(from_rle(content.mask).sum()),
        "iscrowd": 0,
        "segmentation": content.mask or [],
        "score": content.score,
    }


def _file_name(item: Item) -> str:
    return f"{item.id}{item.suffix}"
