"""What a finished job made, as a dataset of Limner's own form: sides, card, and a report of how it came about.

A dataset's folder:

    .job/               the job: its ledger and shards (limner.ledger), from which all the rest is made
    limner.json, items/, rejects/, README.md, card.html     the dataset (limner.dataset)
    report.json         what was accepted and rejected, by reason and stage; written last, when all is there
    coco/, yolo/, ...   the same dataset in other forms

A run that is killed on the way begins this part anew. The same job gives the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from limner.dataset import (
    Annotation,
    Edit,
    Info,
    Item,
    Lineage,
    Model,
    Reject,
    RejectEntry,
    Split,
    split,
    write_card,
    write_info,
    write_rejects,
    write_shard,
)
from limner.dataset.folder import SHARD_SIZE, batches
from limner.dataset.imports import clipped, picture_size
from limner.filters import OUTRANKED
from limner.image import write_whole
from limner.ledger import read_shards
from limner.types import Event

JOB, REPORT = ".job", "report.json"
_MADE = ("limner.json", "items", "rejects", "README.md", "card.html", REPORT)
_NO_HASH = "0" * 64

Licences = Callable[[str], str]
"""The licence of the model that plays a role («text_to_image»)."""


def known_report(out: Path) -> dict[str, Any] | None:
    """The report of a dataset that was assembled; None where that was not done, or not to its end."""
    try:
        report: dict[str, Any] = json.loads((out / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report


def assemble(
    out: Path, info: Info, shares: Mapping[Split, float], licences: Licences
) -> Generator[Event, None, dict[str, Any]]:
    """Write the dataset of the job in `out/.job` into `out`; returns {"splits", "regions", "stages"}, counted.

    `info` says what holds for the whole; `shares` of train, val and test are met to within a family. Labels of things
    that are none of the classes are left out: they are labelled in some of the pictures that show them only, which
    teaches that they are not in the others. Raises LimnerError for a damaged shard and when the disk is full.
    """
    _sweep(out)
    yield Event("assemble", "dividing")
    sides = split((_item(row, "train", info, licences) for row, _ in _rows(out / JOB)), shares, info.seed)
    counted = _Counted()
    entries = (
        (counted.item(_item(row, sides[row["parent"] or row["id"]], info, licences)), d) for row, d in _rows(out / JOB)
    )
    for number, some in enumerate(batches(entries, SHARD_SIZE)):
        written = write_shard(out, number, some)
        yield Event("assemble", f"{number * SHARD_SIZE + len(written)} pictures written")
    rejects = (_reject(reject, d, licences) for reject, d in counted.rejects(out / JOB))
    for number, some in enumerate(batches(rejects, SHARD_SIZE)):
        write_rejects(out, number, some)
        yield Event("assemble", "rejects written")
    items, turned_down = counted.splits.total(), counted.reasons.total()
    write_info(out, replace(info, models=tuple(counted.models), items=items, rejects=turned_down))
    write_card(out)
    return counted.told(info)


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Say that the dataset is whole: the last file."""
    write_whole(out / REPORT, (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode())


def _sweep(out: Path) -> None:
    """Take away what a killed run left of this part; the job itself is never touched."""
    for name in _MADE:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def _rows(job: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    return ((row, shard.pictures[row["picture"]]) for shard in read_shards(job) for row in shard.rows)


@dataclass(slots=True)
class _Counted:
    """What passes through on its way into the dataset. Only sums are kept."""

    splits: Counter[str] = field(default_factory=Counter[str])
    regions: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[str] = field(default_factory=Counter[str])
    kept: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    models: dict[Model, None] = field(default_factory=dict[Model, None])

    def item(self, item: Item) -> Item:
        """Count a picture."""
        self.splits[item.split] += 1
        self.regions.update(content.label for content in item.regions)
        self.kept.update([edit.kind for edit in item.lineage.edits] if item.lineage.parents else ["draw"])
        self.models.update(dict.fromkeys(item.lineage.models))
        return item

    def rejects(self, job: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Every reject, counted, with its picture's bytes or b""."""
        for shard in read_shards(job):
            for reject in shard.rejects:
                self.reasons[reject["reason"]] += 1
                # What was only less good than another is no failure of its stage.
                self.failed[reject["stage"]] += reject["reason"] != OUTRANKED
                yield reject, shard.pictures.get(reject["picture"], b"")

    def told(self, info: Info) -> dict[str, Any]:
        """All of it as JSON values; a stage's «rate» is the share of its tries that were kept."""
        stages = {
            stage: {
                "kept": self.kept[stage],
                "rejected": self.failed[stage],
                "rate": round(self.kept[stage] / (self.kept[stage] + self.failed[stage]), 4),
            }
            for stage in ("draw", "background", "fill")
            if self.kept[stage] + self.failed[stage]
        }
        regions = {name: self.regions[name] for name in info.classes}
        return {"splits": dict(sorted(self.splits.items())), "regions": regions, "stages": stages}


def _item(row: Mapping[str, Any], side: Split, info: Info, licences: Licences) -> Item:
    """A row of a shard as an Item; its place and hash are filled in when it is stored."""
    width, height = row["width"], row["height"]
    found = ((region, clipped(tuple(region["box"]), width, height)) for region in row["regions"])
    regions = tuple(
        Annotation(region["label"], box, round(region["score"], 4), region["mask"])
        for region, box in found
        if box and region["label"] in info.classes
    )
    parents = (row["parent"],) if row["parent"] else ()
    lineage = _lineage(row["lineage"], row["scores"], parents, licences)
    return Item(row["id"], f"{row['id']}.png", _NO_HASH, width, height, row["caption"], side, regions, lineage)


def _lineage(
    told: Mapping[str, Any], scores: Mapping[str, float], parents: tuple[str, ...], licences: Licences
) -> Lineage:
    recipe, tried = told["recipe"], [told["tried"]] if "tried" in told else []
    return Lineage(
        prompts=tuple(dict.fromkeys((told["description"], recipe["prompt"]))),
        seeds=(recipe["seed"],),
        models=tuple(_model(role, name, licences) for role, name in told["models"].items() if role != "limner"),
        edits=tuple(_edit(step) for step in (*told.get("edits", ()), *tried)),
        parents=parents,
        scores={name: float(value) for name, value in scores.items()},
    )


def _model(role: str, name: str, licences: Licences) -> Model:
    """A role's model. Those that draw are told with the hash of their weights behind the name."""
    plain, _, sha256 = name.rpartition(" ") if role in ("text_to_image", "editor", "inpainter") else (name, "", "")
    return Model(role, plain or "unnamed", sha256, licences(role))


def _edit(step: Mapping[str, Any]) -> Edit:
    box = step.get("box")
    return Edit(step["kind"], step.get("instruction") or step["prompt"], step["seed"], tuple(box) if box else None)


def _reject(reject: Mapping[str, Any], data: bytes, licences: Licences) -> RejectEntry:
    """A reject with its picture where that was kept; its stage and scores stand in `detail` too, for those without."""
    scores = ", ".join(f"{name} {value:g}" for name, value in reject["scores"].items())
    detail = f"{reject['stage']}: {scores}"
    if not data:
        return Reject(reject["id"], reject["reason"], detail), b""
    width, height = picture_size(data, reject["id"])
    parents = (reject["parent"],) if reject["parent"] else ()
    lineage = _lineage(reject["lineage"], reject["scores"], parents, licences)
    item = Item(reject["id"], f"{reject['id']}.png", _NO_HASH, width, height, lineage=lineage)
    return Reject(reject["id"], reject["reason"], detail, item), data
