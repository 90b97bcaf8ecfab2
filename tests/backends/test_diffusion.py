import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors_torch

from limner.backends.diffusion import DiffusionModel, load_text_to_image
from limner.backends.hardware import Plan
from limner.backends.notes import Notes
from limner.image import psnr
from limner.protocols import DrawRequest, TextToImage
from limner.types import BadInput, LimnerError, Picture, Precision

KINDS = ("stable_diffusion", "stable_diffusion_xl")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def load(folder: Path, precision: Precision = "float32") -> DiffusionModel:
    return load_text_to_image(str(folder), plan=Plan("cpu", 1, precision, ""))


def ask(
    prompt: str = "a red fox", seed: int = 1, *, steps: int = 3, guidance: float = 4.0, side: int = 16, less: str = ""
) -> DrawRequest:
    return DrawRequest(prompt, seed, steps, guidance, side, side, less)


def after_unet(model: DiffusionModel, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change what the model's U-Net returns from now on."""

    def hook(_unet: object, _args: object, output: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (change(output[0]),)

    model.loaded.pipeline.unet.register_forward_hook(hook)


def same(first: Picture, second: Picture) -> bool:
    return first.sha256 == second.sha256


@pytest.fixture(scope="module")
def model(checkpoints: Path) -> DiffusionModel:
    return load(checkpoints / "stable_diffusion")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_depend_on_its_batch(checkpoints: Path, kind: str, precision: Precision) -> None:
    model = load(checkpoints / kind, precision)
    fox, others = ask(seed=3), [ask("castle", 4), ask("snow", 5), ask("fox", 6)]
    alone = model.draw([fox])[0]
    for place in range(4):
        batch = [*others[:place], fox, *others[place:]]
        assert same(model.draw(batch)[place], alone)
    assert same(model.draw([fox] * 3)[2], alone)
    assert same(load(checkpoints / kind, precision).draw([others[0], fox, others[1]])[1], alone)


def rows_of(model: DiffusionModel) -> list[int]:
    """How many rows each call of the U-Net from now on has: each picture has one with and one without its prompt."""
    rows: list[int] = []

    def note(_unet: object, args: tuple[torch.Tensor, ...]) -> None:
        rows.append(len(args[0]))

    model.loaded.pipeline.unet.register_forward_pre_hook(note)
    return rows


def test_the_largest_batch_that_changes_nothing_is_used(checkpoints: Path) -> None:
    model = load(checkpoints / "stable_diffusion")
    model.draw([ask(seed=seed) for seed in range(4)])
    tried = model._tried.items()  # pyright: ignore[reportPrivateUsage]
    largest = max([size for ((size, *_), _), layers in tried if layers is not None and size <= 4], default=1)
    rows = rows_of(model)
    model.draw([ask(seed=seed) for seed in range(4)])
    assert rows == [2 * largest] * (4 // largest * 3)  # 3 steps


def test_where_only_a_lone_picture_has_other_bits_it_is_drawn_in_company(checkpoints: Path) -> None:
    paired = load(checkpoints / "stable_diffusion", "bfloat16")
    after_unet(paired, lambda out: torch.full_like(out, 0.1 * (len(out) == 2)))
    three = [ask(), ask("castle", 2), ask("snow", 3)]
    together = paired.draw(three)
    rows = rows_of(paired)
    for request, picture in zip(three, together, strict=True):
        [alone] = paired.draw([request])
        assert same(alone, picture)
    assert set(rows) == {4}


def test_a_batch_size_that_changes_bits_is_not_used(checkpoints: Path) -> None:
    """A model made to depend on its batch, as some kernels do, is drawn one picture at a time."""
    fragile = load(checkpoints / "stable_diffusion")
    after_unet(fragile, lambda out: out * (1 + 1e-6 * len(out)))
    rows = rows_of(fragile)
    fox, castle = ask(), ask("castle", 2)
    assert same(fragile.draw([fox, castle])[1], fragile.draw([castle])[0])
    assert set(rows[-3:]) == {2}


def test_what_was_tried_is_remembered_and_a_damaged_note_is_tried_again(checkpoints: Path, tmp_path: Path) -> None:
    notes, both = Notes(tmp_path / "notes.json"), [ask(), ask("castle", 2)]

    def steps_taken() -> tuple[int, list[str]]:
        source = str(checkpoints / "stable_diffusion")
        model = load_text_to_image(source, plan=Plan("cpu", 1, "float32", ""), notes=notes)
        rows = rows_of(model)
        pictures = [picture.sha256 for picture in model.draw(both)]
        return len(rows), pictures

    first, second = steps_taken(), steps_taken()
    assert first[0] > second[0]
    assert first[1] == second[1]
    [(key, known)] = notes.read().items()
    assert "torch" in key
    notes.write(key, [["unet.nowhere", 2]])
    assert steps_taken()[1] == second[1]
    assert notes.read() == {key: known}
    notes.write(key, "unlike")
    taken, alone = steps_taken()
    assert (taken, alone) == (2 * 3, second[1])  # each by itself, 3 steps


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_diffusers(checkpoints: Path, kind: str) -> None:
    model = load(checkpoints / kind)
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(9))
    theirs = model.loaded.pipeline(
        "red fox",
        negative_prompt="snow",
        latents=noise,
        num_inference_steps=4,
        guidance_scale=4.0,
        width=16,
        height=16,
        output_type="np",
    ).images[0]
    ours = model.draw([ask("red fox", 9, steps=4, less="snow")])[0]
    assert psnr(ours, Picture((theirs * 255).round().astype(np.uint8))) > 60


def test_everything_in_a_request_counts(model: DiffusionModel) -> None:
    changed = [
        ask(),
        ask("castle"),
        ask("a (red:1.5) fox"),
        ask(seed=2),
        ask(steps=4),
        ask(guidance=6.0),
        ask(less="snow"),
        ask(guidance=1.0),
        ask("fox " * 40),
    ]
    assert len({picture.sha256 for picture in model.draw(changed)}) == len(changed)


def test_requests_of_different_settings_come_back_in_order(model: DiffusionModel) -> None:
    requests = [ask(side=32), ask(steps=2), ask(), ask(side=32, seed=8), ask("snow " * 30), ask(guidance=0.0)]
    drawn = model.draw(requests)
    assert [picture.width for picture in drawn] == [32, 16, 16, 32, 16, 16]
    assert all(same(model.draw([request])[0], picture) for request, picture in zip(requests, drawn, strict=True))


def test_bfloat16_draws_the_same_picture_nearly(checkpoints: Path) -> None:
    exact, fast = (load(checkpoints / "stable_diffusion", each).draw([ask()])[0] for each in PRECISIONS)
    assert psnr(exact, fast) > 30


def test_progress_counts_steps_of_all_pictures(model: DiffusionModel) -> None:
    seen: list[tuple[int, int]] = []
    model.draw([ask(), ask(steps=2), ask(seed=2)], on_step=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (8, 8)
    assert {total for _, total in seen} == {8}


def test_an_exception_from_progress_ends_the_drawing(model: DiffusionModel) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = model.draw([ask()])[0]
    with pytest.raises(KeyboardInterrupt):
        model.draw([ask(), ask(seed=2)], on_step=stop)
    assert same(model.draw([ask()])[0], before)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask(side=17), "multiples of 2"),
        (ask(side=0), "multiples of 2"),
        (ask(side=-2), "multiples of 2"),
        (ask(steps=0), "1 to 1000"),
        (ask(steps=1001), "1 to 1000"),
        (ask(guidance=float("nan")), "guidance nan"),
        (ask(guidance=float("inf")), "guidance inf"),
        (ask(guidance=-1.0), "guidance -1.0"),
        (ask(seed=-1), "seed -1"),
        (ask(seed=2**63), "seed"),
    ],
)
def test_bad_requests_are_refused_before_any_work(model: DiffusionModel, request_: DrawRequest, words: str) -> None:
    steps: list[tuple[int, int]] = []
    with pytest.raises(BadInput, match=words):
        model.draw([ask(), request_], on_step=lambda done, total: steps.append((done, total)))
    assert steps == []


