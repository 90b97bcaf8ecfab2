"""Put trained eyes and hands into the package: half precision, and what they reached on scenes held out of training.

What a model reached is measured through the loader that users have, on the very weights that ship; `limner.json` beside
them says it: {"reached": {"mean IoU": ..., "mean IoU, held out": ...}}.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn
from transformers import BlipForConditionalGeneration, OwlViTForObjectDetection, SamModel

from limner.backends.captioner import load_captioner
from limner.backends.detector import load_detector
from limner.backends.editor import load_editor
from limner.backends.hardware import plan
from limner.backends.hub import WEIGHTS
from limner.backends.segmenter import load_segmenter
from limner.evaluate import eyes, sections
from limner.train.calibrate import PRESENT, least_threshold, presence_claims
from limner.train.libraries import from_folder, to_folder
from limner.world.sample import Palette
from limner.world.vocabulary import COLOURS

SCENES = 400
"""Scenes of each side that a model is measured on before it ships."""


def ship_detector(source: Path, palette: Palette, count: int = SCENES) -> None:
    """The detector's folder in half precision, with its thresholds and what it reached on held-out scenes."""
    folder = _halved(OwlViTForObjectDetection, source, "detector")
    detector = load_detector(str(folder), plan=plan(precision="float32"))
    scenes = sections.rendered(palette, count)
    total = sum(len(sight.truth) for sight in scenes.known)
    detector.threshold = round(eyes.best_threshold(eyes.claims(detector, scenes.known), total), 3)
    present, precision, recall = least_threshold(presence_claims(detector, palette, 2 * count), PRESENT)
    figures = sections.detector_figures(detector, scenes)
    figures |= {"things, precision": precision, "things, recall": recall}
    known = {"nouns": list(palette.concepts), "colours": list(COLOURS)}
    _note(folder, figures, prompt="{}", threshold=detector.threshold, present=round(present, 3), **known)


def ship_segmenter(source: Path, palette: Palette, count: int = SCENES) -> None:
    """The segmenter's folder in half precision, with the mean IoU that it reached."""
    folder = _halved(SamModel, source, "segmenter")
    segmenter = load_segmenter(str(folder), plan=plan(precision="float32"))
    _note(folder, sections.segmenter_figures(segmenter, sections.rendered(palette, count)))


def ship_captioner(source: Path, palette: Palette, count: int = SCENES) -> None:
    """The captioner's folder in half precision, with the share of captions that had just the right nouns."""
    folder = _halved(BlipForConditionalGeneration, source, "captioner")
    captioner = load_captioner(str(folder), plan=plan(precision="float32"))
    _note(folder, sections.captioner_figures(captioner, sections.rendered(palette, count, stages=eyes.FEW)))


def ship_editor(source: Path) -> None:
    """The editor's difference to the text-to-image model in half precision.

    Raises ModelUnavailable when the two do not belong together. What the editor reached is told by
    `limner eval dialogpaint`, which takes too long to run here.
    """
    folder = WEIGHTS / "editor"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in sorted(source.glob("*_difference.safetensors")):
        tensors: dict[str, Tensor] = load_file(file)
        save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / file.name)
    shutil.copy(source / "limner.json", folder)
    load_editor(str(folder), plan=plan(precision="float32"))


def _halved(kind: type[nn.Module], source: Path, name: str) -> Path:
    """The folder in the package that now holds the source's files, its weights in half precision."""
    folder = WEIGHTS / name
    model = from_folder(kind, source, dtype=torch.float32).eval()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    nn.Module.half(model)  # the library's own `half` only asks first whether the model is quantised
    to_folder(model, folder)
    return folder


def _note(folder: Path, reached: sections.Figures, **settings: Any) -> None:
    rounded = {name: round(value, 3) for name, value in reached.items()}
    (folder / "limner.json").write_text(json.dumps({**settings, "reached": rounded}, indent=1))
