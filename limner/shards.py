"""What a synthesis job makes: labelled pictures with their history, and the file that holds some items' of them.

A shard is a tar: rows.jsonl, rejects.jsonl, pictures/SHA256.png. Equal content gives equal bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from limner.turn import canonical

ROWS, REJECTS, PICTURES = "rows.jsonl", "rejects.jsonl", "pictures"


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled picture of a dataset. All values are JSON's.

    `id` names it, `item` all pictures that come from one first picture, `parent` the row it was edited from ("" for
    none), `index` the item's number. `picture` is the sha256 of the PNG's bytes; `label` the class that was asked for.
    A region is {"label", "box": [x0, y0, x1, y1] in pixels, "score", "mask": RLE or null}. `rejects` are the ids of
    what was turned down on the way to this picture.
    """

    id: str
    item: str
    index: int
    parent: str
    picture: str
    width: int
    height: int
    label: str
    caption: str
    regions: Sequence[Mapping[str, Any]]
    scores: Mapping[str, float]
    lineage: Mapping[str, Any]
    rejects: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """A picture that was turned down. `stage` says what had been tried: "draw", "background" or "fill".

    `picture` is the PNG's sha256 where it is kept aside, else ""; `reason` is one of `filters.REASONS`.
    """

    id: str
    item: str
    index: int
    parent: str
    stage: str
    reason: str
    scores: Mapping[str, float]
    lineage: Mapping[str, Any]
    picture: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What came of one item. `pictures` maps sha256 to PNG bytes; `made_by` says which models made it."""

    index: int
    rows: Sequence[Row] = ()
    rejects: Sequence[Reject] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An item that failed every time it was tried."""

    index: int
    error: str


Outcome = Made | SetAside


@dataclass(frozen=True, slots=True)
class Shard:
    """A committed shard's content; `pictures` maps sha256 to PNG bytes."""

    rows: Sequence[dict[str, Any]]
    rejects: Sequence[dict[str, Any]]
    pictures: Mapping[str, bytes]


def pack(made: Sequence[Made]) -> bytes:
    """A shard's tar: the same results give the same bytes."""
    rows = b"".join(canonical(asdict(row)) + b"\n" for each in made for row in each.rows)
    rejects = b"".join(canonical(asdict(reject)) + b"\n" for each in made for reject in each.rejects)
    pictures = {name: data for each in made for name, data in sorted(each.pictures.items())}
    files = {ROWS: rows, REJECTS: rejects}
    files |= {f"{PICTURES}/{name}.png": data for name, data in pictures.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def unpack(content: bytes) -> Shard:
    """What `pack` packed."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}
    lines = {name: [json.loads(line) for line in files.pop(name).splitlines()] for name in (ROWS, REJECTS)}
    return Shard(lines[ROWS], lines[REJECTS], {PurePosixPath(name).stem: data for name, data in files.items()})
