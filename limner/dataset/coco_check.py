"""What COCO's reference code makes of our masks: of an item as it would be written, and of whole files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limner.dataset.coco import category_ids, header, image, instance
from limner.dataset.coco_read import mask_of
from limner.dataset.items import Info, Item
from limner.dataset.reference import Coco, reference_index
from limner.image.rle import from_rle
from limner.types import LimnerError


def item_as_coco(item: Item, info: Info) -> Iterator[str]:
    """What differs between an item's masks and those that pycocotools draws; the item has no problems of its own."""
    numbers = category_ids(info.classes)
    annotations = [instance(content, number, 1, numbers) for number, content in enumerate(item.regions, 1)]
    if all(content.mask is None for content in item.regions):
        return
    coco = reference_index({**header(info), "images": [image(item, 1)], "annotations": annotations})
    for number, content in enumerate(item.regions, 1):
        if content.mask is not None:
            drawn = coco.annToMask(coco.anns[number]).astype(bool)
            if not np.array_equal(drawn, from_rle(content.mask)):
                yield f"region {number - 1}: pycocotools draws another mask"


def file_as_coco(path: Path) -> Iterator[str]:
    """Whether pycocotools loads a file and draws each of its masks as Limner does. Raises LimnerError without it."""
    try:
        coco = reference_index(path)
    except LimnerError:
        raise
    except Exception as error:  # It checks nothing, and so raises whatever comes of that.
        yield f"pycocotools cannot load it: {type(error).__name__}: {error}"
        return
    for number, content in coco.anns.items():
        if content.get("segmentation") and (what := _differs(coco, content)):
            yield f"annotation {number}: {what}"


def _differs(coco: Coco, content: Mapping[str, Any]) -> str:
    """What is wrong with an annotation's mask. Ours comes first: pycocotools trusts what it is given, in C."""
    try:
        size = coco.imgs[content["image_id"]]
        mask = mask_of(content["segmentation"], int(size["width"]), int(size["height"]))
        drawn = coco.annToMask(content).astype(bool)
    except Exception as error:  # As above.
        return f"its mask cannot be drawn: {error}"
    return "" if np.array_equal(mask, drawn) else "pycocotools draws another mask"
