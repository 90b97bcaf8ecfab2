import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.backends.captioner import BlipCaptioner, load_captioner, tidy
from limner.backends.hardware import Plan
from limner.protocols import Captioner
from limner.types import ModelUnavailable, Picture
from tests import tiny, tiny_eyes
from tests.tiny_eyes import WORDS

PLAN = Plan("cpu", 1, "float32", "")
BUILDERS = (tiny_eyes.blip_captioner, tiny_eyes.blip2_captioner)


def pictures(*sizes: tuple[int, int]) -> list[Picture]:
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in sizes]
    images = [Image.fromarray(each).resize(size) for each, size in zip(coarse, sizes, strict=True)]
    return [Picture(np.array(image)) for image in images]


SHOWN = pictures((40, 50), (64, 64), (97, 33), *[(32 + i, 32) for i in range(14)])  # more than one batch


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captioners")
    for build in BUILDERS:
        build(folder / build.__name__)
    return folder


@pytest.fixture(scope="module", params=[build.__name__ for build in BUILDERS])
def captioner(request: pytest.FixtureRequest, folders: Path) -> BlipCaptioner:
    return load_captioner(str(folders / request.param), plan=PLAN)


def test_a_caption_is_lower_case_words_without_a_full_stop(captioner: BlipCaptioner) -> None:
    role: Captioner = captioner
    captions = role.caption(SHOWN)
    assert len(captions) == len(SHOWN)
    assert len(set(captions)) > 3  # pictures differ, or the tests below say nothing
    for caption in captions:
        assert caption == caption.strip().lower()
        assert not caption.endswith(".")
        left = caption
        for piece in (*WORDS, ".", " "):
            left = left.replace(piece, "")
        assert left == ""  # and no special token


def test_a_caption_does_not_depend_on_the_other_pictures(captioner: BlipCaptioner) -> None:
    together = captioner.caption(SHOWN)
    assert [captioner.caption([picture])[0] for picture in SHOWN[:3]] == together[:3]


def test_a_picture_that_is_asked_about_again_is_not_captioned_again(
    captioner: BlipCaptioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, calls = captioner.tokenizer.batch_decode, list[int]()

    def decode(ids: torch.Tensor, **named: bool) -> list[str]:
        calls.append(len(ids))
        return said(ids, **named)

    monkeypatch.setattr(captioner.tokenizer, "batch_decode", decode)
    fresh = pictures((51, 40), (52, 40), (53, 40))
    first = captioner.caption(fresh[:1])
    assert captioner.caption([Picture(fresh[0].pixels.copy())]) == first
    captioner.caption(fresh[1:])
    assert calls == [1, 2]


def test_nothing_shown_nothing_said(captioner: BlipCaptioner) -> None:
    assert captioner.caption([]) == []


def test_the_length_is_bounded(captioner: BlipCaptioner) -> None:
    longest = max(captioner.caption(SHOWN[:4]), key=len)
    assert len(captioner.tokenizer.tokenize(longest)) <= 40


@pytest.mark.parametrize(
    ("said", "kept"),
    [("A Red  Fox. ", "a red fox"), ("two cats", "two cats"), ("st. bernard dog .", "st. bernard dog"), ("", "")],
)
def test_tidy(said: str, kept: str) -> None:
    assert tidy(said) == kept


@pytest.mark.parametrize("name", [build.__name__ for build in BUILDERS])
def test_half_precision_runs(folders: Path, name: str) -> None:
    fast = load_captioner(str(folders / name), plan=Plan("cpu", 1, "bfloat16", ""))
    assert fast.model.dtype == torch.bfloat16
    assert len(fast.caption(SHOWN[:2])) == 2


def test_pickled_weights_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders / "blip_captioner", tmp_path / "blip"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="pickled"):
        load_captioner(str(folder), plan=PLAN)


def test_blips_other_heads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="BlipForImageTextRetrieval"):
        load_captioner(str(tiny.blip(tmp_path / "blip")), plan=PLAN)


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="'owlvit'"):
        load_captioner(str(tiny_eyes.owlvit(tmp_path / "owlvit")), plan=PLAN)


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json", "config.json"])
def test_a_folder_with_a_file_missing_is_refused(folders: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(folders / "blip_captioner", tmp_path / "blip"))
    (folder / name).unlink()
    with pytest.raises(ModelUnavailable):
        load_captioner(str(folder), plan=PLAN)


def test_weights_that_do_not_fit_the_config_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders / "blip_captioner", tmp_path / "blip"))
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["hidden_size"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable):
        load_captioner(str(folder), plan=PLAN)
