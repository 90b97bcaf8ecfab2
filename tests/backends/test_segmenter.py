import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.backends.hardware import Plan
from limner.backends.segmenter import SamSegmenter, best_of, load_segmenter, scale_boxes
from limner.protocols import Segmenter
from limner.types import Box, ModelUnavailable, Picture
from tests import tiny_eyes
from tests.tiny_eyes import transformers

PLAN = Plan("cpu", 1, "float32", "")
BOXES: list[Box] = [(3, 4, 25, 20), (15, 2, 33, 33), (0, 0, 10.5, 10)]


def picture(width: int, height: int, seed: int = 0) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Picture(np.array(Image.fromarray(coarse).resize((width, height))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_eyes.sam(tmp_path_factory.mktemp("segmenters") / "sam")


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> SamSegmenter:
    return load_segmenter(str(folder), plan=PLAN)


@pytest.mark.parametrize("size", [(40, 50), (64, 64), (97, 35), (12, 70), (300, 200)])
def test_one_mask_a_box_of_the_pictures_size(segmenter: SamSegmenter, size: tuple[int, int]) -> None:
    role: Segmenter = segmenter
    masks = role.segment(picture(*size), BOXES)
    assert [(mask.shape, mask.dtype) for mask in masks] == [(size[::-1], np.bool_)] * 3
    assert all(0 < mask.mean() < 1 for mask in masks)


def test_no_boxes_no_masks(segmenter: SamSegmenter) -> None:
    assert segmenter.segment(picture(40, 50), []) == []


def test_a_picture_is_encoded_once_for_several_calls(segmenter: SamSegmenter) -> None:
    encoded, encoder = list[int](), segmenter.model.vision_encoder

    def note(*_: object) -> None:
        encoded.append(1)

    hook = encoder.register_forward_hook(note)
    masks = segmenter.segment(picture(44, 52, 7), BOXES)
    [again] = segmenter.segment(picture(44, 52, 7), BOXES[:1])
    assert len(encoded) == 1
    assert np.array_equal(again, masks[0])
    [other] = segmenter.segment(picture(44, 52, 8), BOXES[:1])
    hook.remove()
    assert len(encoded) == 2
    assert not np.array_equal(other, masks[0])


@pytest.mark.parametrize("size", [(40, 50), (97, 35)])
@torch.inference_mode()
def test_masks_are_the_librarys(segmenter: SamSegmenter, size: tuple[int, int]) -> None:
    shown = picture(*size)
    processor = transformers.SamProcessor(segmenter.processor)
    boxes = [[list(map(float, box)) for box in BOXES]]
    inputs = processor(Image.fromarray(shown.pixels), input_boxes=boxes, return_tensors="pt")
    tensors = {"pixel_values": inputs["pixel_values"], "input_boxes": inputs["input_boxes"].float()}
    outputs = segmenter.model(**tensors, multimask_output=False)
    theirs = processor.image_processor.post_process_masks(
        outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )[0]
    for ours, other in zip(segmenter.segment(shown, BOXES), theirs[:, 0].numpy(), strict=True):
        assert (ours != other).mean() < 0.002


def test_no_mask_depends_on_the_other_boxes(segmenter: SamSegmenter) -> None:
    shown = picture(60, 40)
    together = segmenter.segment(shown, BOXES)
    assert not np.array_equal(together[0], together[1])  # or the comparison says nothing
    for box, mask in zip(BOXES, together, strict=True):
        assert (segmenter.segment(shown, [box])[0] != mask).mean() < 0.002


def test_the_picture_is_encoded_once(segmenter: SamSegmenter) -> None:
    runs: list[None] = []

    def note(_module: object, _args: object) -> None:
        runs.append(None)

    hooks = [
        part.register_forward_pre_hook(note) for part in (segmenter.model.vision_encoder, segmenter.model.mask_decoder)
    ]
    segmenter.segment(picture(40, 50, 9), BOXES)  # which no other test shows
    for hook in hooks:
        hook.remove()
    assert len(runs) == 2


def test_boxes_are_scaled_as_the_picture_is() -> None:
    assert scale_boxes([(10, 20, 30, 40)], picture(100, 50), (16, 32)) == [pytest.approx((3.2, 6.4, 9.6, 12.8))]


def test_of_several_candidates_the_surest_is_taken() -> None:
    masks = torch.arange(12.0).view(2, 3, 1, 2)
    best = best_of(masks, torch.tensor([[0.1, 0.9, 0.2], [0.5, 0.1, 0.2]]))
    np.testing.assert_array_equal(best, [[[2, 3]], [[6, 7]]])


def test_half_precision_is_near_and_keeps_boxes_exact(folder: Path, segmenter: SamSegmenter) -> None:
    fast = load_segmenter(str(folder), plan=Plan("cpu", 1, "bfloat16", ""))
    assert fast.model.vision_encoder.dtype == torch.bfloat16
    assert fast.model.prompt_encoder.shared_embedding.positional_embedding.dtype == torch.float32
    shown = picture(60, 40)
    for one, other in zip(segmenter.segment(shown, BOXES), fast.segment(shown, BOXES), strict=True):
        assert (one != other).mean() < 0.1


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "sam"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="pickled"):
        load_segmenter(str(copy), plan=PLAN)


def test_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "sam"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "sam2"}))
    with pytest.raises(ModelUnavailable, match="'sam2'"):
        load_segmenter(str(copy), plan=PLAN)


def test_a_folder_without_its_preprocessing_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "sam"))
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(ModelUnavailable):
        load_segmenter(str(copy), plan=PLAN)
