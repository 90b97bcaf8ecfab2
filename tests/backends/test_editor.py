import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from limner.backends.editor import DiffusionEditor, load_editor
from limner.backends.hardware import Plan
from limner.backends.hub import WEIGHTS
from limner.backends.pipelines import decode, encode
from limner.backends.sampling import to_bytes, to_pixels
from limner.image import psnr
from limner.protocols import EditRequest, ImageEditor
from limner.types import BadInput, LimnerError, ModelUnavailable, Picture, Precision
from tests import tiny, tiny_hands

KINDS = ("instruct_pix2pix", "instruct_pix2pix_xl")


def picture(width: int = 16, height: int = 16, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def ask(instruction: str = "red fox", seed: int = 1, **changes: Any) -> EditRequest:
    settings: dict[str, Any] = {"picture": picture(), "steps": 3, "text_guidance": 5.0, "image_guidance": 1.5}
    return EditRequest(instruction=instruction, seed=seed, **(settings | changes))


def load(folder: Path, precision: Precision = "float32") -> DiffusionEditor:
    return load_editor(str(folder), plan=Plan("cpu", 1, precision, ""))


def same(first: Picture, second: Picture) -> bool:
    return first.sha256 == second.sha256


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny editors, a whole one and its difference to a base beside it. Read only."""
    folder = tmp_path_factory.mktemp("editors")
    tiny_hands.instruct_pix2pix(folder / "instruct_pix2pix")
    tiny_hands.instruct_pix2pix_xl(folder / "instruct_pix2pix_xl")
    tiny_hands.editor_difference(folder / "difference", rank=2)
    return folder


@pytest.fixture(scope="module")
def editor(folders: Path) -> DiffusionEditor:
    return load(folders / "instruct_pix2pix")


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_has_its_pictures_size_and_depends_on_its_request_only(folders: Path, kind: str) -> None:
    editor = load(folders / kind)
    requests = [ask(), ask(picture=picture(40, 24)), ask("snow", 2), ask(picture=picture(10, 30))]
    edited = editor.edit(requests)
    assert [(each.width, each.height) for each in edited] == [(16, 16), (40, 24), (16, 16), (10, 30)]
    assert all(same(editor.edit([request])[0], each) for request, each in zip(requests, edited, strict=True))
    assert same(load(folders / kind).edit(requests[:1])[0], edited[0])


def test_everything_in_a_request_counts(editor: DiffusionEditor) -> None:
    changed = [
        ask(),
        ask("castle"),
        ask("a (red:1.5) fox"),
        ask("fox " * 40),
        ask(seed=2),
        ask(steps=4),
        ask(text_guidance=6.0),
        ask(image_guidance=1.0),
        ask(negative_prompt="snow"),
        ask(picture=picture(seed=5)),
    ]
    assert len({each.sha256 for each in editor.edit(changed)}) == len(changed)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@torch.inference_mode()
def test_one_step_is_equation_3(tmp_path: Path, prediction: str) -> None:
    """DialogPaint Eq. 3 by hand: a single step goes from noise straight to the guided estimate of clean latents."""
    editor = load(tiny_hands.instruct_pix2pix(tmp_path / "editor", prediction_type=prediction))
    request, pipeline = ask(steps=1, negative_prompt="snow"), editor.loaded.pipeline
    found = editor.edit([request])[0]
    text, empty = (each.states for each in editor.loaded.prompts.pair("red fox", "snow"))
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    source = pipeline.vae.encode(to_pixels(request.picture)).latent_dist.mode()
    time = pipeline.scheduler.timesteps[0]

    def predict(states: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        latents = torch.cat([noise, seen], dim=1)
        return pipeline.unet(latents, time, encoder_hidden_states=states, return_dict=False)[0]

    e_text, e_img, e_u = predict(text, source), predict(empty, source), predict(empty, torch.zeros_like(source))
    guided = e_u + 5.0 * (e_text - e_img) + 1.5 * (e_img - e_u)
    alpha = pipeline.scheduler.alphas_cumprod[time] ** 0.5
    sigma = (1 - alpha**2) ** 0.5
    clean = alpha * noise - sigma * guided if prediction == "v_prediction" else (noise - sigma * guided) / alpha
    assert psnr(found, Picture(to_bytes(decode(pipeline.vae, clean))[0])) > 55
    assert pipeline.scheduler.config.prediction_type == prediction
    assert torch.equal(encode(pipeline.vae, to_pixels(request.picture)), source)


def test_it_is_what_the_pipeline_of_diffusers_makes(editor: DiffusionEditor) -> None:
    theirs = editor.loaded.pipeline(
        "red fox",
        image=(to_pixels(picture()) + 1) / 2,
        latents=torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1)),
        num_inference_steps=3,
        guidance_scale=5.0,
        image_guidance_scale=1.5,
        output_type="np",
    ).images[0]
    assert psnr(editor.edit([ask()])[0], Picture((theirs * 255).round().astype(np.uint8))) > 55


def test_bfloat16_gives_the_same_picture_nearly(folders: Path, editor: DiffusionEditor) -> None:
    assert psnr(load(folders / "instruct_pix2pix", "bfloat16").edit([ask()])[0], editor.edit([ask()])[0]) > 25


@pytest.mark.parametrize("kind", KINDS)
def test_progress_counts_the_steps_of_all_requests(folders: Path, kind: str) -> None:
    seen: list[tuple[int, int]] = []
    load(folders / kind).edit([ask(), ask(steps=2)], on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_from_progress_ends_the_work(folders: Path, kind: str) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(folders / kind).edit([ask()], on_step=stop)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask(text_guidance=1.0), "text guidance 1.0 .*above 1"),
        (ask(text_guidance=float("nan")), "text guidance nan"),
        (ask(text_guidance=float("inf")), "text guidance inf"),
        (ask(image_guidance=0.99), "image guidance 0.99 .*from 1 on"),
        (ask(image_guidance=float("nan")), "image guidance nan"),
        (ask(picture=picture(17, 16)), "multiples of 2"),
        (ask(" \n"), "instruction is empty"),
        (ask(steps=0), "1 to 1000"),
        (ask(seed=-1), "seed -1"),
    ],
)
def test_bad_requests_are_refused_before_any_work(editor: DiffusionEditor, request_: EditRequest, words: str) -> None:
    steps: list[int] = []
    with pytest.raises(BadInput, match=words):
        editor.edit([ask(), request_], on_step=lambda done, _: steps.append(done))
    assert steps == []


def test_an_overflow_is_said_and_not_drawn_black(folders: Path) -> None:
    editor = load(folders / "instruct_pix2pix")
    editor.loaded.pipeline.unet.conv_out.bias.data += float("nan")
    with pytest.raises(LimnerError, match="overflowed"):
        editor.edit([ask()])


def test_it_fills_the_role_with_what_the_checkpoint_says(editor: DiffusionEditor) -> None:
    role: ImageEditor = editor
    assert (role.default_size, editor.sampler) == ((16, 16), "DPM++ 2M")
    assert (role.default_text_guidance, role.default_image_guidance) == (7.5, 1.5)


def test_a_text_to_image_folder_with_8_channels_counts_and_one_with_4_does_not(
    folders: Path, editor: DiffusionEditor, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders / "instruct_pix2pix", tmp_path / "plain"))
    index = json.loads((folder / "model_index.json").read_text()) | {"_class_name": "StableDiffusionPipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert same(load(folder).edit([ask()])[0], editor.edit([ask()])[0])
    with pytest.raises(ModelUnavailable, match="takes in 4 latent channels .*edits with 8"):
        load(folders / "base")


def test_pickled_weights_and_code_are_refused(folders: Path, tmp_path: Path) -> None:
    pickled = Path(shutil.copytree(folders / "instruct_pix2pix", tmp_path / "pickled"))
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelUnavailable, match="pickled"):
        load(pickled)
    code = Path(shutil.copytree(folders / "instruct_pix2pix", tmp_path / "code"))
    index = json.loads((code / "model_index.json").read_text()) | {"unet": ["my_module", "Unet"]}
    (code / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnavailable, match="asks to run code"):
        load(code)


def test_a_model_that_only_draws_or_something_else_is_refused(tmp_path: Path) -> None:
    folder = tiny.clip(tmp_path / "clip")
    (folder / "model_index.json").write_text('{"_class_name": "DiTPipeline"}')
    with pytest.raises(ModelUnavailable, match="'DiTPipeline' .*edits with StableDiffusionInstructPix2PixPipeline"):
        load(folder)


def test_a_difference_edits_as_the_whole_model_does(folders: Path) -> None:
    whole, small, base = load(folders / "whole"), load(folders / "difference"), folders / "base"
    request = ask(steps=4)
    assert psnr(small.edit([request])[0], whole.edit([request])[0]) > 50
    plain = {name: value.float() for name, value in small.loaded.pipeline.vae.state_dict().items()}
    assert torch.equal(plain["decoder.conv_in.weight"], load_file(_weights(base / "vae"))["decoder.conv_in.weight"])
    before = load_file(_weights(base / "unet"))["conv_out.bias"]
    assert not torch.equal(small.loaded.pipeline.unet.state_dict()["conv_out.bias"], before)
    assert small.model_hash not in (whole.model_hash, load(folders / "whole", "bfloat16").model_hash)


def _weights(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def test_the_hash_of_a_difference_is_of_all_that_it_is_made_of(folders: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folders, tmp_path / "copy"))
    assert load(copy / "difference").model_hash == load(folders / "difference").model_hash
    for file in (copy / "difference" / "unet_difference.safetensors", _weights(copy / "base" / "vae")):
        before = load(copy / "difference").model_hash
        tensors = load_file(file)
        save_file({name: value * 1.5 for name, value in tensors.items()}, file)
        assert load(copy / "difference").model_hash != before


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("../base", "names the base '../base'"),
        ("/etc", "names the base '/etc'"),
        (".", "names the base '.'"),
        ("owner/name", "names the base 'owner/name'"),
        ("embedded:clip", "names the base 'embedded:clip'"),
        (3, "names the base 3"),
        ("nothing", "'nothing', which is not there"),
        ("embedded:stable-diffusion", "another base"),
        ("instruct_pix2pix_xl", "another base"),
    ],
)
def test_a_difference_to_another_base_is_refused(folders: Path, tmp_path: Path, base: object, words: str) -> None:
    shutil.copytree(folders / "instruct_pix2pix_xl", tmp_path / "instruct_pix2pix_xl")
    folder = Path(shutil.copytree(folders / "difference", tmp_path / "difference"))
    (folder / "limner.json").write_text(json.dumps({"base": base}))
    with pytest.raises(ModelUnavailable, match=words):
        load(folder)


def test_a_difference_without_its_file_or_without_wide_channels_is_refused(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "base", tmp_path / "base")
    folder = Path(shutil.copytree(folders / "difference", tmp_path / "difference"))
    file = folder / "unet_difference.safetensors"
    tensors = load_file(file)
    save_file({name: value for name, value in tensors.items() if name != "conv_in.weight"}, file)
    with pytest.raises(ModelUnavailable, match="takes in 4 latent channels"):
        load(folder)
    save_file({"conv_in.weight": tensors["conv_in.weight"][:, :5].contiguous()}, file)
    with pytest.raises(ModelUnavailable, match="not \\(32, 8, 3, 3\\)"):
        load(folder)
    for each in folder.glob("*.safetensors"):
        each.rename(each.with_suffix(".bin"))
    with pytest.raises(ModelUnavailable, match="pickled"):
        load(folder)


def test_the_embedded_base_is_found(tmp_path: Path) -> None:
    """The embedded text-to-image U-Net, widened to see a picture whose channels weigh nothing yet."""
    folder = tmp_path / "editor"
    folder.mkdir()
    (folder / "limner.json").write_text('{"base": "embedded:stable-diffusion"}')
    first = load_file(_weights(WEIGHTS / "stable-diffusion" / "unet"))["conv_in.weight"]
    save_file(
        {"conv_in.weight": torch.cat([first, torch.zeros_like(first)], dim=1)}, folder / "unet_difference.safetensors"
    )
    editor = load(folder)
    assert editor.default_size == (128, 128)
    unet = editor.loaded.pipeline.unet
    assert unet.config.in_channels == 8
    assert torch.equal(unet.conv_in.weight[:, :4], first.float())
