"""Words to boxes: OWL-ViT, OWLv2 and Grounding DINO behind one `Detector` (ChatGenImage 3.2).

Each proposes boxes for a picture and says how well each of its queries fits each box; thresholds, clipping and the
merging of overlaps are the same for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from limner.backends.grounding import GroundingDino
from limner.backends.hardware import Plan
from limner.backends.hub import not_loadable, read_json
from limner.backends.looking import checked_folder, load_model, load_tokenizer
from limner.backends.owl import Owl
from limner.backends.preprocess import read_preprocessing
from limner.types import Box, ModelUnavailable, Picture, Region

_CLASSES = {
    "owlvit": "OwlViTForObjectDetection",
    "owlv2": "Owlv2ForObjectDetection",
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}
# What the models' own examples use.
_OWL_THRESHOLD, _DINO_THRESHOLD = 0.1, 0.3
# The published OWLs learned from prompts and do worse on bare nouns. The embedded one learned from the words that
# people ask with, so there a prompt would only be noise; its limner.json says so.
_OWL_PROMPT = "a photo of a {}"
_SAME_THING = 0.5


def load_detector(source: str, *, plan: Plan, name: str = "") -> OpenVocabularyDetector:
    """Load an OWL-ViT, OWLv2, Grounding DINO or MM Grounding DINO from `embedded:`, a folder or a Hugging Face id.

    `limner.json` in its folder may hold {"threshold": least score, "prompt": "a photo of a {}"}, the second for the
    OWLs only, and {"nouns": [...], "colours": [...], "present": score} of a model that may be asked whether these are
    there at all. `name` is what reports call it (default: the source). Raises ModelUnavailable when it is missing, of
    another class, malformed or unsafe.
    """
    folder, kind = checked_folder(source, _CLASSES, default="detector")
    model = load_model(folder, _CLASSES[kind], torch.float32).to(plan.device)
    owl = kind in ("owlvit", "owlv2")
    settings = _settings(folder, _OWL_THRESHOLD if owl else _DINO_THRESHOLD)
    known = (settings.threshold, settings.present or settings.threshold, settings.things)
    tokenizer = load_tokenizer(folder)
    if not owl:  # in float32 whatever the plan: its boxes are refined by small sums from layer to layer
        return OpenVocabularyDetector(name or source, GroundingDino(model, tokenizer, _processor(folder)), *known)
    try:
        finder = Owl(model, tokenizer, read_preprocessing(folder), settings.prompt, square=kind == "owlv2")
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error
    finder.set_precision(getattr(torch, plan.precision))
    return OpenVocabularyDetector(name or source, finder, *known)


def _processor(folder: Path) -> Any:
    from transformers import GroundingDinoImageProcessorPil

    kind: Any = GroundingDinoImageProcessorPil
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error


class _Settings(BaseModel):
    """What limner.json may say of a detector; what it says besides is for people."""

    model_config = ConfigDict(frozen=True, strict=True)
    threshold: Annotated[float, Field(ge=0, le=1)]
    prompt: Annotated[str, Field(pattern=r"\{\}")] = _OWL_PROMPT
    present: Annotated[float, Field(ge=0, le=1)] | None = None
    nouns: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()

    @property
    def things(self) -> frozenset[str]:
        """Every noun, bare and in every colour."""
        return frozenset((*self.nouns, *(f"{colour} {noun}" for colour in self.colours for noun in self.nouns)))


def _settings(folder: Path, threshold: float) -> _Settings:
    """What limner.json asks for, if it is there; `threshold` where it says none."""
    path = folder / "limner.json"
    content: Any = read_json(path) if path.is_file() else {}
    try:
        return _Settings.model_validate_json(json.dumps({"threshold": threshold, **content}))
    except (ValueError, TypeError) as error:
        raise ModelUnavailable(f'{path} must hold {{"threshold": 0 to 1, "prompt": "... {{}} ..."}}') from error


@dataclass(slots=True)
class OpenVocabularyDetector:
    """A Detector (see protocols). `threshold` is the least score of a region unless a call says otherwise."""

    name: str
    finder: Owl | GroundingDino
    threshold: float
    present: float
    things: frozenset[str] = frozenset()

    @torch.inference_mode()
    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        """For each picture the regions of its queries, best score first; boxes are xyxy pixels within the picture.

        Of regions of one query that overlap by an IoU over 0.5 only the best is kept. Scores are probabilities of
        this model and do not compare with another's. Raises ValueError for another number of query lists.
        """
        if len(pictures) != len(queries):
            raise ValueError(f"{len(pictures)} pictures and {len(queries)} lists of queries")
        asked = [list(dict.fromkeys(query for query in each if query.strip())) for each in queries]
        least = self.threshold if threshold is None else threshold
        found = self.finder.find(pictures, asked)
        return [_regions(*each, picture, own, least) for each, picture, own in zip(found, pictures, asked, strict=True)]


def _regions(boxes: Tensor, scores: Tensor, picture: Picture, queries: Sequence[str], least: float) -> list[Region]:
    sides = boxes.new_tensor([picture.width, picture.height])
    inside = boxes.view(-1, 2, 2).clamp(min=0).minimum(sides).view(-1, 4).numpy()
    # What lies outside the picture altogether, as in OWLv2's padding, has no area left.
    real = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    regions: list[Region] = []
    for query, each in zip(queries, scores.T.cpu().double().numpy(), strict=True):
        kept = np.flatnonzero(real & (each >= least) & (each > 0))
        best = kept[distinct(inside[kept], each[kept])]
        regions += [Region(query, _box(inside[i]), float(each[i])) for i in best]
    return sorted(regions, key=lambda region: -region.score)


def _box(box: npt.NDArray[np.float64]) -> Box:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


def distinct(boxes: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> list[int]:
    """Non-maximum suppression: indices of boxes (n, 4), best score first, none with IoU over 0.5 with a better one."""
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[_iou(boxes[best], boxes[waiting]) <= _SAME_THING]
    return kept


def _iou(box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of one box with each of `others` (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / (areas + (box[2:] - box[:2]).prod() - shared)
