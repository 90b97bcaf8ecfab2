"""Everything that can be wrong with a dataset, said at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from limner.dataset import coco_read
from limner.dataset.coco_check import file_as_coco, item_as_coco
from limner.dataset.folder import KINDS, Kind, read_info, read_inside, rows
from limner.dataset.forms import form_of, read_any
from limner.dataset.imports import picture_size
from limner.dataset.items import Info, Item, Reject, Split
from limner.dataset.rows import item_problems, parse_item, parse_reject
from limner.types import BadInput


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: `where` is an item's id, a file or a file's line."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class _Seen:
    """What is remembered across items: a few short texts of each."""

    ids: set[str] = field(default_factory=set[str])
    files: set[str] = field(default_factory=set[str])
    families: dict[str, str] = field(default_factory=dict[str, str])
    sides: dict[str, tuple[Split, str]] = field(default_factory=dict[str, tuple[Split, str]])
    pictures: dict[str, tuple[Split, str]] = field(default_factory=dict[str, tuple[Split, str]])
    parents: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])


def check(root: Path) -> list[Problem]:
    """All problems of a dataset, [] for none.

    Of Limner's own form: rows, ids, files and their hashes and sizes, boxes, masks, labels, numbers of rows, files that
    belong to nothing, families on two sides, and whether pycocotools gets our masks from what COCO would say of each
    item. Of other forms: every item likewise as far as they can be read, up to the first that cannot; of COCO also
    whether pycocotools loads its files and draws the same masks. Raises LimnerError where pycocotools is not installed.
    """
    try:
        form = form_of(root)
    except BadInput as error:
        return [Problem(str(root), str(error))]
    if form == "limner":
        return list(_own(root))
    problems = list(_foreign(root))
    if form == "coco":
        problems += [Problem(path.name, what) for path in coco_read.files(root) for what in file_as_coco(path)]
    return problems


def _own(root: Path) -> Iterator[Problem]:
    info, seen = read_info(root), _Seen()
    yield from _class_problems(info)
    counts: dict[Kind, int] = {"items": 0, "rejects": 0}
    for kind in KINDS:
        try:
            for where, row in rows(root, kind):
                counts[kind] += 1
                yield from _row_problems(root, kind, where, row, info, seen)
        except BadInput as error:
            yield Problem(kind, str(error))
    yield from _leaks(seen)
    yield from _strays(root, seen)
    for kind, wanted in zip(KINDS, (info.items, info.rejects), strict=True):
        if counts[kind] != wanted:
            yield Problem("limner.json", f"it counts {wanted} {kind}, where there are {counts[kind]}")


def _foreign(root: Path) -> Iterator[Problem]:
    seen = _Seen()
    try:
        dataset = read_any(root)
        for item, data in dataset.entries:
            yield from _item_problems(item, dataset.info, seen)
            yield from _picture_problems(item, data)
            yield from _twin_problems(item, hashlib.sha256(data).hexdigest(), seen)
    except BadInput as error:
        yield Problem(str(root), str(error))
        return
    yield from _leaks(seen)
    if dataset.info.items not in (0, len(seen.ids)):
        yield Problem("limner.json", f"it counts {dataset.info.items} items, where there are {len(seen.ids)}")


def _class_problems(info: Info) -> Iterator[Problem]:
    if len(set(info.classes)) != len(info.classes):
        yield Problem("limner.json", "a class is named twice")


def _row_problems(root: Path, kind: Kind, where: str, row: bytes, info: Info, seen: _Seen) -> Iterator[Problem]:
    try:
        content = parse_item(row, where) if kind == "items" else parse_reject(row, where)
    except BadInput as error:
        yield Problem(where, str(error).removeprefix(f"{where} "))
        return
    item = content.item if isinstance(content, Reject) else content
    if isinstance(content, Reject):
        yield from _reject_problems(content, info, seen)
    else:
        yield from _item_problems(content, info, seen)
        yield from _twin_problems(content, content.sha256, seen)
    if item is not None:
        yield from _file_problems(root, item, seen)


def _reject_problems(reject: Reject, info: Info, seen: _Seen) -> Iterator[Problem]:
    if reject.item is None:
        yield from _id_problems(reject.id, seen)
        return
    if reject.item.id != reject.id:
        yield Problem(reject.id, f"this reject is of item {reject.item.id}")
    yield from _item_problems(reject.item, info, seen, rejected=True)


def _id_problems(item_id: str, seen: _Seen) -> Iterator[Problem]:
    if item_id.casefold() in seen.ids:
        yield Problem(item_id, "its id is there twice")
    seen.ids.add(item_id.casefold())


def _item_problems(item: Item, info: Info, seen: _Seen, *, rejected: bool = False) -> Iterator[Problem]:
    yield from _id_problems(item.id, seen)
    seen.families[item.id] = item.root
    own = item_problems(item)
    unknown = sorted({content.label for content in item.regions} - set(info.classes))
    if not rejected:  # Rejects are on no side, and what a filter refused may hold anything.
        own += [f"label {label[:80]!r} is not among the classes" for label in unknown]
        seen.parents += [(item.id, parent, item.root) for parent in item.lineage.parents]
        yield from _side_problems(item, seen)
    yield from (Problem(item.id, what) for what in own)
    if not own and not unknown:
        yield from (Problem(item.id, what) for what in item_as_coco(item, info))


def _side_problems(item: Item, seen: _Seen) -> Iterator[Problem]:
    side, first = seen.sides.setdefault(item.root, (item.split, item.id))
    if side != item.split:
        yield Problem(item.id, f"it is in {item.split}, but {first} of the same family is in {side}")


def _twin_problems(item: Item, sha256: str, seen: _Seen) -> Iterator[Problem]:
    side, first = seen.pictures.setdefault(sha256, (item.split, item.id))
    if side != item.split:
        yield Problem(item.id, f"it is in {item.split}, but {first} with the same picture is in {side}")


def _file_problems(root: Path, item: Item, seen: _Seen) -> Iterator[Problem]:
    if item.file in seen.files:
        yield Problem(item.id, f"{item.file} belongs to another item too")
    seen.files.add(item.file)
    try:
        data = read_inside(root, item.file)
    except BadInput as error:
        yield Problem(item.id, str(error))
        return
    if hashlib.sha256(data).hexdigest() != item.sha256:
        yield Problem(item.id, f"{item.file} was altered: its sha256 is another")
    yield from _picture_problems(item, data)


def _picture_problems(item: Item, data: bytes) -> Iterator[Problem]:
    try:
        width, height = picture_size(data, item.file)
    except BadInput as error:
        yield Problem(item.id, str(error))
        return
    if (width, height) != (item.width, item.height):
        yield Problem(item.id, f"{item.file} has {width}x{height} pixels, not {item.width}x{item.height}")


def _leaks(seen: _Seen) -> Iterator[Problem]:
    for name, parent, root in seen.parents:
        if seen.families.get(parent, root) != root:
            yield Problem(name, f"its parent {parent} is of the family of {seen.families[parent]}, not of {root}")


def _strays(root: Path, seen: _Seen) -> Iterator[Problem]:
    for kind in ("items", "rejects"):
        for path in sorted((root / kind).glob("*")):
            names = path.glob("*") if path.is_dir() and not path.name.startswith(".") else [path]
            for name in sorted(one.relative_to(root).as_posix() for one in names):
                if name not in seen.files and not name.endswith(".jsonl"):
                    yield Problem(name, "it belongs to no item")
