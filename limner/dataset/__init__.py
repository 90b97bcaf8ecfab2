"""Annotated pictures as datasets: one source of truth, and COCO, YOLO, WebDataset and image folders made from it.

Writing, as a pipeline does: `write_shard` and `write_rejects` a shard at a time (whole or not at all), `split` for the
sides, `rewrite_items` to set them, `write_info` last; `write_card` for the card. Reading: `read_info`, `read_items`,
`read_rejects`, `read_picture`. Others' forms: `convert`, `read_any`. What is wrong: `check`.

    limner.json             Info
    items/00000.jsonl       Items, one a line, and their pictures in items/00000/
    rejects/00000.jsonl     Rejects with reasons and scores, and their pictures in rejects/00000/
    README.md, card.html    the card

What each form holds: `coco` all but the rejects, `webdataset` and `imagefolder` likewise, `yolo` boxes, classes and
splits only. The same dataset gives the same bytes in every form.
"""

from limner.dataset.card import write_card
from limner.dataset.curate import NEAR, Kept, dedupe, perceptual_hash, split
from limner.dataset.folder import (
    read_info,
    read_items,
    read_picture,
    read_rejects,
    rewrite_items,
    rewrite_rejects,
    shards,
    write_info,
    write_rejects,
    write_shard,
)
from limner.dataset.forms import FORMS, convert, form_of, read_any
from limner.dataset.items import (
    SPLITS,
    Annotation,
    Dataset,
    Edit,
    Entry,
    Form,
    Info,
    Item,
    Lineage,
    Model,
    Reject,
    RejectEntry,
    Split,
    annotation,
    region,
)
from limner.dataset.problems import Problem, check
from limner.dataset.rows import item_problems

__all__ = [
    "FORMS",
    "NEAR",
    "SPLITS",
    "Annotation",
    "Dataset",
    "Edit",
    "Entry",
    "Form",
    "Info",
    "Item",
    "Kept",
    "Lineage",
    "Model",
    "Problem",
    "Reject",
    "RejectEntry",
    "Split",
    "annotation",
    "check",
    "convert",
    "dedupe",
    "form_of",
    "item_problems",
    "perceptual_hash",
    "read_any",
    "read_info",
    "read_items",
    "read_picture",
    "read_rejects",
    "region",
    "rewrite_items",
    "rewrite_rejects",
    "shards",
    "split",
    "write_card",
    "write_info",
    "write_rejects",
    "write_shard",
]
