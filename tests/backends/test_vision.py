import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil

from limner.backends.hardware import Plan
from limner.backends.preprocess import Preprocessing, read_preprocessing
from limner.backends.thresholds import Thresholds, read_thresholds
from limner.backends.vision import TwoTowerScorer, load_scorer
from limner.protocols import ImageTextScorer
from limner.types import ModelUnavailable, Picture

PLAN = Plan("cpu", 1, "float32", "")
TEXTS = ["red fox", "a castle in the snow"]


def pictures(*sizes: tuple[int, int]) -> list[Picture]:
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in sizes]
    images = [Image.fromarray(each).resize(size) for each, size in zip(coarse, sizes, strict=True)]
    return [Picture(np.array(image)) for image in images]


@pytest.fixture(scope="module", params=["clip", "blip"])
def scorer(request: pytest.FixtureRequest, checkpoints: Path) -> TwoTowerScorer:
    return load_scorer(str(checkpoints / request.param), plan=PLAN)


def tokens(scorer: TwoTowerScorer, texts: list[str]) -> Any:
    return scorer.towers.tokenizer(texts, padding=True, truncation=True, max_length=35, return_tensors="pt")


@torch.inference_mode()
def reference_scores(scorer: TwoTowerScorer, shown: list[Picture], texts: list[str]) -> Any:
    """Cosines as the model itself computes them, all pairs in one call."""
    inputs = {**tokens(scorer, texts), "pixel_values": scorer.preprocessing(shown)}
    model = scorer.towers.model
    if model.config.model_type == "blip":
        return model(**inputs, use_itm_head=False).itm_score.numpy()
    return (model(**inputs).logits_per_image / model.logit_scale.exp()).numpy()


def test_scores_are_the_models_own(scorer: TwoTowerScorer) -> None:
    shown = pictures((40, 50), (64, 64), (64, 64))
    ours = scorer.encode_pictures(shown) @ scorer.encode_texts(TEXTS).T
    reference = reference_scores(scorer, shown, TEXTS)
    assert np.ptp(reference, axis=0).min() > 1e-3  # pictures differ, or the comparison says nothing
    np.testing.assert_allclose(ours, reference, atol=1e-5)


def test_features_are_unit_length_and_independent_of_neighbours(scorer: TwoTowerScorer) -> None:
    shown = pictures(*[(30 + i, 40) for i in range(20)])
    features = scorer.encode_pictures(shown)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scorer.encode_pictures(shown[7:8])[0], features[7], atol=1e-5)


def test_a_text_is_encoded_once_and_in_order(scorer: TwoTowerScorer) -> None:
    runs: list[None] = []

    def note(_module: object, _args: object) -> None:
        runs.append(None)

    model = scorer.towers.model
    tower = model.text_encoder if model.config.model_type == "blip" else model.text_model
    hook = tower.register_forward_pre_hook(note)
    first = scorer.encode_texts(["fox fox", "castle castle"])
    np.testing.assert_array_equal(scorer.encode_texts(["castle castle", "fox fox"]), first[::-1])
    hook.remove()
    assert len(runs) == 2


def test_a_text_that_is_cut_is_told(scorer: TwoTowerScorer) -> None:
    long = "a red fox " * 100
    assert scorer.too_long(["a red fox", long]) == [long]
    assert scorer.encode_texts([long]).shape == scorer.encode_texts(["a red fox"]).shape


def test_blip_reads_35_tokens(checkpoints: Path) -> None:
    blip = load_scorer(str(checkpoints / "blip"), plan=PLAN)
    inside = " ".join(["fox"] * 33)  # and a start and an end
    assert np.array_equal(blip.encode_texts([inside]), blip.encode_texts([f"{inside} snow castle"]))
    assert not np.array_equal(blip.encode_texts([inside]), blip.encode_texts([inside.removesuffix(" fox")]))


