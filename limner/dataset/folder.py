"""Limner's own form, the one source of truth that every other form is made from.

    limner.json             Info: classes, spec, seed, models with licences, versions, numbers of rows
    items/00000.jsonl       one Item a line, in canonical JSON; a shard is there when this file is
    items/00000/ID.png      its pictures
    rejects/00000.jsonl     one Reject a line, with reason and scores
    rejects/00000/ID.png

A shard's pictures are written and synced under a hidden name and renamed; its rows follow in one step. So a kill at any
instant leaves a whole shard or none, and nothing that a second run would not replace.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from limner.dataset.items import MAX_LINE, Dataset, Entry, Info, Item, Reject, RejectEntry
from limner.dataset.rows import info_row, item_problems, item_row, parse_info, parse_item, parse_reject, reject_row
from limner.image import write_whole
from limner.image.files import MAX_FILE_BYTES
from limner.types import BadInput, LimnerError

Kind = Literal["items", "rejects"]
KINDS: tuple[Kind, ...] = ("items", "rejects")
INFO = "limner.json"
SHARD_SIZE = 1000
"""Rows of a shard where nobody says otherwise."""

_SHARD = re.compile(r"(\d{5,9})\.jsonl")
_T = TypeVar("_T")


def write_shard(root: Path, number: int, entries: Iterable[Entry]) -> list[Item]:
    """Write shard `number` of the items; returns them as they were stored, with their files' names and hashes.

    Raises BadInput for an item that is wrong in itself (see `check`) and when the shard is there already, LimnerError
    when the disk is full or fails. Pictures are taken from `entries` one at a time.
    """
    with _pictures(root, "items", number) as folder:
        items = [_stored(item, data, folder) for item, data in entries]
        rows = [item_row(item) for item in items]
    _commit(root, "items", number, rows)
    return items


def write_rejects(root: Path, number: int, entries: Iterable[RejectEntry]) -> list[Reject]:
    """Write shard `number` of the rejects, likewise; b"" for one whose item is None or whose picture lies elsewhere."""
    with _pictures(root, "rejects", number) as folder:
        rejects = [_stored_reject(reject, data, folder) for reject, data in entries]
        rows = [reject_row(reject) for reject in rejects]
    _commit(root, "rejects", number, rows)
    return rejects


def rewrite_items(root: Path, number: int, items: Iterable[Item]) -> None:
    """Replace a shard's rows in one step and leave its pictures where they are: for splits, and what was sorted out."""
    _commit(root, "items", number, [item_row(item) for item in items])


def rewrite_rejects(root: Path, number: int, rejects: Iterable[Reject]) -> None:
    """Replace or begin a shard of rejects whose pictures are in the folder already, such as duplicates' in items/."""
    _commit(root, "rejects", number, [reject_row(reject) for reject in rejects])


def write_info(root: Path, info: Info) -> None:
    """Write limner.json in one step, last of all: without it a folder is no dataset."""
    write_whole(root / INFO, info_row(info))


def write(root: Path, dataset: Dataset) -> tuple[int, int]:
    """Write all shards of a dataset that comes from anywhere; returns the numbers of items and rejects."""
    items = sum(len(write_shard(root, n, some)) for n, some in enumerate(batches(dataset.entries, SHARD_SIZE)))
    rejects = sum(len(write_rejects(root, n, some)) for n, some in enumerate(batches(dataset.rejects, SHARD_SIZE)))
    return items, rejects


def batches(values: Iterator[_T], size: int) -> Iterator[Iterator[_T]]:
    """`values` in runs of `size`, each to be used up before the next; nothing is kept."""
    for first in values:
        yield _chained(first, islice(values, size - 1))


def _chained(first: _T, rest: Iterator[_T]) -> Iterator[_T]:
    yield first
    yield from rest


def read(root: Path) -> Dataset:
    """Open a dataset of this form; rows and pictures are checked as they are reached, raising BadInput."""
    entries = ((item, read_picture(root, item)) for item in read_items(root))
    rejects = ((one, read_picture(root, one.item) if one.item else b"") for one in read_rejects(root))
    return Dataset(read_info(root), entries, rejects)


def read_info(root: Path) -> Info:
    """limner.json. Raises BadInput when it is missing or damaged."""
    try:
        with (root / INFO).open("rb") as file:
            content = file.read(MAX_LINE + 1)
    except OSError as error:
        raise BadInput(f"{root} is no dataset of Limner's: no {INFO} can be read", "name the folder itself") from error
    return parse_info(content, str(root / INFO))


