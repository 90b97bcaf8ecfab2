import json
import logging
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.backends.detector import OpenVocabularyDetector, distinct, load_detector
from limner.backends.grounding import GroundingDino
from limner.backends.hardware import Plan
from limner.backends.looking import to_pixels
from limner.backends.owl import Owl, padded
from limner.protocols import Detector
from limner.types import Box, ModelUnavailable, Picture, Region
from tests import tiny_eyes
from tests.tiny_eyes import OWL_LENGTH, transformers

PLAN = Plan("cpu", 1, "float32", "")
BUILDERS = (tiny_eyes.owlvit, tiny_eyes.owlv2, tiny_eyes.grounding_dino)
QUERIES = ["red car", "snow"]


def pictures(*sizes: tuple[int, int]) -> list[Picture]:
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in sizes]
    images = [Image.fromarray(each).resize(size) for each, size in zip(coarse, sizes, strict=True)]
    return [Picture(np.array(image)) for image in images]


SHOWN = pictures((40, 50), (64, 64), (97, 33), (64, 64), (20, 31), (12, 90))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detectors")
    for build in BUILDERS:
        build(folder / build.__name__)
    return folder


@pytest.fixture(scope="module")
def detectors(folders: Path) -> dict[str, OpenVocabularyDetector]:
    return {build.__name__: load_detector(str(folders / build.__name__), plan=PLAN) for build in BUILDERS}


@pytest.fixture(params=[build.__name__ for build in BUILDERS])
def detector(request: pytest.FixtureRequest, detectors: dict[str, OpenVocabularyDetector]) -> OpenVocabularyDetector:
    return detectors[request.param]


@pytest.fixture(params=["owlvit", "owlv2"])
def owl(request: pytest.FixtureRequest, detectors: dict[str, OpenVocabularyDetector]) -> OpenVocabularyDetector:
    return detectors[request.param]