def test_bfloat16_scores_are_near(checkpoints: Path) -> None:
    shown = pictures((32, 32), (48, 32))
    exact, fast = (
        load_scorer(str(checkpoints / "clip"), plan=Plan("cpu", 1, precision, ""))
        for precision in ("float32", "bfloat16")
    )
    difference = exact.encode_pictures(shown) @ exact.encode_texts(TEXTS).T
    difference -= fast.encode_pictures(shown) @ fast.encode_texts(TEXTS).T
    assert np.abs(difference).max() < 0.02


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (20, 33), (32, 32)])
def test_pictures_are_prepared_as_clips_own_processor_does(checkpoints: Path, size: tuple[int, int]) -> None:
    kind: Any = CLIPImageProcessorPil
    processor = kind.from_pretrained(checkpoints / "clip")
    picture = pictures(size)[0]
    theirs = processor(Image.fromarray(picture.pixels), return_tensors="np")["pixel_values"][0]
    ours = read_preprocessing(checkpoints / "clip")([picture])[0].numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() * 0.27 * 255 < 2.5  # of 255 levels; rounding in two passes against one


def test_preprocessing_reads_every_form_of_size(tmp_path: Path) -> None:
    rest = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    forms: list[tuple[dict[str, Any], int | tuple[int, int], tuple[int, int] | None]] = [
        ({"size": 8, "crop_size": 6, "do_center_crop": True}, 8, (6, 6)),
        ({"size": {"shortest_edge": 8}, "crop_size": {"height": 6, "width": 4}, "do_center_crop": True}, 8, (6, 4)),
        ({"size": {"height": 8, "width": 9}, "crop_size": 6, "do_center_crop": False}, (8, 9), None),
    ]
    for settings, size, crop in forms:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings | rest))
        read = read_preprocessing(tmp_path)
        assert (read.size, read.crop) == (size, crop)


def test_equal_sizes_need_not_be_neighbours() -> None:
    prepare = Preprocessing(8, (8, 8), (0.5,) * 3, (0.5,) * 3)
    shown = pictures((16, 16), (20, 16), (16, 16))
    together = prepare(shown)
    assert all(torch.equal(together[i], prepare([each])[0]) for i, each in enumerate(shown))


def test_thresholds_are_published_ones_without_a_calibration(scorer: TwoTowerScorer) -> None:
    role: ImageTextScorer = scorer
    assert role.thresholds(TEXTS) == [0.2, 0.2]


def test_a_calibration_beside_the_weights_is_used(tmp_path: Path) -> None:
    kinds = {"place": {"threshold": 0.3, "words": ["snow", "sea"]}, "colour": {"threshold": 0.4, "words": ["red"]}}
    texts = {"a red fox": 0.5}
    (tmp_path / "calibration.json").write_text(json.dumps({"default": 0.25, "kinds": kinds, "texts": texts}))
    thresholds = read_thresholds(tmp_path, 0.2)
    expected = {" A red fox": 0.5, "red snow": 0.3, "a red cat": 0.4, "reddish": 0.25}
    assert {text: thresholds.of(text) for text in expected} == expected


@pytest.mark.parametrize(
    "content", ["{}", '{"default": "x"}', '{"default": NaN}', "[]", '{"default": 1, "kinds": {"a": 1}}']
)
def test_a_malformed_calibration_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(ModelUnavailable, match=r"calibration\.json"):
        read_thresholds(tmp_path, 0.2)


def test_thresholds_default_when_nothing_else_is_known() -> None:
    assert Thresholds(0.7).of("anything") == 0.7


def test_the_tokenizer_is_the_folders_own(checkpoints: Path, scorer: TwoTowerScorer) -> None:
    kind = scorer.towers.model.config.model_type
    theirs: Any = AutoTokenizer
    assert scorer.towers.tokenizer("fox").input_ids == theirs.from_pretrained(checkpoints / kind)("fox").input_ids


def test_the_precision_of_a_kind_stands_beside_its_threshold(tmp_path: Path) -> None:
    kinds = {"relation": {"threshold": 0.3, "precision": 0.7, "words": ["left"]}}
    text = json.dumps({"default": 0.25, "precision": 0.95, "kinds": kinds, "texts": {"a fox": 0.2}})
    (tmp_path / "calibration.json").write_text(text)
    read = read_thresholds(tmp_path, 0.5)
    assert [read.precision(text) for text in ("fox left of a car", "car", "a fox")] == [0.7, 0.95, None]
