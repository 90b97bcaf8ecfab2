"""WebDataset: SPLIT-00000.tar with ID.png and ID.json, one after the other, for each item.

ID.json is the whole Item, so nothing is lost. Headers are plain ustar without times, owners or umasks: the same dataset
gives the same bytes anywhere. A shard holds up to 1000 items.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

from limner.dataset.folder import SHARD_SIZE
from limner.dataset.imports import known_info
from limner.dataset.items import MAX_LINE, SUFFIXES, Dataset, Entry, Split
from limner.dataset.rows import item_row, parse_item
from limner.image.files import MAX_FILE_BYTES
from limner.types import BadInput

_SHARD = re.compile(r"(train|val|test)-(\d{5,9})\.tar")


def write(root: Path, dataset: Dataset) -> tuple[int, int]:
    """Write the dataset; returns the number of items, and 0 for the rejects, which are left out."""
    written: dict[Split, int] = {}
    archives: dict[Split, tarfile.TarFile] = {}
    count = 0
    try:
        for item, data in dataset.entries:
            count += 1
            number = written.get(item.split, 0)
            if number % SHARD_SIZE == 0:
                if item.split in archives:
                    archives[item.split].close()
                path = root / f"{item.split}-{number // SHARD_SIZE:05}.tar"
                archives[item.split] = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            name = f"{item.id}{item.suffix}"
            add(archives[item.split], name, data)
            add(archives[item.split], f"{item.id}.json", item_row(replace(item, file=name)))
            written[item.split] = number + 1
    finally:
        for archive in archives.values():
            archive.close()
    return count, 0


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file whose header says nothing but its name and size."""
    header = tarfile.TarInfo(name)  # Time, owner and group are 0 unless they are given.
    header.size, header.mode = len(data), 0o644
    archive.addfile(header, io.BytesIO(data))


def shards(root: Path) -> list[Path]:
    """The tar files of a folder, by split and number."""
    order = ("train", "val", "test")
    found = [(match, path) for path in root.glob("*.tar") if (match := _SHARD.fullmatch(path.name))]
    return [path for _, _, path in sorted((order.index(match[1]), int(match[2]), path) for match, path in found)]


def read(root: Path) -> Dataset:
    """Open a folder of shards that Limner wrote. Raises BadInput for members of any other kind as they are reached."""
    return Dataset(known_info(root, root.name, ()), _entries(root), iter(()))


def _entries(root: Path) -> Iterator[Entry]:
    for path in shards(root):
        try:
            with tarfile.open(path, "r:") as archive:
                yield from _members(archive, path.name)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise BadInput(f"{path} is no tar file, or is damaged") from error
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from error


def _members(archive: tarfile.TarFile, name: str) -> Iterator[Entry]:
    picture: tuple[str, bytes] | None = None
    while (member := archive.next()) is not None:
        where = f"{name}: {member.name[:200]!r}"
        plain = PurePosixPath(member.name)
        if picture is None and plain.suffix in SUFFIXES:
            picture = member.name, _content(archive, member, MAX_FILE_BYTES, where)
        elif picture is not None and plain.suffix == ".json":
            item = parse_item(_content(archive, member, MAX_LINE, where), where)
            if (item.file, f"{item.id}.json") != (picture[0], member.name):
                raise BadInput(f"{where} does not belong to {picture[0][:200]!r}")
            yield item, picture[1]
            picture = None
        else:
            raise BadInput(f"{where} is out of place", "each picture is followed by its JSON")
        cast(Any, archive).members = []  # It would keep the headers of all that was read.
    if picture is not None:
        raise BadInput(f"{name}: {picture[0][:200]!r} has no JSON")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int, where: str) -> bytes:
    if not member.isreg() or member.size > most:
        raise BadInput(f"{where} is a link, or larger than {most // 2**20} MiB")
    file = archive.extractfile(member)
    data = file.read(most) if file else b""
    if len(data) != member.size:
        raise BadInput(f"{where} breaks off")
    return data