def iou(first: Box, second: Box) -> float:
    width, height = (min(first[i + 2], second[i + 2]) - max(first[i], second[i]) for i in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    shared = max(0.0, width) * max(0.0, height)
    return shared / (areas - shared)


def assert_same(ours: list[Region], theirs: list[Region]) -> None:
    assert [region.label for region in ours] == [region.label for region in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=0.01)
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_regions_lie_in_the_picture_and_are_named_for_their_queries(detector: OpenVocabularyDetector) -> None:
    role: Detector = detector
    found = role.detect(SHOWN, [QUERIES] * len(SHOWN), threshold=0)
    for picture, regions in zip(SHOWN, found, strict=True):
        assert {region.label for region in regions} <= set(QUERIES)
        assert all(0 <= r.box[0] < r.box[2] <= picture.width for r in regions)
        assert all(0 <= r.box[1] < r.box[3] <= picture.height for r in regions)
        scores = [region.score for region in regions]
        assert scores == sorted(scores, reverse=True)
    assert {region.label for regions in found for region in regions} == set(QUERIES)


def test_no_region_depends_on_the_other_pictures(detector: OpenVocabularyDetector) -> None:
    queries = [["snow"], QUERIES, [], ["fox"], QUERIES, ["castle", "fox", "car"]]
    together = detector.detect(SHOWN, queries, threshold=0)
    assert together[2] == []
    for picture, asked, found in zip(SHOWN, queries, together, strict=True):
        assert_same(found, detector.detect([picture], [asked], threshold=0)[0])


def test_overlapping_regions_of_a_query_are_one(detector: OpenVocabularyDetector) -> None:
    for regions in detector.detect(SHOWN, [QUERIES] * len(SHOWN), threshold=0):
        pairs = [(a, b) for a, b in combinations(regions, 2) if a.label == b.label]
        assert max((iou(a.box, b.box) for a, b in pairs), default=0) <= 0.5 + 1e-6


def test_a_threshold_leaves_the_better_regions(detector: OpenVocabularyDetector) -> None:
    [everything] = detector.detect(SHOWN[:1], [QUERIES], threshold=0)
    middle = everything[len(everything) // 2].score
    [better] = detector.detect(SHOWN[:1], [QUERIES], threshold=middle)
    assert better == [region for region in everything if region.score >= middle]
    assert 0 < len(better) < len(everything)


def test_each_models_own_threshold_is_the_default(detectors: dict[str, OpenVocabularyDetector]) -> None:
    assert [each.threshold for each in detectors.values()] == [0.1, 0.1, 0.3]
    dino = detectors["grounding_dino"]
    [everything] = dino.detect(SHOWN[:1], [QUERIES], threshold=0)
    assert dino.detect(SHOWN[:1], [QUERIES]) == [[region for region in everything if region.score >= 0.3]]


def test_nothing_asked_and_nothing_shown(detector: OpenVocabularyDetector) -> None:
    assert detector.detect([], []) == []
    assert detector.detect(SHOWN[:2], [[], ["  "]], threshold=0) == [[], []]
    with pytest.raises(ValueError, match="2 pictures"):
        detector.detect(SHOWN[:2], [["car"]])


def test_a_query_asked_twice_is_one(detector: OpenVocabularyDetector) -> None:
    assert detector.detect(SHOWN[:1], [["snow", "snow"]], threshold=0) == detector.detect(
        SHOWN[:1], [["snow"]], threshold=0
    )


def test_an_owl_looks_once_at_a_picture_that_it_is_asked_about_again(owl: OpenVocabularyDetector) -> None:
    assert isinstance(owl.finder, Owl)
    looked, shown = list[int](), Picture(np.full((40, 50, 3), 60, np.uint8))
    layer_norm: torch.nn.Module = owl.finder.model.layer_norm  # which every picture passes once

    def note(*_: object) -> None:
        looked.append(1)

    hook = layer_norm.register_forward_hook(note)
    found = owl.detect([shown], [QUERIES], threshold=0)
    assert owl.detect([Picture(shown.pixels.copy())], [QUERIES], threshold=0) == found
    [fewer] = owl.detect([shown], [QUERIES[:1]], threshold=0)
    assert_same(fewer, [region for region in found[0] if region.label == QUERIES[0]])
    assert len(looked) == 1
    owl.detect([Picture(shown.pixels + 1)], [QUERIES], threshold=0)
    hook.remove()
    assert len(looked) == 2


@torch.inference_mode()
def library_owl(detector: OpenVocabularyDetector, picture: Picture, query: str) -> Any:
    """What the library's own forward and post-processing find, nothing left out."""
    finder = detector.finder
    assert isinstance(finder, Owl)
    shown = padded(picture) if finder.square else picture
    tokens = finder.tokenizer(
        [f"a photo of a {query}"], padding="max_length", max_length=OWL_LENGTH, return_tensors="pt"
    )
    outputs = finder.model(**tokens, pixel_values=finder.preprocessing([shown]))
    kind = transformers.Owlv2ImageProcessorPil if finder.square else transformers.OwlViTImageProcessorPil
    sizes = [(picture.height, picture.width)]
    return kind().post_process_object_detection(outputs, threshold=0, target_sizes=sizes)[0]


@pytest.mark.parametrize("picture", SHOWN[:3])
def test_owls_boxes_and_scores_are_the_librarys(owl: OpenVocabularyDetector, picture: Picture) -> None:
    with torch.inference_mode():
        boxes, scores = next(iter(owl.finder.find([picture], [["red car"]])))
    theirs = library_owl(owl, picture, "red car")
    np.testing.assert_allclose(boxes, theirs["boxes"], atol=1e-3)
    np.testing.assert_allclose(scores[:, 0], theirs["scores"], atol=1e-4)
    assert np.ptp(scores.numpy()) > 0.1  # or the comparison says nothing


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (200, 100)])
def test_owl_vit_prepares_pictures_as_its_own_processor_does(
    folders: Path, owl: OpenVocabularyDetector, size: tuple[int, int]
) -> None:
    finder = owl.finder
    assert isinstance(finder, Owl)
    picture = pictures(size)[0]
    processor = transformers.OwlViTImageProcessorPil.from_pretrained(folders / "owlvit")
    theirs = processor(Image.fromarray(picture.pixels), return_tensors="np")["pixel_values"][0]
    assert np.abs(finder.preprocessing([picture])[0].numpy() - theirs).max() * 0.27 * 255 < 2.5  # of 255 levels


@pytest.mark.parametrize("build", [tiny_eyes.grounding_dino, tiny_eyes.mm_grounding_dino])
@torch.inference_mode()
def test_grounding_dinos_boxes_and_scores_are_the_librarys(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    finder, picture = load_detector(str(build(tmp_path / "detector")), plan=PLAN).finder, SHOWN[2]
    assert isinstance(finder, GroundingDino)
    processor = transformers.GroundingDinoProcessor(finder.processor, finder.tokenizer)
    inputs = processor(images=Image.fromarray(picture.pixels), text=[["Red Car"]], return_tensors="pt")
    outputs = finder.model(**inputs)
    theirs = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=0, text_threshold=0.25, target_sizes=[(picture.height, picture.width)]
    )[0]
    boxes, scores = next(iter(finder.find([picture], [["red car"]])))
    np.testing.assert_allclose(boxes, theirs["boxes"], atol=1e-3)
    # Theirs is the best over the separators too, which name nothing.
    words = outputs.logits[0, :, 1:3].sigmoid().amax(dim=1)
    np.testing.assert_allclose(scores[:, 0], words, atol=1e-4)
    assert (scores[:, 0].numpy() <= theirs["scores"].numpy() + 1e-4).all()


