"""Shipping the writer: half precision, within its size, and what it reached beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from limner.backends.hardware import plan
from limner.backends.prompt_writer import load_writer
from limner.train import ship_writer as shipping
from limner.train.ship_writer import ship_writer
from tests.tiny_writer import writer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return writer(tmp_path_factory.mktemp("trained") / "model")


def test_it_ships_in_half_precision_with_what_it_reached(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "writer"
    target.mkdir()
    (target / "old").write_text("old")
    reached = ship_writer(trained, 3, target)
    assert json.loads((target / "limner.json").read_text()) == {"reached": reached}
    assert reached.keys() == {"exact", "integrity", "slots", "all_slots"}
    assert {str(tensor.dtype) for tensor in load_file(target / "model.safetensors").values()} == {"torch.float16"}
    assert not (target / "old").exists()
    shipped = load_writer(str(target), plan=plan(precision="float32"))
    assert shipped.write([("a red fox in the snow", "make the fox blue")]) == ["a blue fox in the snow"]


def test_what_is_too_large_does_not_ship(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1000"):
        ship_writer(trained, 3, tmp_path / "writer")
    assert not (tmp_path / "writer").exists()
