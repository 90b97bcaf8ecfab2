"""The recipe of the taste heads: what pictures are worth is true, and the losses teach it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from limner.instructpe import Row
from limner.train import taste
from limner.train.taste_labels import Wanted, label, prompts_of
from limner.train.taste_pictures import broken, damage, sample_group, told
from limner.train.writer.adm import wordstock
from limner.types import Picture
from limner.world.caption import describe
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene, Thing
from limner.world.vocabulary import SHAPE_CONCEPTS
from tests.painter import Painter

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",), tint=0.5)


def test_a_group_has_a_picture_that_shows_it_all_and_worse_ones() -> None:
    rng, shows = Random(0), list[float]()
    for _ in range(20):
        group = sample_group(rng, SHAPES)
        assert len(group.seen) == taste.PICTURES
        assert all(0 <= each.shows <= 1 and 0 <= each.clean <= 10 for each in group.seen)
        shows += [each.shows for each in group.seen]
    assert shows.count(1.0) >= 15
    assert sum(share < 1 for share in shows) > 30


def test_only_what_a_caption_says_counts() -> None:
    scene = Scene((Thing("circle", "shapes", 0.5, 0.5, 0.5),), "beach", "night")
    kinds = {fact.kind for fact in told(scene, "a circle on the beach")}
    assert kinds == {"object", "background"}
    assert {fact.kind for fact in told(scene, f"{describe(scene)}, geometric style")} == {*kinds, "time", "style"}


def test_a_broken_scene_is_another_and_never_empty() -> None:
    rng = Random(1)
    for _ in range(40):
        scene = sample_scene(rng, "pair", SHAPES)
        assert broken(scene, rng, SHAPES, 3).things


def test_damage_says_how_clean_is_left_and_shows() -> None:
    picture = Picture(np.tile(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), (16, 32, 1)))
    found = [damage(picture, Random(n)) for n in range(30)]
    assert all(each.pixels.shape == picture.pixels.shape for each, _ in found)
    moved = [float(np.abs(each.pixels.astype(int) - picture.pixels).mean()) for each, _ in found]
    assert np.corrcoef(moved, [clean for _, clean in found])[0, 1] < -0.3


def material(count: int = 160, dim: int = 16) -> taste.Material:
    """Groups whose first direction says how clean a picture is; the prompt points where the best picture lies."""
    rng = np.random.default_rng(0)
    prompts = F.normalize(torch.tensor(rng.normal(size=(count, dim)), dtype=torch.float32), dim=-1)
    shows = torch.tensor(rng.choice([0.0, 0.5, 1.0], size=(count, taste.PICTURES)), dtype=torch.float32)
    clean = torch.tensor(rng.uniform(0, 10, size=(count, taste.PICTURES)), dtype=torch.float32)
    noise = torch.tensor(rng.normal(size=(count, taste.PICTURES, dim)), dtype=torch.float32)
    turned = torch.roll(prompts, 1, dims=-1)[:, None]  # so that the plain cosine knows nothing
    pictures = F.normalize(3 * shows[..., None] * turned + noise, dim=-1)
    inner = torch.cat([pictures, clean[..., None] / 10], -1)
    return taste.Material(inner, prompts, shows, clean, inner[:, 0], clean[:, 0])


def test_the_heads_learn_and_are_kept_as_the_scorers_read_them(tmp_path: Path) -> None:
    reached = taste.train(material(600), tmp_path, steps=800)
    assert reached["aesthetic correlation"] > 0.9
    assert reached["preference pairs"] > reached["clip pairs"] + 0.1
    assert reached["hps first of 4"] > reached["clip first of 4"] + 0.1
    kept = json.loads((tmp_path / "limner.json").read_text())["reached"]
    assert kept["preference pairs"] == pytest.approx(reached["preference pairs"], abs=1e-3)
    from limner.backends.taste import Bend, read_head

    weights = read_head(str(tmp_path), "preference.safetensors")
    bend = Bend(*(weights[f"texts.{part}"] for part in ("into", "bias", "out")))
    assert bend(material().prompts.numpy()).shape == (160, 16)


class Fixed(torch.nn.Module):
    """Gives the logits that it was made with."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, pictures: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(prompts)]


def test_the_losses_are_lower_for_the_right_order_and_a_tie_is_half() -> None:
    data = material(8)
    rows, right = torch.arange(8), 50 * taste.better(data)
    for loss in (taste.preference_loss, taste.hps_loss):
        torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
        good = loss(Fixed(right), data, rows)
        torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
        assert float(good) < float(loss(Fixed(-right), data, rows)) - 1
    even = replace(data, shows=torch.ones_like(data.shows), clean=torch.ones_like(data.clean))
    found = taste.preference_loss(Fixed(torch.zeros_like(data.shows)), even, rows)
    assert float(found) == pytest.approx(np.log(2), rel=1e-5)


class Bright:
    """Scores a picture by its mean."""

    def score(self, pictures: Sequence[Picture], prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([picture.pixels.mean() for picture in pictures], np.float32)


ROWS = [
    Row("a circle", "add a square", "a circle", f"a red circle and a blue square, {n}", "a circle and a square")
    for n in range(6)
]


def test_each_row_is_labelled_as_it_is_and_spoilt() -> None:
    wanted = list(prompts_of(ROWS, wordstock(row.y for row in ROWS), 0))
    assert len(wanted) == 12
    assert [each.prompt for each in wanted[::2]] == [row.y for row in ROWS]
    assert all(spoilt.prompt != whole.prompt for whole, spoilt in zip(wanted[::2], wanted[1::2], strict=True))
    assert {each.raw for each in wanted} == {"a circle and a square"}
    assert wanted[0].seed == wanted[1].seed


def test_a_killed_labelling_goes_on_and_gives_the_same_file(tmp_path: Path) -> None:
    wanted = [Wanted(f"a red circle and a green square {n}", "a circle", n) for n in range(20)]
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    assert label(Painter(), Bright(), Bright(), wanted, whole) == 20
    label(Painter(), Bright(), Bright(), wanted[:9], part)
    part.write_bytes(part.read_bytes() + b'{"prompt": "half')
    painter = Painter()
    label(painter, Bright(), Bright(), wanted, part)
    assert part.read_bytes() == whole.read_bytes()
    assert len(painter.drawn) == 11
    assert set(json.loads(whole.read_text().splitlines()[0])) == {"prompt", "raw", "aesthetic", "preference"}