def test_shares_of_a_picture_become_pixels() -> None:
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.5, 0.2]])
    np.testing.assert_allclose(to_pixels(boxes, 200, 100), [[0, 0, 200, 100], [0, 40, 100, 60]], atol=1e-4)


def test_a_padded_picture_keeps_its_pixels_where_they_were() -> None:
    picture = pictures((97, 33))[0]
    square = padded(picture)
    assert (square.width, square.height) == (97, 97)
    assert (square.pixels[:33] == picture.pixels).all()
    assert (square.pixels[33:] == 128).all()
    # A box on the right half of the picture, as a share of the square, is there again in pixels.
    right_half = torch.tensor([[0.75, 33 / 97 / 2, 0.5, 33 / 97]])
    np.testing.assert_allclose(to_pixels(right_half, square.width, square.height), [[48.5, 0, 97, 33]], atol=1e-3)


def test_owl_finds_a_query_whatever_else_is_asked(owl: OpenVocabularyDetector) -> None:
    [alone] = owl.detect(SHOWN[:1], [["snow"]], threshold=0)
    [among] = owl.detect(SHOWN[:1], [["red snow", "car", "snow"]], threshold=0)
    assert_same([region for region in among if region.label == "snow"], alone)


def test_settings_beside_the_weights_are_used(
    folders: Path, tmp_path: Path, detectors: dict[str, OpenVocabularyDetector]
) -> None:
    folder = Path(shutil.copytree(folders / "owlvit", tmp_path / "owlvit"))
    (folder / "limner.json").write_text(json.dumps({"threshold": 0.4, "prompt": "{}"}))
    bare, prompted = load_detector(str(folder), plan=PLAN), detectors["owlvit"]
    assert bare.threshold == 0.4
    asked = [["a photo of a red car"]], [["red car"]]
    ours, theirs = (each.detect(SHOWN[:1], a, threshold=0)[0] for each, a in zip((bare, prompted), asked, strict=True))
    assert [region.box for region in ours] == [region.box for region in theirs]


@pytest.mark.parametrize(
    "content", ["[]", '{"threshold": "x"}', '{"threshold": NaN}', '{"threshold": 2}', '{"prompt": "photo"}', "{"]
)
def test_malformed_settings_are_said(folders: Path, tmp_path: Path, content: str) -> None:
    folder = Path(shutil.copytree(folders / "owlvit", tmp_path / "owlvit"))
    (folder / "limner.json").write_text(content)
    with pytest.raises(ModelUnavailable, match=r"limner\.json"):
        load_detector(str(folder), plan=PLAN)


def test_cutting_a_long_query_is_reported(detector: OpenVocabularyDetector, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "limner"):
        detector.detect(SHOWN[:1], [["snow " * 40, "red car"]], threshold=0)
    assert len(caplog.records) == 1


def test_half_precision_is_near(folders: Path, owl: OpenVocabularyDetector) -> None:
    fast = load_detector(str(folders / Path(owl.name).name), plan=Plan("cpu", 1, "bfloat16", ""))
    assert isinstance(fast.finder, Owl)
    assert fast.finder.model.layer_norm.weight.dtype == torch.bfloat16
    with torch.inference_mode():
        ours, theirs = (next(iter(each.finder.find(SHOWN[:1], [["snow"]]))) for each in (owl, fast))
    np.testing.assert_allclose(ours[0], theirs[0], atol=1)
    np.testing.assert_allclose(ours[1], theirs[1], atol=0.05)


def test_of_overlapping_boxes_the_best_are_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [20, 20, 30, 30], [21, 20, 31, 30]], np.float64)
    assert distinct(boxes, np.array([0.5, 0.9, 0.4, 0.1, 0.2])) == [1, 4]
    assert distinct(boxes[[0, 2]], np.array([0.5, 0.9])) == [1, 0]  # an IoU of exactly 0.5
    assert distinct(np.zeros((0, 4)), np.zeros(0)) == []


def test_pickled_weights_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders / "owlvit", tmp_path / "owlvit"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="pickled"):
        load_detector(str(folder), plan=PLAN)


def test_another_model_is_refused(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="'sam'"):
        load_detector(str(tiny_eyes.sam(tmp_path / "sam")), plan=PLAN)
    folder = Path(shutil.copytree(folders / "owlvit", tmp_path / "owlvit"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["OwlViTModel"]}))
    with pytest.raises(ModelUnavailable, match="OwlViTModel"):
        load_detector(str(folder), plan=PLAN)


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json"])
@pytest.mark.parametrize("build", [tiny_eyes.owlvit, tiny_eyes.grounding_dino])
def test_a_folder_with_a_file_missing_is_refused(
    folders: Path, tmp_path: Path, build: Callable[[Path], Path], name: str
) -> None:
    folder = Path(shutil.copytree(folders / build.__name__, tmp_path / "detector"))
    (folder / name).unlink()
    with pytest.raises(ModelUnavailable):
        load_detector(str(folder), plan=PLAN)
