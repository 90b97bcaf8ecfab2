"""Scorers of pictures in their published forms, on random weights, and what the shipped heads tell apart."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn

from limner.backends import taste
from limner.backends.hardware import plan
from limner.backends.hub import WEIGHTS
from limner.backends.vision import TwoTowerScorer, load_scorer, logit_scale
from limner.types import BadInput, ModelUnavailable, Picture

TEXTS = ["a red fox", "a cat in the snow", "a red fox"]


@pytest.fixture(scope="module")
def scorer(checkpoints: Path) -> TwoTowerScorer:
    return load_scorer(str(checkpoints / "clip"), plan=plan(precision="float32"))


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    rng = np.random.default_rng(0)
    return [Picture(rng.integers(0, 255, (40, 40, 3), np.uint8)) for _ in TEXTS]


def laion(width: int, sides: tuple[int, ...] = (12, 10, 8, 6, 1)) -> nn.Sequential:
    """LAION's module with small sides, dropout and all."""
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    a, b, c, d, e = sides
    return nn.Sequential(
        nn.Linear(width, a), nn.Dropout(0.2), nn.Linear(a, b), nn.Dropout(0.2), nn.Linear(b, c), nn.Dropout(0.1),
        nn.Linear(c, d), nn.Linear(d, e),
    ).eval()  # fmt: skip


def table(head: nn.Sequential) -> dict[str, torch.Tensor]:
    return {f"layers.{key}": value for key, value in head.state_dict().items()}


def test_cosines_and_their_scales(scorer: TwoTowerScorer, pictures: list[Picture]) -> None:
    cosines = (scorer.encode_pictures(pictures) * scorer.encode_texts(TEXTS)).sum(axis=1)
    assert taste.clip_score(scorer).score(pictures, TEXTS) == pytest.approx(100 * cosines, rel=1e-5)
    assert taste.hps(scorer).score(pictures, TEXTS) == pytest.approx(100 * cosines, rel=1e-5)
    scale = logit_scale(scorer)
    assert taste.pick_score(scorer).score(pictures, TEXTS) == pytest.approx(scale * cosines, rel=1e-5)
    assert scale != pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("form", ["head.safetensors", "head.pth"])
def test_the_aesthetic_head_is_laions(
    scorer: TwoTowerScorer, pictures: list[Picture], tmp_path: Path, form: str
) -> None:
    head, path = laion(24), tmp_path / form
    (torch.save if form.endswith("pth") else save_file)(table(head), path)
    with torch.inference_mode():
        wanted = head(torch.tensor(scorer.encode_pictures(pictures)))[:, 0].numpy()
    found = taste.aesthetic(scorer, str(path), unsafe=form.endswith("pth")).score(pictures, TEXTS)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_pickled_head_is_opened_only_when_told(scorer: TwoTowerScorer, tmp_path: Path) -> None:
    torch.save(table(laion(24)), tmp_path / "head.pth")
    with pytest.raises(BadInput, match="pickled"):
        taste.aesthetic(scorer, str(tmp_path / "head.pth"))


@pytest.mark.parametrize(
    "bad",
    [
        table(laion(25)),
        {key: value for key, value in table(laion(24)).items() if not key.startswith("layers.7")},
        table(laion(24, (12, 10, 8, 6, 2))),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    scorer: TwoTowerScorer, tmp_path: Path, bad: dict[str, torch.Tensor]
) -> None:
    save_file(bad, tmp_path / "head.safetensors")
    with pytest.raises(ModelUnavailable):
        taste.aesthetic(scorer, str(tmp_path / "head.safetensors"))


def test_no_head_and_a_damaged_one_are_told(scorer: TwoTowerScorer, tmp_path: Path) -> None:
    (tmp_path / "preference.safetensors").write_bytes(b"no")
    for source in (str(tmp_path), str(tmp_path / "none"), "embedded:none"):
        with pytest.raises(ModelUnavailable):
            taste.pick_score(scorer, source)
    save_file({"logit_scale": torch.zeros(1)}, tmp_path / "hps.safetensors")
    with pytest.raises(ModelUnavailable, match="missing"):
        taste.hps(scorer, str(tmp_path))


def test_a_bend_that_adds_nothing_changes_nothing(scorer: TwoTowerScorer, pictures: list[Picture]) -> None:
    flat = taste.Bend(np.ones((24, 3), np.float32), np.ones(3, np.float32), np.zeros((3, 24), np.float32))
    plain = taste.CosineTaste("plain", scorer, 100.0)
    assert taste.CosineTaste("bent", scorer, 100.0, flat, flat).score(pictures, TEXTS) == pytest.approx(
        plain.score(pictures, TEXTS), rel=1e-5
    )


def test_the_direction_of_a_change(scorer: TwoTowerScorer, pictures: list[Picture]) -> None:
    told = [("a fox", "a cat"), ("a fox", "a fox"), ("a fox", "a cat")]
    after = [pictures[1], pictures[0], pictures[2]]
    found = taste.directional(scorer, pictures, after, told)
    one, two = scorer.encode_pictures(pictures[:2])
    old, new = scorer.encode_texts(["a fox", "a cat"])
    moved, said = two - one, new - old
    assert found[0] == pytest.approx(100 * moved @ said / np.linalg.norm(moved) / np.linalg.norm(said), rel=1e-4)
    assert found[1:].tolist() == [0, 0]  # the same text, the same picture


def test_tokens_and_preprocessing_may_come_from_elsewhere(checkpoints: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((checkpoints / "clip" / name).read_bytes())
    with pytest.raises(ModelUnavailable):
        load_scorer(str(bare), plan=plan(precision="float32"))
    whole = load_scorer(str(checkpoints / "clip"), plan=plan(precision="float32"))
    lent = load_scorer(str(bare), plan=plan(precision="float32"), processor=str(checkpoints / "clip"))
    assert np.array_equal(whole.encode_texts(TEXTS), lent.encode_texts(TEXTS))


@pytest.fixture(scope="module")
def shipped() -> TwoTowerScorer:
    return load_scorer("embedded:clip", plan=plan(precision="float32"))


def scenes(count: int) -> list[Any]:
    from limner.world.sample import Palette, sample_scene
    from limner.world.vocabulary import SHAPE_CONCEPTS

    palette = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",), tint=1.0)
    rng = Random("taste test")
    return [sample_scene(rng, "single", palette) for _ in range(count)]


def test_the_shipped_heads_are_small_and_say_what_they_reached(shipped: TwoTowerScorer) -> None:
    folder = WEIGHTS / "taste"
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 600_000
    reached = json.loads((folder / "limner.json").read_text())["reached"]
    assert reached["preference pairs"] > reached["clip pairs"] - 0.02
    assert reached["aesthetic correlation"] > 0.5


def test_the_shipped_aesthetic_head_prefers_what_is_clean(shipped: TwoTowerScorer) -> None:
    """Of pictures in a style that it was not trained on."""
    from limner.train.taste_pictures import damage
    from limner.world.render import render

    clean = [render(scene) for scene in scenes(24)]
    spoilt = [damage(picture, Random(n))[0] for n, picture in enumerate(clean)]
    head = taste.aesthetic(shipped, "embedded:taste")
    better = head.score(clean, []) > head.score(spoilt, [])
    assert better.mean() > 0.65
