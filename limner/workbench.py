"""What one item of a dataset is made from and what is kept of it: spec, models, rows, rejects, pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from limner import __version__
from limner.brainstorm import SceneMode, Vocabulary
from limner.filters import Thresholds, Verdict
from limner.image import png_bytes, to_rle
from limner.imagine import BoxLimits
from limner.label import label
from limner.look import parse_queries
from limner.protocols import EditModels, Models
from limner.refine import SEEDS
from limner.shards import Made, Reject, Row
from limner.turn import canonical
from limner.types import AnnotatedPicture, BadInput, Box, Picture, Region


@dataclass(frozen=True, slots=True)
class SynthSpec:
    """What decides how an item turns out. `classes` take turns, item by item.

    `mode` is that of the scene prompts, "both" for one after the other. Of `candidates` drawn the best is taken; each
    first picture is edited into `scenes` others, with another `background` if so, and with `objects` new things, each
    step in at most `attempts` tries. `size` is (width, height) in pixels, None for the model's own. Without `filtered`
    every picture is kept, whatever the checks say. Raises BadInput for what cannot be made.
    """

    classes: tuple[str, ...]
    vocabulary: Vocabulary
    seed: int = 0
    mode: SceneMode | Literal["both"] = "both"
    candidates: int = 4
    scenes: int = 1
    background: bool = True
    objects: int = 1
    attempts: int = 2
    size: tuple[int, int] | None = None
    filtered: bool = True
    thresholds: Thresholds = field(default_factory=Thresholds)
    limits: BoxLimits = field(default_factory=BoxLimits)

    def __post_init__(self) -> None:
        if parse_queries(",".join(self.classes)) != self.classes:
            raise BadInput(f"the classes {', '.join(self.classes)}", "name each once, without commas or extra blanks")
        for name, least in (("candidates", 1), ("attempts", 1), ("scenes", 0), ("objects", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}", f"it must be at least {least}")
        if not 0 <= self.seed < SEEDS:
            raise BadInput(f"seed is {self.seed}", f"give a whole number from 0 to {SEEDS - 1}")

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values; equal specs give equal ones."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SynthModels:
    """All that synthesis needs: who draws and scores, and who looks, scores edits and changes pictures.

    `features` remembers what classes look like, as a language model said once.
    """

    drawing: Models
    editing: EditModels
    features: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def names(self) -> dict[str, str]:
        """Each role's model by name, with the hash of its weights where it has one."""
        eyes, hands = self.editing.eyes, self.editing.hands
        painter = self.drawing.text_to_image
        return {
            "text_to_image": f"{painter.name} {painter.model_hash}",
            "editor": f"{hands.editor.name} {hands.editor.model_hash}",
            "inpainter": f"{hands.inpainter.name} {hands.inpainter.model_hash}",
            "language": self.drawing.language.name,
            "scorer": self.editing.scorer.name,
            "detector": eyes.detector.name,
            "segmenter": eyes.segmenter.name,
            "captioner": eyes.captioner.name,
            "limner": __version__,
        }


def item_id(spec: SynthSpec, index: int, models: SynthModels) -> str:
    """64 hex digits: the hash of the spec, the item's number and the models."""
    return _digest({"spec": spec.to_json(), "index": index, "models": models.names})


@dataclass(frozen=True, slots=True)
class Bench:
    """One item at work: what is asked for, and what was kept and rejected so far."""

    spec: SynthSpec
    index: int
    models: SynthModels
    item: str
    rows: list[Row] = field(default_factory=list[Row])
    rejects: list[Reject] = field(default_factory=list[Reject])
    pictures: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def seed(self, *parts: str | int) -> int:
        """A seed for one step of this item."""
        return int(_digest([self.item, *parts])[:16], 16) % SEEDS

    def look(self, picture: Picture, also: Sequence[str] = (), places: Sequence[Box] = ()) -> AnnotatedPicture:
        """The picture with its labels; `places` are where things should be."""
        classes = list(dict.fromkeys((*self.spec.classes, *also)))
        return label(self.models.editing.eyes, picture, classes, threshold=self.spec.thresholds.found, places=places)

    def passes(self, verdict: Verdict) -> bool:
        """Whether a picture stays: by its verdict, unless nothing is filtered."""
        return verdict.kept or not self.spec.filtered

    def keep(
        self, seen: AnnotatedPicture, parent: str, asked: str, scores: Mapping[str, float], made: Mapping[str, Any]
    ) -> Row:
        """Add a picture to the dataset. The rejects since the last row are on its account."""
        told = {name for row in self.rows for name in row.rejects}
        row = Row(
            id=f"{self.item}-{len(self.rows)}",
            item=self.item,
            index=self.index,
            parent=parent,
            picture=self._stored(seen.picture, made),
            width=seen.picture.width,
            height=seen.picture.height,
            label=asked,
            caption=seen.caption,
            regions=[_region(region) for region in seen.regions],
            scores=dict(scores),
            lineage=self._lineage(made),
            rejects=[reject.id for reject in self.rejects if reject.id not in told],
        )
        self.rows.append(row)
        return row

    def turn_down(
        self, stage: str, parent: str, verdict: Verdict, made: Mapping[str, Any], picture: Picture | None = None
    ) -> None:
        """Keep a reject aside, with its picture where one is given."""
        stored = "" if picture is None else self._stored(picture, made)
        name, lineage = f"{self.item}-r{len(self.rejects)}", self._lineage(made)
        scores = dict(verdict.scores)
        reject = Reject(name, self.item, self.index, parent, stage, verdict.reason, scores, lineage, stored)
        self.rejects.append(reject)

    def made(self) -> Made:
        """All that came of the item."""
        return Made(self.index, tuple(self.rows), tuple(self.rejects), self.pictures, _digest(self.models.names))

    def _lineage(self, made: Mapping[str, Any]) -> dict[str, Any]:
        return {**made, "models": self.models.names, "generated": True}

    def _stored(self, picture: Picture, made: Mapping[str, Any]) -> str:
        data = png_bytes(picture, extra={"synth": {"item": self.item, **self._lineage(made)}})
        name = hashlib.sha256(data).hexdigest()
        self.pictures[name] = data
        return name


def _region(region: Region) -> dict[str, Any]:
    return {
        "label": region.label,
        "box": [round(side, 2) for side in region.box],
        "score": round(region.score, 5),
        "mask": None if region.mask is None else to_rle(region.mask),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
