"""A rating on disk: two folders of pictures, and a file that gets a line with every answer.

A line is written and synced before the next pair is shown, so that a kill loses nothing; half a line is left out when
the file is read again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limner.rating import Choice, Ratings, pairs_of
from limner.types import BadInput

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PROMPTS = "prompts.json"
"""In a folder of pictures, what each was asked for: {"0000.png": "..."}; shown above both."""

_MAX_BYTES = 64 * 2**20


class _Head(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    first: str
    second: str
    seed: int


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    row: Annotated[str, Field(max_length=255)]
    choice: Literal["left", "tie", "right"]


@dataclass(slots=True)
class RatingFolder:
    """A rating of the pictures that two folders have of the same names, with the file that keeps its answers."""

    first: Path
    second: Path
    file: Path
    ratings: Ratings
    prompts: Mapping[str, str]

    def picture(self, row: str, side: Literal["left", "right"]) -> Path:
        """The file that stands on a side of a row. Raises BadInput for a row that is none."""
        pair = next((pair for pair in self.ratings.pairs if pair.row == row), None)
        if pair is None:
            raise BadInput(f"there is no row {row[:80]!r}")
        return (self.first if (side == "left") != pair.swapped else self.second) / row

    def answer(self, row: str, choice: Choice) -> None:
        """Keep an answer, on disk before it counts; a second one for the same row replaces the first."""
        pair = next((pair for pair in self.ratings.pairs if pair.row == row), None)
        if pair is None:
            raise BadInput(f"there is no row {row[:80]!r}")
        said = {"row": row, "choice": choice, "verdict": pair.verdict(choice), "time": round(time.time(), 1)}
        _append(self.file, said)
        self.ratings = replace(self.ratings, choices={**self.ratings.choices, row: choice})


def open_rating(first: Path, second: Path, file: Path, seed: int) -> RatingFolder:
    """The rating of two folders, begun in `file` or gone on with from it.

    Raises BadInput where the folders have no picture name in common, and for a file that belongs to another rating.
    """
    rows = sorted(_names(first) & _names(second))
    if not rows:
        raise BadInput(f"{first} and {second} have no pictures of the same name", "name two folders of one run's rows")
    head = {"first": str(first), "second": str(second), "seed": seed}
    choices = _read(file, head) if file.exists() else {}
    if not file.exists():
        _append(file, head)
    ratings = Ratings(str(first), str(second), seed, pairs_of(rows, seed), choices)
    return RatingFolder(first, second, file, ratings, _prompts(first))


def _names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder", "name two folders of pictures")
    return {path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()}


def _prompts(folder: Path) -> dict[str, str]:
    path = folder / PROMPTS
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return {}
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(text)[:2000] for name, text in dict(told).items()}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}  # the pictures can be rated without


def _read(file: Path, head: Mapping[str, Any]) -> dict[str, Choice]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise BadInput(f"{file} is over 64 MiB", "that is no file of ratings")
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        first, *others = whole.decode().splitlines() or [""]
        began = _Head.model_validate_json(first)
        answers = [_Answer.model_validate_json(line) for line in others]
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise BadInput(f"{file} is no file of ratings ({type(error).__name__})", "name a new file with --out") from None
    if began.model_dump() != dict(head):
        hint = "name a new file with --out, or the same folders and --seed"
        raise BadInput(f"{file} rates {began.first} and {began.second}, seed {began.seed}", hint)
    if len(whole) < len(content):
        file.write_bytes(whole)
    return {answer.row: answer.choice for answer in answers}


def _append(file: Path, said: Mapping[str, Any]) -> None:
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(said, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}", "name another file with --out") from None