def test_an_overflow_is_said_and_not_drawn_black(checkpoints: Path) -> None:
    model = load(checkpoints / "stable_diffusion")
    after_unet(model, lambda out: out * float("nan"))
    with pytest.raises(LimnerError, match="overflowed"):
        model.draw([ask()])


def test_it_fills_the_role_with_what_the_checkpoint_says(model: DiffusionModel) -> None:
    role: TextToImage = model
    assert (role.default_size, role.sampler) == ((16, 16), "DPM++ 2M")
    assert role.max_batch >= 1
    assert role.unknown_words("a zyzzyva") == []
    assert model.loaded.pipeline.scheduler.config.prediction_type == "v_prediction"


def test_a_distilled_model_keeps_the_solver_it_was_distilled_for(checkpoints: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints / "stable_diffusion", tmp_path / "lcm"))
    for path, name in [(folder / "model_index.json", "scheduler"), (folder / "scheduler/scheduler_config.json", "")]:
        content = json.loads(path.read_text())
        content |= {name: ["diffusers", "LCMScheduler"]} if name else {"_class_name": "LCMScheduler"}
        path.write_text(json.dumps(content))
    model = load(folder)
    assert model.sampler == "LCM"
    fox = ask(seed=5, guidance=1.0)
    assert same(model.draw([ask(guidance=1.0), fox])[1], model.draw([fox])[0])  # LCM adds noise at every step


@pytest.mark.parametrize(("gain", "expected"), [(1.0, torch.bfloat16), (1e30, torch.float32)])
def test_a_decoder_that_overflows_stays_in_float32(
    checkpoints: Path, tmp_path: Path, gain: float, expected: torch.dtype
) -> None:
    folder = Path(shutil.copytree(checkpoints / "stable_diffusion", tmp_path / "sd"))
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    files: Any = safetensors_torch
    weights = files.load_file(path)
    weights["decoder.conv_out.weight"] *= gain
    files.save_file(weights, path, {"format": "pt"})
    assert load(folder, "bfloat16").loaded.pipeline.vae.dtype == expected


def test_drawing_nothing_gives_nothing(model: DiffusionModel) -> None:
    assert model.draw([]) == []
