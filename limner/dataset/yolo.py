"""YOLO, as ultralytics reads it: images/SPLIT/ID.png, labels/SPLIT/ID.txt, data.yaml.

A label's line is «class x y w h», its centre and size as shares of the picture's, with 8 decimals. Captions, masks,
scores and lineage have no place there. A picture without regions has an empty label file, which means just that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

from limner.dataset.imports import (
    Names,
    bounded,
    clipped,
    imported,
    known_info,
    load_picture,
    pictures_under,
)
from limner.dataset.items import SPLITS, Annotation, Dataset, Entry, Split
from limner.types import BadInput, Box

DATA = "data.yaml"
MAX_YAML = 2**22


def write(root: Path, dataset: Dataset) -> tuple[int, int]:
    """Write the dataset; returns the number of items, and 0 for the rejects, which YOLO has no place for.

    Raises BadInput for a label that is not among the classes.
    """
    numbers = {name: number for number, name in enumerate(dataset.info.classes)}
    # Trainers want both sides named, and say themselves that one is empty.
    splits: set[Split] = {"train", "val"}
    count = 0
    for item, data in dataset.entries:
        count += 1
        splits.add(item.split)
        lines = [_line(content, numbers, item.width, item.height) for content in item.regions]
        pictures, labels = root / "images" / item.split, root / "labels" / item.split
        for folder in (pictures, labels):
            folder.mkdir(parents=True, exist_ok=True)
        (pictures / f"{item.id}{item.suffix}").write_bytes(data)
        (labels / f"{item.id}.txt").write_text("".join(lines), encoding="ascii", newline="\n")
    for split in splits:
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
    (root / DATA).write_text(_data_yaml(dataset.info.classes, splits), encoding="utf-8", newline="\n")
    return count, 0


def _line(content: Annotation, numbers: dict[str, int], width: int, height: int) -> str:
    if content.label not in numbers:
        raise BadInput(f"{content.label[:80]!r} is not among the dataset's classes", "add it to limner.json's classes")
    x0, y0, x1, y1 = content.box
    shares = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return f"{numbers[content.label]} {' '.join(f'{share:.8f}' for share in shares)}\n"


def _data_yaml(classes: Sequence[str], splits: set[Split]) -> str:
    """Without a `path`, so that the folder can be moved: trainers take the file's own."""
    sides = [f"{split}: images/{split}\n" for split in SPLITS if split in splits]
    names = [f"  {number}: {yaml_string(name)}\n" for number, name in enumerate(classes)]
    return "".join([*sides, "names:\n" if names else "names: {}\n", *names])


def yaml_string(text: str) -> str:
    """A double-quoted YAML scalar; what YAML forbids or would fold is escaped."""
    return f'"{"".join(map(_yaml_character, text))}"'


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def read(root: Path) -> Dataset:
    """Open a YOLO folder, Limner's or anyone's; outlines of five points and more become the boxes around them.

    Raises BadInput when data.yaml is missing or no such file, and as pictures and labels are reached.
    """
    content = _load_yaml(root / DATA)
    classes = _names(content.get("names"))
    sides: list[tuple[Split, str]] = [(split, path) for split in SPLITS for path in _paths(content, split)]
    return Dataset(known_info(root, root.name, tuple(classes)), _entries(root, sides, classes), iter(()))


def _load_yaml(path: Path) -> dict[str, Any]:
    import yaml  # pyright: ignore[reportMissingModuleSource]

    try:
        content = yaml.safe_load(bounded(path, MAX_YAML))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no YAML, or is damaged") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is no YOLO dataset", "it names train, val and names")
    return cast(dict[str, Any], content)


def _names(names: Any) -> list[str]:
    """The classes by their numbers, from a list or from a mapping without gaps."""
    if isinstance(names, dict):
        by_number = cast(dict[Any, Any], names)
        names = [by_number.get(number) for number in range(len(by_number))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast(list[Any], names)):
        raise BadInput(f"{DATA}'s names are no list of texts, nor numbered from 0")
    return cast(list[str], names)


def _paths(content: dict[str, Any], key: str) -> list[str]:
    value: Any = content.get(key) or []
    paths: list[Any] = cast(list[Any], value) if isinstance(value, list) else [value]
    if not all(isinstance(path, str) for path in paths):
        raise BadInput(f"{DATA}'s {key} is no folder")
    return cast(list[str], paths)


def _entries(root: Path, sides: Sequence[tuple[Split, str]], classes: Sequence[str]) -> Iterator[Entry]:
    names = Names()
    for split, side in sides:
        folder = (root / side).resolve()
        if not folder.is_relative_to(root.resolve()):
            raise BadInput(f"{side[:200]!r} lies outside of {root}", "pictures are read from the dataset's folder only")
        if not folder.is_dir():
            raise BadInput(f"{DATA} names {side[:200]!r}, which is no folder of {root}")
        for name in pictures_under(folder):
            path = folder.relative_to(root.resolve()) / name
            data, width, height = load_picture(root, path.as_posix())
            regions = tuple(_annotations(root, path, classes, width, height))
            yield (
                imported(names.give(path.as_posix()), name, (width, height), split=split, regions=regions),
                data,
            )


def _annotations(root: Path, path: Path, classes: Sequence[str], width: int, height: int) -> Iterator[Annotation]:
    labels = _labels_path(root, path)
    text = bounded(labels).decode("utf-8", "replace") if labels.is_file() else ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            label, box = _parsed(line, classes, f"{labels.name}:{number}")
            x0, y0, x1, y1 = box
            if found := clipped((x0 * width, y0 * height, x1 * width, y1 * height), width, height):
                yield Annotation(label, found)


def _labels_path(root: Path, path: Path) -> Path:
    """images/… to labels/…, the last «images» of the path as trainers do it."""
    parts = list(PurePosixPath(path.with_suffix(".txt").as_posix()).parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    found = root.joinpath(*parts)
    if not found.resolve().is_relative_to(root.resolve()):
        raise BadInput(f"{found} leads out of the folder")
    return found


def _parsed(line: str, classes: Sequence[str], where: str) -> tuple[str, Box]:
    """A line's label and box in shares of the picture: x0, y0, x1, y1."""
    number, *fields = line.split()
    try:
        values = [float(value) for value in fields]
        label = classes[int(number)] if number.isdecimal() else ""
    except (ValueError, IndexError):
        label, values = "", []
    shaped = len(values) == 4 or (len(values) >= 6 and not len(values) % 2)
    if not label or not shaped or not all(-10 < value < 10 for value in values):
        raise BadInput(f"{where} is no label: {line[:80]!r}", "class x y w h, as shares of the picture")
    if len(values) == 4:
        x, y, w, h = values
        return label, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    return label, (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
