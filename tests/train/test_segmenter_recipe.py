"""The segmenter's recipe: boxes around their masks, a grid fine enough, a loss that falls, a folder that loads."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import SamImageProcessorPil, SamModel

from limner.train.autoencoder import to_tensor
from limner.train.libraries import from_folder, seed_torch
from limner.train.optim import MixedOptimizer, Rates
from limner.train.segmenter import (
    BOXES,
    JITTER,
    PATCH,
    SIZE,
    dice,
    jittered,
    keep,
    losses,
    mask_ious,
    near,
    new_batch,
    new_segmenter,
    predict,
)
from limner.world.render import render
from limner.world.sample import sample_scene
from tests.world.small import SHAPES


def values(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def test_an_edge_is_off_by_a_share_of_its_side_and_stays_in_the_picture() -> None:
    box, rng = (0.0, 40.0, 50.0, 128.0), Random(0)
    for _ in range(100):
        moved = jittered(box, rng)
        assert all(0 <= edge <= SIZE for edge in moved)
        assert all(abs(new - old) <= JITTER * 88 for new, old in zip(moved, box, strict=True))
        assert moved != box


def test_masks_fill_their_boxes_and_nothing_outside_them() -> None:
    batch = new_batch(Random(0), 12, SHAPES)
    assert batch.pixels.shape == (12, 3, SIZE, SIZE)
    for box, mask in zip(batch.boxes.view(-1, 4), batch.masks.view(-1, SIZE, SIZE), strict=True):
        ys, xs = torch.nonzero(mask.amax(1))[:, 0], torch.nonzero(mask.amax(0))[:, 0]
        truth = [int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1]
        slack = JITTER * max(truth[2] - truth[0], truth[3] - truth[1]) + 0.01
        assert box.numpy().tolist() == pytest.approx(truth, abs=slack)
        assert bool(((mask == 0) | (mask == 1)).all())


def test_the_grid_of_masks_is_fine_enough() -> None:
    masks = new_batch(Random(0), 12, SHAPES).masks
    grid = 4 * SIZE // PATCH
    back = F.interpolate(F.interpolate(masks, (grid, grid), mode="area"), (SIZE, SIZE), mode="bilinear")
    assert float(mask_ious(back - 0.5, masks).mean()) > 0.96


def test_overlaps_by_hand() -> None:
    true, logits = torch.zeros(8, 8), torch.full((8, 8), -50.0)
    true[:4], logits[2:6] = 1, 50
    assert float(mask_ious(logits, true)) == pytest.approx(16 / 48)
    assert float(dice(logits, true)) == pytest.approx(1 - 33 / 65)
    assert float(dice(true * 100 - 50, true)) == pytest.approx(0)


def test_pixels_count_in_and_around_the_box() -> None:
    weight = near(torch.tensor([[20.0, 40.0, 70.0, 60.0]]))
    assert weight.shape == (1, SIZE, SIZE)
    ys, xs = torch.nonzero(weight[0] == 1).unbind(1)
    slack = 2 * JITTER
    assert (int(xs.min()), int(xs.max())) == (20 - 50 * slack, 70 + 50 * slack - 1)
    assert (int(ys.min()), int(ys.max())) == (int(40 - 20 * slack + 0.5), int(60 + 20 * slack - 0.5))
    assert 0 < float(weight.min()) < 0.5


def test_the_loss_falls() -> None:
    seed_torch(0)
    model = new_segmenter(width=32, layers=2).train()
    model.vision_encoder.bfloat16()
    batch = new_batch(Random(0), 2, SHAPES)
    optimizer = MixedOptimizer(model.named_parameters(), Rates(muon=0.05, adamw=5e-3))
    first = values(losses(model, batch))
    for _ in range(50):
        losses(model, batch)["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step(1.0)
    last = values(losses(model, batch))
    assert last["loss"] < 0.5 * first["loss"]
    assert last["dice"] < first["dice"]


def test_what_is_saved_loads_and_masks_the_same(tmp_path: Path) -> None:
    model = new_segmenter(width=32, layers=2).eval()
    keep(model, tmp_path)
    batch = new_batch(Random(0), 2, SHAPES)
    with torch.no_grad():
        masks, expected = predict(model, batch.pixels, batch.boxes)
        loaded = predict(from_folder(SamModel, tmp_path), batch.pixels, batch.boxes)
    assert masks.shape == (2, BOXES, SIZE, SIZE)
    torch.testing.assert_close(loaded[0], masks)
    torch.testing.assert_close(loaded[1], expected)


def test_the_processor_prepares_pictures_as_training_does(tmp_path: Path) -> None:
    keep(new_segmenter(width=32, layers=2), tmp_path)
    picture = render(sample_scene(Random(0), "pair", SHAPES))
    kind: Any = SamImageProcessorPil
    processor = kind.from_pretrained(tmp_path, local_files_only=True)
    pixels = processor(picture.pixels, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels, to_tensor([picture]), atol=1e-5, rtol=0)
