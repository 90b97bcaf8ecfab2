"""The judge's recipe: where its targets lie, and which way its losses fall."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch

from limner.train.judge import STAGE_SHARES, cell_losses, disturb, focal, targets
from limner.world.judge import COLOUR_NAMES, GRID
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene, Thing
from limner.world.vocabulary import SHAPE_CONCEPTS

CONCEPTS = tuple(SHAPE_CONCEPTS)
SHAPES = Palette(concepts=CONCEPTS, styles=("shapes",))
THING = Thing(CONCEPTS[1], "shapes", 0.53, 0.28, 0.4, "blue")
ROW, COLUMN = int(0.28 * GRID), int(0.53 * GRID)


def test_every_centre_is_one_in_its_own_channel_and_cell() -> None:
    rng = Random(0)
    scenes = [sample_scene(rng, stage, SHAPES) for stage in STAGE_SHARES for _ in range(5)]
    heat, _ = targets(scenes, CONCEPTS)
    for scene, maps in zip(scenes, heat, strict=True):
        centres = {(CONCEPTS.index(t.concept), int(t.y * GRID), int(t.x * GRID)) for t in scene.things}
        assert {tuple(cell) for cell in torch.nonzero(maps == 1).numpy().tolist()} == centres


def test_cells_around_a_centre_say_colour_place_and_size() -> None:
    _, cells = targets([Scene((THING,), "snow")], CONCEPTS)
    for dy, dx in ((0, 0), (1, -1)):
        weight, colour, x, y, width, height = cells[0, :, ROW + dy, COLUMN + dx].numpy().tolist()
        assert weight == 1
        assert COLOUR_NAMES[int(colour)] == "blue"
        assert ((COLUMN + dx + x) / GRID, (ROW + dy + y) / GRID) == pytest.approx((THING.x, THING.y))
        assert width == height == pytest.approx(math.log(THING.size))
    assert int(cells[0, 0].sum()) == 9


def test_a_batch_without_objects_has_a_loss() -> None:
    empty = torch.zeros(2, 3, 4, 4)
    assert 0 < float(focal(empty, empty)) < 100
    assert [
        float(each) for each in cell_losses(torch.zeros(2, len(COLOUR_NAMES) + 4, 4, 4), torch.zeros(2, 6, 4, 4))
    ] == [0.0, 0.0]


def test_the_focal_loss_falls_when_the_right_cell_rises_and_grows_when_a_far_one_does() -> None:
    heat, _ = targets([Scene((THING,), "snow")], CONCEPTS)
    logits = torch.full_like(heat, -3.0)
    right, far = logits.clone(), logits.clone()
    right[0, 1, ROW, COLUMN] = 2.0
    far[0, 1, GRID - 1, 0] = 2.0
    assert focal(right, heat) < focal(logits, heat) < focal(far, heat)


def test_cells_that_are_right_cost_nothing() -> None:
    _, truth = targets([Scene((THING,), "snow")], CONCEPTS)
    colours = torch.nn.functional.one_hot(truth[:, 1].long(), len(COLOUR_NAMES)).permute(0, 3, 1, 2) * 50.0
    colour, place = cell_losses(torch.cat([colours, truth[:, 2:]], 1), truth)
    assert (float(colour), float(place)) == (pytest.approx(0), 0)
    _, moved = cell_losses(torch.cat([colours, truth[:, 2:] + 0.5], 1), truth)
    assert float(moved) == pytest.approx(4 * 0.5)


def test_disturbed_pictures_keep_their_size_and_stay_near() -> None:
    pixels = torch.zeros(2, 3, 64, 64)
    for seed in range(5):
        disturbed = disturb(pixels, Random(seed))
        assert disturbed.shape == pixels.shape
        assert float(disturbed.square().mean().sqrt()) < 0.3
