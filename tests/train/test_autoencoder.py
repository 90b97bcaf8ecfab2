"""The autoencoder's recipe: what its loss is blind to and what not, and what it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from limner.train.autoencoder import (
    CROP,
    FALLING_WEIGHT,
    begin,
    corner,
    crops,
    edges,
    losses,
    new_autoencoder,
    reconstruction_loss,
    to_tensor,
)
from limner.train.libraries import to_folder
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.vocabulary import SHAPE_CONCEPTS

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",))
EVENLY = torch.ones(1, 1, 16, 16)


def test_pictures_become_numbers_from_minus_one_to_one() -> None:
    picture = render(sample_scene(Random(0), "single", SHAPES))
    tensor = to_tensor([picture, picture])
    assert tensor.shape == (2, 3, *picture.pixels.shape[:2])
    assert tensor.dtype == torch.float32
    y, x = 5, 9
    assert tensor[1, 2, y, x] == pytest.approx(picture.pixels[y, x, 2] / 127.5 - 1)


def test_edges_are_differences_of_neighbours() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    across, down = edges(ramp)
    assert torch.equal(across, torch.ones(1, 1, 3, 3))
    assert torch.equal(down, torch.zeros(1, 1, 2, 4))


def test_a_picture_equal_to_the_truth_costs_nothing() -> None:
    truth = torch.rand(2, 3, 16, 16)
    assert float(reconstruction_loss(truth, truth, EVENLY)) == 0


def test_noise_costs_more_than_the_same_error_spread_evenly() -> None:
    truth = torch.zeros(1, 3, 16, 16)
    even = torch.full_like(truth, 0.1)
    checks = even * (1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2))
    assert float(reconstruction_loss(even, truth, EVENLY)) == pytest.approx(0.2)  # 0.1 at each of two scales, no edges
    assert float(reconstruction_loss(checks, truth, EVENLY)) == pytest.approx(0.5)  # 0.1 and edges of 0.2 each way


def test_three_crops_of_four_are_cut_around_an_object() -> None:
    rng = Random(0)
    hits = 0
    for _ in range(400):
        scene = sample_scene(rng, rng.choice(STAGES), SHAPES)
        x, y = corner(rng, scene)
        assert 0 <= x <= 128 - CROP
        assert 0 <= y <= 128 - CROP
        hits += any(x <= t.x * 128 <= x + CROP and y <= t.y * 128 <= y + CROP for t in scene.things)
    assert hits >= 300


def test_drops_and_flakes_count_more_and_nothing_else_does() -> None:
    wet = replace(SHAPES, weather=1.0, backgrounds=("meadow",))
    pixels, weight, clear = crops(Random(3), 12, wet)
    assert pixels.shape == (12, 3, CROP, CROP)
    assert not clear.any()
    assert bool(((weight == 1) | (weight == FALLING_WEIGHT)).all())
    assert float(weight.max()) == FALLING_WEIGHT
    fog = [float(each.max()) == 1.0 for each in weight]
    assert any(fog)  # a third of the weathers, and it covers nothing thin
    assert not all(fog)
    _, even, dry = crops(Random(3), 4, replace(SHAPES, weather=0.0))
    assert dry.all()
    assert torch.equal(even, torch.ones_like(even))


def test_the_anchor_holds_the_latents_of_clear_scenes_only(tmp_path: Path) -> None:
    to_folder(new_autoencoder(), tmp_path)
    model, old = begin(tmp_path, decoder_only=False)
    assert old is not None
    pixels, weight, _ = crops(Random(0), 2, SHAPES)
    clear, wet = torch.tensor([True, True]), torch.tensor([False, False])
    assert float(losses(model, old, (pixels, weight, clear))["moved"].detach()) == 0
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter += 0.05
    assert float(losses(model, old, (pixels, weight, clear))["moved"].detach()) > 0
    assert float(losses(model, old, (pixels, weight, wet))["moved"].detach()) == 0
    frozen, anchor = begin(tmp_path, decoder_only=True)
    assert anchor is None
    assert not any(parameter.requires_grad for parameter in frozen.encoder.parameters())
