"""What the readers of other programs' forms share: ids from file names, items from what those forms hold."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from limner.dataset.folder import INFO, read_info, read_inside
from limner.dataset.items import ID, SUFFIXES, Annotation, Info, Item, Lineage, Split
from limner.image import decode_picture
from limner.types import BadInput, Box

MAX_INDEX = 2**30
"""Bytes of one index: a COCO file, a list of labels."""

_NO_HASH = "0" * 64


def known_info(folder: Path, name: str, classes: tuple[str, ...]) -> Info:
    """The Info that Limner left in a folder of another form; elsewhere one with the classes that were found."""
    if (folder / INFO).is_file():
        return read_info(folder)
    return Info(name=name[:200] or "dataset", classes=classes)


class Names:
    """Gives each picture an id of its own: its file's stem where that is one, else what is left of it and a hash."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, name: str) -> str:
        """An id for the picture at path `name`; the same names in the same order get the same ids."""
        stem = PurePosixPath(name).stem
        found = stem if re.fullmatch(ID, stem) and stem.casefold() not in self._given else _hashed(name, stem)
        if found.casefold() in self._given:
            raise BadInput(f"{name[:200]!r} is there twice")
        self._given.add(found.casefold())
        return found


def _hashed(name: str, stem: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:60].strip("-") or "picture"
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def load_picture(folder: Path, name: str) -> tuple[bytes, int, int]:
    """A picture's bytes, width and height, decoded to be sure. Raises BadInput for what cannot be read."""
    data = read_inside(folder, name)
    return data, *picture_size(data, name)


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height of a picture's bytes. Raises BadInput for what cannot be read."""
    picture = decode_picture(data, name)
    return picture.width, picture.height


def imported(
    item_id: str,
    name: str,
    size: tuple[int, int],
    *,
    caption: str = "",
    split: Split = "train",
    regions: tuple[Annotation, ...] = (),
    lineage: Lineage | None = None,
) -> Item:
    """An Item of what was read; its hash is filled in when it is stored. Raises BadInput for other kinds of files."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"{name[:200]!r} is no PNG, JPEG or WebP picture")
    width, height = size
    return Item(item_id, f"{item_id}{suffix}", _NO_HASH, width, height, caption, split, regions, lineage or Lineage())


def clipped(box: Box, width: int, height: int) -> Box | None:
    """A box to 0.01 pixels, cut off at the picture's edges, where others round over them; None for what has no area."""
    x0, x1 = (round(min(max(0.0, x), width), 2) for x in (box[0], box[2]))
    y0, y1 = (round(min(max(0.0, y), height), 2) for y in (box[1], box[3]))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def load_json(path: Path) -> Any:
    """The content of a JSON file. Raises BadInput when it is missing, over MAX_INDEX or no JSON."""
    try:
        return json.loads(bounded(path))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON, or is damaged") from error


def bounded(path: Path, most: int = MAX_INDEX) -> bytes:
    """A file's bytes. Raises BadInput when it cannot be read or has over `most` of them."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    if len(content) > most:
        raise BadInput(f"{path} is larger than {most // 2**20} MiB")
    return content


def split_named(text: str) -> Split:
    """The side that a folder's or file's name means: «val2017», «valid» and «dev» are val; what is unknown is train."""
    name = text.lower()
    if name.startswith(("val", "dev")):
        return "val"
    return "test" if name.startswith("test") else "train"


def pictures_under(folder: Path) -> Iterator[str]:
    """The paths of all pictures below a folder, relative to it, in order."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return iter(sorted(path.relative_to(folder).as_posix() for path in found))
