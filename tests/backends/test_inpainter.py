from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner.backends.diffusion import load_text_to_image
from limner.backends.hardware import Plan
from limner.backends.inpainter import DiffusionInpainter, inpainter_from, load_inpainter
from limner.backends.pipelines import decode, scale_latents
from limner.image.paste import Mask, box_mask, drift_outside
from limner.protocols import DrawRequest, FillRequest, Inpainter
from limner.types import BadInput, LimnerError, ModelUnavailable, Picture, Precision
from tests import tiny_hands

KINDS = ("stable_diffusion", "stable_diffusion_xl", "inpainting")
BOX = (4, 4, 12, 12)


def picture(width: int = 16, height: int = 16, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def ask(prompt: str = "red fox", seed: int = 1, **changes: Any) -> FillRequest:
    settings: dict[str, Any] = {"picture": picture(), "mask": box_mask(BOX, 16, 16), "steps": 4, "guidance": 5.0}
    return FillRequest(prompt=prompt, seed=seed, **(settings | changes))


def wide(mask: Mask | None = None, **changes: Any) -> FillRequest:
    """A large picture that is not square, by default with a round hole in it."""
    y, x = np.ogrid[:40, :96]
    hole = (y - 20) ** 2 + (x - 60) ** 2 < 225
    return ask(picture=picture(96, 40), mask=hole if mask is None else mask, **changes)


def load(folder: Path, precision: Precision = "float32") -> DiffusionInpainter:
    return load_inpainter(str(folder), plan=Plan("cpu", 1, precision, ""))


def same(first: Picture, second: Picture) -> bool:
    return first.sha256 == second.sha256


@pytest.fixture(scope="module")
def folders(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text-to-image checkpoints and one of a model that was trained to fill. Read only."""
    folder = tmp_path_factory.mktemp("inpainters")
    for kind in KINDS[:2]:
        (folder / kind).symlink_to(checkpoints / kind)
    tiny_hands.inpainting(folder / "inpainting")
    return folder


@pytest.fixture(scope="module")
def inpainter(folders: Path) -> DiffusionInpainter:
    return load(folders / "stable_diffusion")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_filled_and_all_else_is_bit_equal(folders: Path, kind: str, precision: Precision) -> None:
    inpainter = load(folders / kind, precision)
    requests = [ask(), wide(steps=2), ask("snow", 2, strength=0.5)]
    filled = inpainter.fill(requests)
    for request, result in zip(requests, filled, strict=True):
        assert result.pixels.shape == request.picture.pixels.shape
        assert drift_outside(request.picture, result, request.mask) == 0.0
        inside = (result.pixels != request.picture.pixels).any(axis=2)[request.mask]
        assert inside.mean() > 0.95
        assert same(inpainter.fill([request])[0], result)  # whatever was asked for beside it
    assert same(load(folders / kind, precision).fill(requests[:1])[0], filled[0])


def test_everything_in_a_request_counts(inpainter: DiffusionInpainter) -> None:
    changed = [
        ask(),
        ask("castle"),
        ask("a (red:1.5) fox"),
        ask("fox " * 40),
        ask(seed=2),
        ask(steps=5),
        ask(guidance=6.0),
        ask(guidance=1.0),
        ask(negative_prompt="snow"),
        ask(strength=0.75),
        ask(strength=0.5),
        ask(mask=box_mask((4, 4, 10, 12), 16, 16)),
        ask(picture=picture(seed=5)),
    ]
    assert len({each.sha256 for each in inpainter.fill(changed)}) == len(changed)


def test_what_is_filled_depends_on_what_is_around_it(inpainter: DiffusionInpainter) -> None:
    other = picture().pixels.copy()
    other[:3] = 255 - other[:3]
    first, second = inpainter.fill([ask(), ask(picture=Picture(other))])
    assert not np.array_equal(first.pixels[4:12, 4:12], second.pixels[4:12, 4:12])


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trained_to_fill_does_not_see_what_is_under_the_mask(folders: Path, kind: str) -> None:
    """At full strength nobody may: neither 9 channels nor blending reads the old content of the masked cells."""
    inpainter = load(folders / kind)
    hidden = picture().pixels.copy()
    hidden[4:12, 4:12] = 0
    filled = inpainter.fill([ask(), ask(picture=Picture(hidden))])
    first, second = (each.pixels[4:12, 4:12].astype(int) for each in filled)
    if kind == "inpainting":
        assert np.array_equal(first, second)
    else:  # but the encoder carries a little of it into the latents around the mask
        assert np.abs(first - second).mean() < 16


@pytest.mark.parametrize("mask", ["pixel", "line", "all"])
def test_a_mask_thinner_than_a_latent_cell_is_filled(inpainter: DiffusionInpainter, mask: str) -> None:
    """Whatever pixel of its cell it marks: the pipelines alone would look at the upper left one."""
    places = {"pixel": (slice(31, 32), slice(77, 78)), "line": (slice(0, 40), slice(61, 62))}
    marked = np.zeros((40, 96), np.bool_)
    marked[places.get(mask, (slice(None), slice(None)))] = True
    request = wide(marked, steps=2)
    result = inpainter.fill([request])[0]
    assert drift_outside(request.picture, result, marked) == 0.0
    assert (result.pixels != request.picture.pixels).any(axis=2)[marked].mean() > 0.9


def test_a_lower_strength_keeps_more_of_the_old_content(inpainter: DiffusionInpainter) -> None:
    flat = Picture(np.full((16, 16, 3), 200, np.uint8))
    everything = np.ones((16, 16), np.bool_)
    requests = [ask(picture=flat, mask=everything, steps=20, guidance=1.0, strength=each) for each in (0.1, 1.0)]
    little, full = (np.abs(each.pixels.astype(int) - 200).mean() for each in inpainter.fill(requests))
    assert little < full


def test_sharing_a_loaded_model_fills_alike_and_copies_nothing(folders: Path, inpainter: DiffusionInpainter) -> None:
    drawing = load_text_to_image(str(folders / "stable_diffusion"), plan=Plan("cpu", 1, "float32", ""))
    shared = inpainter_from(drawing.loaded, name="shared")
    request = DrawRequest("red fox", 1, 3, 5.0, 16, 16)
    before = drawing.draw([request])[0]
    assert same(shared.fill([ask(strength=0.5)])[0], inpainter.fill([ask(strength=0.5)])[0])
    assert same(drawing.draw([request])[0], before)
    for part in ("unet", "vae", "text_encoder"):
        assert getattr(shared.loaded.pipeline, part) is getattr(drawing.loaded.pipeline, part)
    assert (shared.name, shared.model_hash, shared.sampler) == ("shared", drawing.model_hash, drawing.sampler)


def test_xl_can_be_shared_too(folders: Path) -> None:
    folder = folders / "stable_diffusion_xl"
    drawing = load_text_to_image(str(folder), plan=Plan("cpu", 1, "bfloat16", ""))
    assert same(inpainter_from(drawing.loaded, name="").fill([ask()])[0], load(folder, "bfloat16").fill([ask()])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_progress_counts_the_steps_that_are_run(folders: Path, kind: str) -> None:
    seen: list[tuple[int, int]] = []
    load(folders / kind).fill([ask(), ask(strength=0.5)], on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]


def test_an_exception_from_progress_ends_the_work(inpainter: DiffusionInpainter) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inpainter.fill([ask()], on_step=stop)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask(mask=np.zeros((16, 16), np.bool_)), "mask is empty"),
        (ask(mask=np.ones((16, 8), np.bool_)), "shape \\(16, 8\\)"),
        (ask(strength=0.0), "strength 0.0"),
        (ask(strength=1.01), "strength 1.01"),
        (ask(strength=float("nan")), "strength nan"),
        (ask(strength=0.2), "strength 0.2 of 4 steps"),
        (ask(guidance=-1.0), "guidance -1.0"),
        (ask(guidance=float("inf")), "guidance inf"),
        (ask(picture=picture(17, 16), mask=np.ones((16, 17), np.bool_)), "multiples of 2"),
        (ask(steps=0), "1 to 1000"),
        (ask(seed=2**63), "seed"),
    ],
)
def test_bad_requests_are_refused_before_any_work(
    inpainter: DiffusionInpainter, request_: FillRequest, words: str
) -> None:
    steps: list[int] = []
    with pytest.raises(BadInput, match=words):
        inpainter.fill([ask(), request_], on_step=lambda done, _: steps.append(done))
    assert steps == []


def test_an_overflow_is_said_and_not_drawn_black(folders: Path) -> None:
    inpainter = load(folders / "stable_diffusion")
    inpainter.loaded.pipeline.unet.conv_out.bias.data += float("nan")
    with pytest.raises(LimnerError, match="overflowed"):
        inpainter.fill([ask()])


def test_an_editor_cannot_fill_and_an_inpainter_cannot_draw(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="'StableDiffusionInstructPix2PixPipeline' .*fills with"):
        load(tiny_hands.instruct_pix2pix(tmp_path / "editor"))
    with pytest.raises(ModelUnavailable, match="'StableDiffusionInpaintPipeline' .*draws with"):
        load_text_to_image(str(folders / "inpainting"), plan=Plan("cpu", 1, "float32", ""))


def test_it_fills_the_role_with_what_the_checkpoint_says(inpainter: DiffusionInpainter) -> None:
    role: Inpainter = inpainter
    assert (role.default_size, role.default_guidance, inpainter.sampler) == ((16, 16), 7.5, "DPM++ 2M")


@torch.inference_mode()
def test_a_scaled_mean_of_latents_is_undone_by_the_decoder(inpainter: DiffusionInpainter) -> None:
    """SDXL's later decoders shift each channel; encoding and decoding must do so in opposite directions."""
    vae = inpainter.loaded.pipeline.vae
    latents = torch.randn(1, 4, 8, 8)
    plain = decode(vae, scale_latents(vae, latents))
    vae.register_to_config(latents_mean=[0.5, 1.0, -1.0, 0.0], latents_std=[2.0, 1.0, 0.5, 4.0])
    try:
        assert not torch.allclose(decode(vae, latents), plain)
        torch.testing.assert_close(decode(vae, scale_latents(vae, latents)), plain, atol=1e-4, rtol=1e-3)
    finally:
        vae.register_to_config(latents_mean=None, latents_std=None)