def read_items(root: Path) -> Iterator[Item]:
    """All items in order, without their pictures. Raises BadInput for a damaged row."""
    return (parse_item(row, where) for where, row in rows(root, "items"))


def read_rejects(root: Path) -> Iterator[Reject]:
    """All rejects in order. Raises BadInput for a damaged row."""
    return (parse_reject(row, where) for where, row in rows(root, "rejects"))


def shards(root: Path, kind: Kind) -> list[int]:
    """The numbers of the shards that are there, in order."""
    names = (_SHARD.fullmatch(path.name) for path in (root / kind).glob("*.jsonl"))
    return sorted(int(match[1]) for match in names if match)


def rows(root: Path, kind: Kind) -> Iterator[tuple[str, bytes]]:
    """Each row as it is, with «file:line» to call it by. Raises BadInput for rows over MAX_LINE."""
    for number in shards(root, kind):
        name = f"{kind}/{number:05}.jsonl"
        with (root / name).open("rb") as file:
            # Not splitlines, which parts a text at more than line feeds.
            for line, row in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
                if len(row) > MAX_LINE:
                    raise BadInput(f"{name}:{line} is longer than {MAX_LINE // 2**20} MiB")
                yield f"{name}:{line}", row


def read_picture(root: Path, item: Item) -> bytes:
    """The bytes of an item's picture. Raises BadInput when it is missing, too large, outside the folder or altered."""
    data = read_inside(root, item.file)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise BadInput(f"{item.file} was altered: its sha256 is another", "bring it back from a copy")
    return data


def read_inside(root: Path, name: str) -> bytes:
    """A picture's file by its path within `root`, which neither «..» nor a link may lead out of. Raises BadInput."""
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise BadInput(f"{name[:200]!r} lies outside of {root}", "pictures are read from the dataset's folder only")
        if not path.is_file():
            raise BadInput(f"{name[:200]!r} is missing from {root}")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"{name[:200]!r} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"cannot read {name[:200]!r}: {getattr(error, 'strerror', None) or 'no such name'}") from error


def _stored(item: Item, data: bytes, folder: Path) -> Item:
    """Write an item's picture into a shard's folder; the item with its place and hash."""
    sha256 = hashlib.sha256(data).hexdigest()
    shard = folder.name[1:].partition("-")[0]
    stored = replace(item, file=f"{folder.parent.name}/{shard}/{item.id}{item.suffix}", sha256=sha256)
    item_row(stored)  # An id that is none must not become a path.
    if problems := item_problems(stored):
        raise BadInput(f"item {item.id}: {problems[0]}")
    path = folder / f"{item.id}{item.suffix}"
    if path.exists():
        raise BadInput(f"item {item.id} is there twice", "ids are unique, in upper and lower case alike")
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return stored


def _stored_reject(reject: Reject, data: bytes, folder: Path) -> Reject:
    if reject.item is None or not data:
        return reject
    return replace(reject, item=_stored(reject.item, data, folder))


@contextmanager
def _pictures(root: Path, kind: Kind, number: int) -> Generator[Path]:
    """A hidden folder for a shard's pictures, in place under the shard's name when the block ends well."""
    place = root / kind
    if number in shards(root, kind):
        raise BadInput(f"shard {number} of the {kind} is there already", "each shard is written once")
    with _told(root):
        place.mkdir(parents=True, exist_ok=True)
        for old in (*place.glob(f".{number:05}-*"), place / f"{number:05}"):
            shutil.rmtree(old, ignore_errors=True)  # Of a run that was killed before its rows were there.
        folder = Path(tempfile.mkdtemp(prefix=f".{number:05}-", dir=place))
        try:
            yield folder
            folder.chmod(0o755)
            _sync(folder)
            folder.rename(place / f"{number:05}")
            _sync(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _commit(root: Path, kind: Kind, number: int, lines: Sequence[bytes]) -> None:
    with _told(root):
        (root / kind).mkdir(parents=True, exist_ok=True)
    write_whole(root / kind / f"{number:05}.jsonl", b"".join(lines))


@contextmanager
def _told(root: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise LimnerError(f"could not write to {root}: {error.strerror}", "free some space and try again") from error


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
