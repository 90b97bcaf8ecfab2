"""The small detector's recipe: what moves with a picture, what is learned, and that a seed decides it all."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limner.evaluate.detection import coco_average_precision
from limner.evaluate.detector_sets import simple_scenes
from limner.regions import box_iou
from limner.train.small_detector import GRID, LEAST_SEEN, SIZE, SmallNet, decode, loss, moved, targets, train_detector
from limner.types import AnnotatedPicture, BadInput, Picture, Region
from tests.world.small import SHAPES

CLASSES = ("circle", "star")


def in_halves(x0: float, y0: float, x1: float, y1: float) -> Tensor:
    """One box in pixels, as a tensor (1, 4) in [-1, 1]."""
    return torch.tensor([[x0, y0, x1, y1]]) / SIZE * 2 - 1


def perfect(heat: Tensor, cells: Tensor) -> Tensor:
    """Logits that say just what the targets say."""
    return torch.cat([torch.where(heat > 0.999, 12.0, -12.0), cells[:, 1:]], 1)


@given(st.integers(0, 10**6), st.integers(20, 60), st.integers(20, 60), st.integers(10, 48), st.integers(10, 48))
@settings(max_examples=40, deadline=None)
def test_boxes_go_where_the_pixels_go(seed: int, x: int, y: int, width: int, height: int) -> None:
    pixels = torch.full((1, 3, SIZE, SIZE), -1.0)
    pixels[:, :, y : y + height, x : x + width] = 1.0
    shown, [boxes], [labels] = moved(pixels, [in_halves(x, y, x + width, y + height)], [[1]], Random(seed))
    assert shown.shape == pixels.shape
    bright = (shown[0, 0] > 0).numpy()
    if not labels:
        assert not boxes.numel()
        return
    assert labels == [1]
    ys, xs = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    seen = [float(side) for side in (xs[0], ys[0], xs[-1] + 1, ys[-1] + 1)]
    assert ((boxes[0] + 1) / 2 * SIZE).numpy().tolist() == pytest.approx(seen, abs=1.01)


def test_what_is_mostly_moved_out_is_given_up() -> None:
    pixels, box = torch.zeros(1, 3, SIZE, SIZE), in_halves(0, 0, 30, 30)
    shares: list[float] = []
    for seed in range(200):
        _, [places], [labels] = moved(pixels, [box], [[0]], Random(seed))
        assert len(places) == len(labels)
        shares += [float((place[2:] - place[:2]).min() / (place[2:] - place[:2]).max()) for place in places]
    assert 100 < len(shares) < 200
    assert min(shares) >= LEAST_SEEN * 0.99


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_asked_for_is_what_is_decoded(data: st.DataObject) -> None:
    side, place = st.integers(12, 56), st.integers(0, 64)
    [x, y] = data.draw(st.tuples(place, place))
    [width, height] = data.draw(st.tuples(side, side))
    number = data.draw(st.integers(0, 1))
    heat, cells = targets([in_halves(x, y, x + width, y + height)], [[number]], 2)
    assert heat.shape == (1, 2, GRID, GRID)
    assert int((heat == 1).sum()) == 1
    assert cells[0, 0].sum() in (4, 6, 9)  # fewer in a corner and at a side
    [region] = decode(perfect(heat, cells)[0], CLASSES)
    assert region.label == CLASSES[number]
    assert region.score > 0.99
    assert region.box == pytest.approx((x, y, x + width, y + height), abs=0.01)


def test_two_finds_of_one_thing_are_one_and_of_two_classes_two() -> None:
    boxes = torch.cat([in_halves(20, 20, 80, 80), in_halves(44, 20, 104, 80), in_halves(20, 20, 80, 80)])
    heat, cells = targets([boxes], [[0, 0, 1]], 2)
    regions = decode(perfect(heat, cells)[0], CLASSES)
    assert sorted(region.label for region in regions) == ["circle", "circle", "star"]
    cells[0, 1, :, 9:] -= 3  # the second circle is now said to lie nearly where the first does
    regions = decode(perfect(heat, cells)[0], CLASSES)
    assert sorted(region.label for region in regions) == ["circle", "star"]


def test_the_right_answer_costs_nothing_and_every_wrong_one_something() -> None:
    heat, cells = targets([in_halves(20, 30, 70, 90)], [[1]], 2)
    right = perfect(heat, cells)
    assert float(loss(right, heat, cells)) < 1e-3
    for change in (torch.where(heat == 1, -12.0, right[:, :2]), torch.where(heat < 0.01, 12.0, right[:, :2])):
        assert float(loss(torch.cat([change, right[:, 2:]], 1), heat, cells)) > 1
    right[:, 2] += 1
    assert float(loss(right, heat, cells)) == pytest.approx(0.3, abs=1e-3)


def test_a_batch_without_things_still_teaches() -> None:
    heat, cells = targets([torch.zeros(0, 4)], [[]], 2)
    nothing, something = (torch.full((1, 6, GRID, GRID), value, requires_grad=True) for value in (-9.0, 0.0))
    assert 0 <= float(loss(nothing, heat, cells).detach()) < 1e-3
    worse = loss(something, heat, cells)
    worse.backward()  # pyright: ignore[reportUnknownMemberType]
    assert float(worse.detach()) > 1
    assert something.grad is not None
    assert torch.isfinite(something.grad).all()


def test_the_net_is_small_and_first_finds_nothing() -> None:
    net = SmallNet(3).eval()
    assert sum(parameter.numel() for parameter in net.parameters()) < 400_000
    with torch.inference_mode():
        logits = net(torch.zeros(2, 3, SIZE, SIZE))
    assert logits.shape == (2, 7, GRID, GRID)
    assert float(logits[:, :3].sigmoid().max()) < 0.1


@pytest.fixture(scope="module")
def scenes() -> list[AnnotatedPicture]:
    return simple_scenes(CLASSES, SHAPES, 16, 0)


@pytest.mark.long
def test_it_learns_shapes_in_seconds(scenes: list[AnnotatedPicture]) -> None:
    find = train_detector(scenes, CLASSES, 0, steps=36)
    new = simple_scenes(CLASSES, SHAPES, 12, 1)
    found = find([each.picture for each in new])
    assert coco_average_precision(found, [each.regions for each in new])[1] > 0.6
    for regions in found:
        assert [region.score for region in regions] == sorted((region.score for region in regions), reverse=True)
        for number, one in enumerate(regions):
            assert 0 <= one.box[0] < one.box[2] <= SIZE
            assert 0 <= one.box[1] < one.box[3] <= SIZE
            others = [other for other in regions[:number] if other.label == one.label]
            assert all(box_iou(one.box, other.box) <= 0.5 for other in others)


def test_a_seed_decides_all(scenes: list[AnnotatedPicture]) -> None:
    shown = [each.picture for each in scenes[:2]]
    first, again, other = (train_detector(scenes, CLASSES, seed, steps=2)(shown) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_other_labels_are_ground_and_nothing_to_learn_is_refused(scenes: list[AnnotatedPicture]) -> None:
    assert {region.label for each in scenes for region in each.regions} == set(CLASSES)
    found = train_detector(scenes, ("star",), 0, steps=1)([scenes[0].picture])
    assert {region.label for regions in found for region in regions} <= {"star"}
    empty = AnnotatedPicture(Picture(np.zeros((SIZE, SIZE, 3), np.uint8)), "", [Region("box", (0, 0, 9, 9))])
    with pytest.raises(BadInput, match="nothing to learn"):
        train_detector([empty], CLASSES, 0, steps=1)
