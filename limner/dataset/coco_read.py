"""COCO read: instances_*.json with or without captions, from Limner or from anyone.

What is not ours is taken as it is meant: crowds are left out (they are no instances), boxes that round over the
picture's edge are cut off there and those without area left out, polygons and compressed runs become masks, and of
several captions the first counts. Names lead nowhere but into the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from limner.dataset.coco import ANNOTATIONS
from limner.dataset.imports import Names, clipped, imported, known_info, load_json, load_picture, split_named
from limner.dataset.items import Annotation, Dataset, Entry, Lineage, Split
from limner.dataset.reference import decoded
from limner.dataset.rows import parse_lineage
from limner.image.rle import from_rle, to_rle
from limner.types import BadInput

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_T = TypeVar("_T")


class _Image(BaseModel):
    id: int
    file_name: Annotated[str, Field(min_length=1, max_length=1000)]
    width: int
    height: int
    lineage: Any = None


class _Instance(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[_Finite, _Finite, _Finite, _Finite]
    segmentation: Any = None
    iscrowd: int = 0
    score: _Finite = 1.0


class _Category(BaseModel):
    id: int
    name: Annotated[str, Field(min_length=1, max_length=200)]


class _Instances(BaseModel):
    images: list[_Image]
    annotations: list[_Instance]
    categories: list[_Category]


class _Caption(BaseModel):
    image_id: int
    caption: Annotated[str, Field(max_length=10_000)]


class _Captions(BaseModel):
    annotations: list[_Caption]


_INSTANCES, _CAPTIONS = TypeAdapter(_Instances), TypeAdapter(_Captions)


def files(root: Path) -> list[Path]:
    """The instances_*.json of a folder, train first; [] for a folder that is no COCO."""
    place = root / ANNOTATIONS if (root / ANNOTATIONS).is_dir() else root
    order = ("train", "val", "test")
    return sorted(place.glob("instances_*.json"), key=lambda path: (order.index(_split(path)), path.name))


def read(root: Path) -> Dataset:
    """Open a COCO folder. Raises BadInput when there is none, and as its pictures and masks are reached."""
    found = files(root)
    if not found:
        raise BadInput(f"{root} has no annotations/instances_*.json", "name the folder above annotations/")
    # Each index is whole in memory, one file's at a time; the classes are wanted before the first picture.
    classes = dict.fromkeys(name for path in found for name in _classes(_read(_INSTANCES, path)))
    return Dataset(known_info(root, root.name, tuple(classes)), _entries(root, found), iter(()))


def _entries(root: Path, found: list[Path]) -> Iterator[Entry]:
    names = Names()
    for path in found:
        content = _read(_INSTANCES, path)
        captions = _read_captions(path)
        labels = {category.id: category.name for category in content.categories}
        by_image: dict[int, list[_Instance]] = {}
        if len({image.id for image in content.images}) < len(content.images):
            raise BadInput(f"{path.name} has two images of one id")
        for instance in content.annotations:
            by_image.setdefault(instance.image_id, []).append(instance)
        for image in content.images:
            place = _place(root, path, image.file_name)
            data, width, height = load_picture(root, place)
            if (width, height) != (image.width, image.height):
                raise BadInput(f"{place} has {width}x{height} pixels, where {path.name} says otherwise")
            lineage = Lineage() if image.lineage is None else parse_lineage(image.lineage, f"{place}'s lineage")
            item = imported(
                names.give(place),
                image.file_name,
                (width, height),
                caption=captions.get(image.id, ""),
                split=_split(path),
                regions=tuple(_annotations(by_image.pop(image.id, []), labels, width, height, place)),
                lineage=lineage,
            )
            yield item, data
        if by_image:
            raise BadInput(f"{path.name} has annotations of image {next(iter(by_image))}, which is not there")


def _annotations(
    instances: list[_Instance], labels: dict[int, str], width: int, height: int, where: str
) -> Iterator[Annotation]:
    for instance in instances:
        x, y, w, h = instance.bbox
        box = clipped((x, y, x + w, y + h), width, height)
        if instance.iscrowd or box is None:
            continue
        if instance.category_id not in labels:
            raise BadInput(f"{where} has an annotation of category {instance.category_id}, which is not there")
        if not instance.segmentation:
            yield Annotation(labels[instance.category_id], box, instance.score)
            continue
        mask = mask_of(instance.segmentation, width, height)
        # A polygon thinner than a pixel leaves nothing behind; its box is still known.
        yield Annotation(labels[instance.category_id], box, instance.score, to_rle(mask) if mask.any() else None)


def mask_of(segmentation: Any, width: int, height: int) -> npt.NDArray[np.bool_]:
    """An annotation's mask: plain runs are Limner's own business, everything else pycocotools'.

    Raises BadInput for a segmentation that is none, or of another size than the picture's.
    """
    plain = isinstance(segmentation, dict) and isinstance(cast(dict[str, Any], segmentation).get("counts"), list)
    if not plain:
        return decoded(segmentation, width, height)
    mask = from_rle(segmentation)
    if mask.shape != (height, width):
        raise BadInput(f"a mask of {mask.shape[1]}x{mask.shape[0]} pixels on a picture of {width}x{height}")
    return mask


def _classes(content: _Instances) -> list[str]:
    return [category.name for category in sorted(content.categories, key=lambda category: category.id)]


def _read_captions(path: Path) -> dict[int, str]:
    beside = path.with_name(path.name.replace("instances_", "captions_", 1))
    rows = _read(_CAPTIONS, beside).annotations if beside.is_file() else []
    return {row.image_id: row.caption for row in reversed(rows)}


def _read(adapter: TypeAdapter[_T], path: Path) -> _T:
    try:
        return adapter.validate_python(load_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{path} is no COCO file: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _split(path: Path) -> Split:
    return split_named(path.stem.removeprefix("instances_"))


def _place(root: Path, path: Path, name: str) -> str:
    """Where a picture lies, as COCO's folders are usually laid out; the last guess where it is nowhere."""
    side = path.stem.removeprefix("instances_")
    guesses = [f"{side}/{name}", f"images/{side}/{name}", f"images/{name}", name]
    try:
        return next((guess for guess in guesses if (root / guess).is_file()), name)
    except (OSError, ValueError):
        return name
