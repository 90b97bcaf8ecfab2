"""Shipping the dialogue model: half precision, within its size, and what it reached beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from limner.train import ship_dialogue as shipping
from limner.train.ship_dialogue import ship_dialogue
from tests.tiny_dialogue import blenderbot


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blenderbot(tmp_path_factory.mktemp("trained") / "model", steps=20)


def test_it_ships_in_half_precision_with_what_it_reached(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "dialogue").mkdir()
    (tmp_path / "dialogue" / "old").write_text("old")
    reached = ship_dialogue(trained, 3, tmp_path / "dialogue")
    assert json.loads((tmp_path / "dialogue" / "limner.json").read_text()) == {"reached": reached}
    assert {"perplexity", "ambiguous asked", "clear asked"} <= reached.keys()
    weights = load_file(tmp_path / "dialogue" / "model.safetensors")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"torch.float16"}
    assert not (tmp_path / "dialogue" / "old").exists()


def test_what_is_too_large_does_not_ship(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1000"):
        ship_dialogue(trained, 3, tmp_path / "dialogue")
    assert not (tmp_path / "dialogue").exists()
