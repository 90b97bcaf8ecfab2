"""Random items with their pictures, and datasets made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from limner.dataset import (
    SPLITS,
    Annotation,
    Edit,
    Entry,
    Info,
    Item,
    Lineage,
    Model,
    Reject,
    RejectEntry,
    annotation,
    write_info,
    write_rejects,
    write_shard,
)
from limner.image import png_bytes
from limner.types import Picture, Region

CLASSES = ("red panda", "猫 «😀»", '<script>alert("1")</script>', "a: b # c\n\u2028", "no")
"""«no» is a truth value to a careless YAML."""

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
MODELS = (Model("draw", "sd15", "abc", "CreativeML OpenRAIL-M"), Model("detect", "owl"))


@st.composite
def regions_of(draw: st.DrawFn, width: int, height: int) -> Annotation:
    """Boxes in hundredths of a pixel; masks down to one pixel."""
    x0, x1 = sorted(draw(st.lists(st.integers(0, width * 100), min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(draw(st.lists(st.integers(0, height * 100), min_size=2, max_size=2, unique=True)))
    on = draw(st.none() | st.sets(st.integers(0, width * height - 1), min_size=1))
    mask = None if on is None else np.isin(np.arange(width * height), list(on)).reshape(height, width)
    score = draw(st.integers(-10_000, 10_000)) / 10_000
    return annotation(Region(draw(st.sampled_from(CLASSES)), (x0 / 100, y0 / 100, x1 / 100, y1 / 100), score, mask))


@st.composite
def lineages(draw: st.DrawFn) -> Lineage:
    return Lineage(
        prompts=tuple(draw(st.lists(TEXT, max_size=2))),
        seeds=tuple(draw(st.lists(st.integers(0, 2**64 - 1), max_size=2))),
        models=draw(st.sampled_from([(), MODELS])),
        edits=draw(st.sampled_from([(), (Edit("fill", "a <b>", 3, (0.0, 0.0, 1.0, 2.0)),)])),
        scores=draw(st.dictionaries(st.sampled_from(["ssim", "psnr", "clip"]), st.floats(-99, 99))),
    )


@st.composite
def entries(draw: st.DrawFn, most: int = 4) -> list[Entry]:
    """Items of different sizes, splits and numbers of regions, each a first picture."""
    made: list[Entry] = []
    for number in range(draw(st.integers(0, most))):
        width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        regions = tuple(draw(st.lists(regions_of(width, height), max_size=3)))
        split, lineage = draw(st.sampled_from(SPLITS)), draw(lineages())
        made.append(entry(f"it-{number}_A", width, height, draw(TEXT), split=split, regions=regions, lineage=lineage))
    return made


def picture(width: int, height: int, seed: int = 0) -> Picture:
    """Noise, the same for the same numbers."""
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def entry(item_id: str, width: int = 8, height: int = 6, caption: str = "a cat", **more: object) -> Entry:
    """An item with a picture that no other id has."""
    item = Item(item_id, f"{item_id}.png", "0" * 64, width, height, caption)
    seed = int.from_bytes(item_id.encode()[-8:])
    return replace(item, **more), png_bytes(picture(width, height, seed))


def save(root: Path, made: Sequence[Entry], rejects: Sequence[RejectEntry] = (), info: Info | None = None) -> Path:
    """A dataset of one shard each; returns its folder."""
    root.mkdir(exist_ok=True)
    write_shard(root, 0, made)
    write_rejects(root, 0, rejects)
    info = info or Info(name="pandas", classes=CLASSES, models=MODELS, generated=True)
    write_info(root, replace(info, items=len(made), rejects=len(rejects)))
    return root


def family(number: int, size: int = 3) -> list[Entry]:
    """A first picture and its descendants, each made from the one before."""
    ids = [f"f{number}-{place}" for place in range(size)]
    return [entry(name, lineage=Lineage(parents=tuple(ids[:place]))) for place, name in enumerate(ids)]


def rejected(item_id: str, reason: str, detail: str = "") -> RejectEntry:
    item, data = entry(item_id)
    return Reject(item_id, reason, detail, item), data
