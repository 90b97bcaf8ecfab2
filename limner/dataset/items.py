"""What a dataset is made of, as frozen values whose bounds are checked when they are written or read (`rows`).

Boxes are (x0, y0, x1, y1) in pixels as everywhere in Limner, x1 and y1 exclusive; masks are COCO's uncompressed runs.
Ids are safe as file names: 1 to 80 letters, digits, hyphens and underscores (no dot, at which WebDataset ends a name).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from limner.image.files import MAX_PIXELS
from limner.image.rle import from_rle, to_rle
from limner.types import Region

FORMAT = 1
MAX_LINE = 16 * 2**20
"""Bytes of one row, masks included, and of limner.json."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Form = Literal["limner", "coco", "yolo", "webdataset", "imagefolder"]
ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_Id = Annotated[str, Field(pattern=f"^{ID}$")]
_File = Annotated[str, Field(pattern=rf"^(?:[A-Za-z0-9_-]{{1,80}}/){{0,3}}{ID}\.(?:png|jpg|jpeg|webp)$")]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Text = Annotated[str, Field(max_length=10_000)]
_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
_Seed = Annotated[int, Field(ge=0, lt=2**64)]
_Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]
_Box = tuple[_Number, _Number, _Number, _Number]
_STRICT = ConfigDict(strict=True, extra="forbid")


class Runs(TypedDict):
    """An `Rle`, in the form that pydantic reads in every version of Python."""

    __pydantic_config__ = _STRICT  # pyright: ignore[reportGeneralTypeIssues]
    size: list[int]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A labelled place: box in pixels, score in [0, 1] or a cosine, mask as runs over the whole picture."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    label: _Name
    box: _Box
    score: _Number = 1.0
    mask: Runs | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that had a part in a picture: what for («draw», «detect», ...), its name, hash and licence."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    role: _Name
    name: _Name
    hash: _Text = ""
    licence: _Text = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change on the way to a picture: «background» or «fill» (ChatGenImage 3.4), the box being the filled one."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    kind: _Name
    instruction: _Text
    seed: _Seed = 0
    box: _Box | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a picture comes from.

    `parents` are the ids of the pictures that it was made from, the first picture of all first and the one that was
    edited last; () for a first picture. `scores` are those of the filters (ChatGenImage 3.5), by name.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    prompts: Annotated[tuple[_Text, ...], Field(max_length=64)] = ()
    seeds: Annotated[tuple[_Seed, ...], Field(max_length=64)] = ()
    models: Annotated[tuple[Model, ...], Field(max_length=64)] = ()
    edits: Annotated[tuple[Edit, ...], Field(max_length=64)] = ()
    parents: Annotated[tuple[_Id, ...], Field(max_length=64)] = ()
    scores: Annotated[Mapping[_Name, _Number], Field(max_length=256)] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Item:
    """One annotated picture. `file` is its path within the dataset's folder, `sha256` that of the file's bytes."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    id: _Id
    file: _File
    sha256: _Sha256
    width: _Side
    height: _Side
    caption: _Text = ""
    split: Split = "train"
    regions: Annotated[tuple[Annotation, ...], Field(max_length=1000)] = ()
    lineage: Lineage = field(default_factory=Lineage)

    @property
    def root(self) -> str:
        """The id of the first picture that this one descends from; its own where it is one."""
        return self.lineage.parents[0] if self.lineage.parents else self.id

    @property
    def suffix(self) -> str:
        """The file's suffix, with its dot."""
        return PurePosixPath(self.file).suffix


@dataclass(frozen=True, slots=True)
class Reject:
    """What was kept out and why. `reason` is a short word to count by; `item` is None where no picture came about."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    id: _Id
    reason: _Name
    detail: _Text = ""
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Info:
    """limner.json: what holds for the whole dataset. `spec` is what was asked for, as JSON values.

    `items` and `rejects` count the rows, so that a lost shard is noticed; `generated` marks pictures drawn by models;
    `form` says what the folder beside it is.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: _Name = "dataset"
    classes: Annotated[tuple[_Name, ...], Field(max_length=10_000)] = ()
    seed: _Seed = 0
    spec: Mapping[str, Any] = field(default_factory=dict[str, Any])
    models: Annotated[tuple[Model, ...], Field(max_length=256)] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    generated: bool = False
    items: _Count = 0
    rejects: _Count = 0
    form: Form = "limner"
    format: Annotated[int, Field(ge=1)] = FORMAT


Entry = tuple[Item, bytes]
"""An item and the bytes of its picture's file."""

RejectEntry = tuple[Reject, bytes]
"""A reject and the bytes of its picture's file, b"" for none."""


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A dataset as it is read: once through, one picture at a time."""

    info: Info
    entries: Iterator[Entry]
    rejects: Iterator[RejectEntry]


def annotation(region: Region) -> Annotation:
    """A region as a dataset holds it: box to 0.01 pixels, score to 4 places, so that every form gives them back."""
    x0, y0, x1, y1 = (round(float(side), 2) for side in region.box)
    mask = None if region.mask is None else to_rle(region.mask)
    return Annotation(region.label, (x0, y0, x1, y1), round(float(region.score), 4), mask)


def region(content: Annotation) -> Region:
    """An annotation as the rest of Limner speaks of it. Raises BadInput for a mask that is none."""
    return Region(content.label, content.box, content.score, None if content.mask is None else from_rle(content.mask))
