"""The features of both networks: shapes, that they are the networks' own, and that they tell pictures apart."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

import limner.world
from limner.backends.hardware import Plan
from limner.backends.vision import TwoTowerScorer, load_scorer, logit_scale, raw_features
from limner.evaluate.likeness import perceptual_distance, style_loss
from limner.types import BadInput, Picture
from limner.world.features import trunk_maps
from limner.world.judge import Judge, JudgeNet
from limner.world.render import render
from limner.world.sample import sample_scene
from limner.world.scene import Scene
from tests.world.small import SHAPES, shape

PLAN = Plan("cpu", 1, "float32", "")
SHIPPED = Path(limner.world.__path__[0]) / "weights" / "judge"


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    return Judge(JudgeNet(3, 2, width=8), ("circle", "square", "star"), ("shapes", "flat"))


def some(count: int, size: int = 128) -> list[Picture]:
    return [render(sample_scene(Random(seed), "pair", SHAPES), size) for seed in range(count)]


def test_there_is_one_map_a_resolution(judge: Judge) -> None:
    [maps] = trunk_maps(judge, some(1))
    assert [m.shape for m in maps] == [(32, 64, 64), (64, 32, 32), (8, 16, 16)]
    assert all(m.dtype == np.float32 and m.min() >= 0 and m.max() > 0 for m in maps)


def test_the_last_map_is_what_the_judge_goes_by(judge: Judge) -> None:
    [picture] = some(1)
    pixels = torch.tensor(picture.pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        trunk = judge.net.trunk(pixels)[0].numpy()
    assert np.array_equal(trunk_maps(judge, [picture])[0][-1], trunk)


def test_a_picture_has_its_maps_alone_and_in_batches(judge: Judge) -> None:
    pictures = some(34)
    together = trunk_maps(judge, pictures)
    assert len(together) == 34
    for number in (0, 31, 32, 33):
        for ours, alone in zip(together[number], trunk_maps(judge, [pictures[number]])[0], strict=True):
            np.testing.assert_allclose(ours, alone, atol=1e-5)


def test_pictures_of_other_sizes_are_brought_to_one(judge: Judge) -> None:
    first, second = trunk_maps(judge, [*some(1, 256), *some(1, 64)])
    assert [m.shape for m in first] == [m.shape for m in second]


def test_no_pictures_have_no_maps(judge: Judge) -> None:
    assert trunk_maps(judge, []) == []


def test_a_small_change_is_a_small_distance(judge: Judge) -> None:
    star, moved, other = (
        Scene((shape("star", x, colour=colour),), "white background")
        for x, colour in ((0.5, "red"), (0.52, "red"), (0.5, "blue"))
    )
    maps = trunk_maps(judge, [render(scene) for scene in (star, star, moved, other)])
    assert perceptual_distance(maps[:1], maps[1:2]) == pytest.approx(0, abs=1e-6)
    assert 0 < perceptual_distance(maps[:1], maps[2:3]) < perceptual_distance(maps[:1], maps[3:])
    assert style_loss(maps[:1], maps[2:3]) < style_loss(maps[:1], maps[3:])


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="needs the shipped judge")
def test_the_shipped_judge_finds_the_same_shape_elsewhere_nearer_than_another_shape() -> None:
    names = ("star", "heart", "cross", "ring", "arrow", "crescent")
    here = [render(Scene((shape(name, 0.5, size=0.6),), "white background")) for name in names]
    there = [render(Scene((shape(name, 0.54, size=0.66),), "grey background")) for name in names]
    judge = Judge.load(SHIPPED)
    first, second = trunk_maps(judge, here), trunk_maps(judge, there)
    for number in range(len(names)):
        distances = [perceptual_distance([maps], [first[number]]) for maps in second]
        assert int(np.argmin(distances)) == number


@pytest.fixture(scope="module", params=["clip", "blip"])
def scorer(request: pytest.FixtureRequest, checkpoints: Path) -> TwoTowerScorer:
    return load_scorer(str(checkpoints / request.param), plan=PLAN)


def test_raw_features_point_where_the_scorers_do_and_have_lengths(scorer: TwoTowerScorer) -> None:
    pictures = [*some(18, 48), *some(2, 64)]
    raw = raw_features(scorer, pictures)
    lengths = np.linalg.norm(raw, axis=1)
    assert raw.dtype == np.float32
    assert np.ptp(lengths) > 1e-4
    np.testing.assert_allclose(raw / lengths[:, None], scorer.encode_pictures(pictures), atol=1e-5)


def test_the_scale_is_clips_own(checkpoints: Path) -> None:
    clip = load_scorer(str(checkpoints / "clip"), plan=PLAN)
    assert logit_scale(clip) == pytest.approx(np.exp(2.6592), rel=1e-4)  # where CLIP's training begins
    with torch.no_grad():
        clip.towers.model.logit_scale.fill_(1.0)
    assert logit_scale(clip) == pytest.approx(np.e)


def test_blip_has_no_scale_to_give(checkpoints: Path) -> None:
    with pytest.raises(BadInput, match="no scale"):
        logit_scale(load_scorer(str(checkpoints / "blip"), plan=PLAN))
