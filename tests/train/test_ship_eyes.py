"""Shipping the eyes and hands: half precision, what was reached beside them, and folders that users' loaders take."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from limner.backends.captioner import load_captioner
from limner.backends.detector import load_detector
from limner.backends.editor import load_editor
from limner.backends.hardware import Plan
from limner.backends.segmenter import load_segmenter
from limner.evaluate import eyes, sections
from limner.protocols import EditRequest
from limner.train import ship_eyes
from limner.train.calibrate import PRESENT, least_threshold, presence_claims
from limner.train.ship_eyes import ship_captioner, ship_detector, ship_editor, ship_segmenter
from limner.types import ModelUnavailable, Picture
from tests import tiny_eyes, tiny_hands
from tests.world.small import SHAPES

PLAN = Plan("cpu", 1, "float32", "")
COUNT = 4
PICTURE = Picture(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models as training leaves them: sam, blip and owl, an editor and its base. Read only."""
    folder = tmp_path_factory.mktemp("trained")
    tiny_eyes.sam(folder / "sam")
    tiny_eyes.blip_captioner(folder / "blip")
    (tiny_eyes.owlvit(folder / "owl") / "limner.json").write_text('{"prompt": "{}"}')
    tiny_hands.editor_difference(folder / "editor", rank=2)
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where things ship to, with something of an earlier time in each folder."""
    for name in ("detector", "segmenter", "captioner", "editor"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old_difference.safetensors").write_text("old")
    monkeypatch.setattr(ship_eyes, "WEIGHTS", tmp_path)
    return tmp_path


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "limner.json").read_text())


def rounded(figures: sections.Figures) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def check_halved(source: Path, folder: Path) -> None:
    """Every tensor of the source is there in half precision, and nothing of an earlier time."""
    assert {path.name for path in folder.iterdir()} == {path.name for path in source.iterdir()} | {"limner.json"}
    for file in source.glob("*.safetensors"):
        before: dict[str, Tensor] = load_file(file)
        after: dict[str, Tensor] = load_file(folder / file.name)
        assert {tensor.dtype for tensor in before.values()} == {torch.float32}
        assert {tensor.dtype for tensor in after.values()} == {torch.float16}
        assert before.keys() == after.keys()
        for name, tensor in before.items():
            torch.testing.assert_close(after[name].float(), tensor, atol=1e-3, rtol=1e-3)


def test_a_segmenter_ships_with_the_overlap_it_reached(trained: Path, package: Path) -> None:
    ship_segmenter(trained / "sam", SHAPES, COUNT)
    check_halved(trained / "sam", package / "segmenter")
    shipped = load_segmenter(str(package / "segmenter"), plan=PLAN)
    figures = sections.segmenter_figures(shipped, sections.rendered(SHAPES, COUNT))
    assert about(package / "segmenter") == {"reached": rounded(figures)}
    assert figures.keys() == {"mean IoU", "mean IoU, held out"}
    assert 0 < figures["mean IoU, held out"] < 1


def test_a_captioner_ships_with_the_share_of_right_captions(
    trained: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[eyes.Sight] = []

    def three_in_four(captioner: object, seen: list[eyes.Sight], palette: object) -> float:
        shown.extend(seen)
        return 0.75

    ship_captioner(trained / "blip", SHAPES, COUNT)
    assert about(package / "captioner") == {"reached": {"nouns right": 0.0, "nouns right, held out": 0.0}}
    check_halved(trained / "blip", package / "captioner")
    assert load_captioner(str(package / "captioner"), plan=PLAN).caption([PICTURE])
    monkeypatch.setattr(eyes, "nouns_right", three_in_four)  # the tiny one knows no word of these scenes
    ship_captioner(trained / "blip", SHAPES, COUNT)
    assert about(package / "captioner") == {"reached": {"nouns right": 0.75, "nouns right, held out": 0.75}}
    assert {len(sight.scene.things) for sight in shown} == {1, 2}


def test_a_detector_ships_with_its_best_threshold_and_asks_bare_nouns(trained: Path, package: Path) -> None:
    ship_detector(trained / "owl", SHAPES, COUNT)
    check_halved(trained / "owl", package / "detector")
    told = about(package / "detector")
    shipped = load_detector(str(package / "detector"), plan=PLAN)
    scenes = sections.rendered(SHAPES, COUNT)
    assert told["prompt"] == "{}"
    assert shipped.threshold == told["threshold"]
    best = eyes.best_threshold(eyes.claims(shipped, scenes.known), sum(len(sight.truth) for sight in scenes.known))
    assert told["threshold"] == round(best, 3)
    figures = rounded(sections.detector_figures(shipped, scenes))
    assert {name: told["reached"][name] for name in figures} == figures
    assert "red circle" in shipped.things
    rows = presence_claims(shipped, SHAPES, 2 * COUNT)
    present, precision, recall = least_threshold(rows, PRESENT)
    assert shipped.present == told["present"] == round(present, 3)
    assert told["reached"]["things, precision"] == round(precision, 3)
    assert told["reached"]["things, recall"] == round(recall, 3)


def editor_beside_its_base(trained: Path, package: Path) -> None:
    shutil.copytree(trained / "base", package / "base")
    ship_editor(trained / "editor")


def test_an_editor_ships_as_a_difference_that_edits_the_same(trained: Path, package: Path) -> None:
    editor_beside_its_base(trained, package)
    check_halved(trained / "editor", package / "editor")
    assert about(package / "editor") == {"base": "base"}
    request = EditRequest(PICTURE, "red fox", 1, 2, 5.0, 1.5)
    [before], [after] = (load_editor(str(each / "editor"), plan=PLAN).edit([request]) for each in (trained, package))
    assert np.abs(before.pixels.astype(int) - after.pixels).mean() < 2


def test_an_editor_of_another_base_is_not_taken(trained: Path, package: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(trained / "editor", tmp_path / "other"))
    save_file({"no.such.weight": torch.zeros(2)}, other / "unet_difference.safetensors")
    shutil.copytree(trained / "base", package / "base")
    with pytest.raises(ModelUnavailable, match=r"no\.such\.weight"):
        ship_editor(other)
