"""The command that ships: what is named goes its way, and the vocabulary is written anew each time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.train import ship
from limner.world.sample import Palette

WAYS = {
    "clip": "ship_clip",
    "judge": "ship_judge",
    "detector": "ship_detector",
    "segmenter": "ship_segmenter",
    "captioner": "ship_captioner",
    "unet": "ship_pipeline",
    "editor": "ship_editor",
}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What was shipped from where, in order; nothing is."""
    told: list[tuple[str, Path]] = []

    def noting(name: str) -> Callable[..., None]:
        def note(source: Path, *_: Palette) -> None:
            told.append((name, source))

        return note

    def concepts(palette: Palette) -> dict[str, list[str]]:
        return {"concepts": list(palette.concepts)}

    for name, way in WAYS.items():
        monkeypatch.setattr(ship, way, noting(name))
    monkeypatch.setattr(ship, "vocabulary", concepts)
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path)
    return told


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ship", *arguments])
    ship.main()


@pytest.mark.parametrize("name", WAYS)
def test_only_what_is_named_ships(
    name: str, shipped: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, f"--{name}", "trained")
    assert shipped == [(name, Path("trained"))]
    assert "fox" in json.loads((tmp_path / "vocabulary.json").read_text())["concepts"]


def test_the_editor_ships_after_the_model_that_it_is_a_difference_to(
    shipped: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--editor", "a", "--unet", "b")
    assert shipped == [("unet", Path("b")), ("editor", Path("a"))]
