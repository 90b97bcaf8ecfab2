"""One-shot learning on tiny models: the equations, the gradients of both sides, resuming, stopping."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from limner.backends.branches import Layout
from limner.backends.diffusion import load_text_to_image
from limner.backends.hardware import Plan
from limner.backends.pipelines import Loaded, load_pipeline
from limner.concept import Concept
from limner.protocols import DrawRequest
from limner.train.concept.lesson import Lesson, prepare, study
from limner.train.concept.loss import Schedule, Target, concept_loss, guided
from limner.train.concept.options import METHODS, Options
from limner.types import BadInput, LimnerError, Picture
from tests import tiny

PLAN = Plan("cpu", 1, "float32", "test")
KINDS = {
    "v": functools.partial(tiny.stable_diffusion, prediction_type="v_prediction"),
    "noise": functools.partial(tiny.stable_diffusion, prediction_type="epsilon"),
    "xl": tiny.stable_diffusion_xl,
}


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(KINDS[request.param](tmp_path / "model"))


@pytest.fixture
def loaded(source: str) -> Loaded:
    return load_pipeline(source, plan=PLAN)


LAYOUTS: tuple[Layout, ...] = (("negative",), ("positive",))


def picture(side: int = 16) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def options(**changes: Any) -> Options:
    return replace(Options("gizmo", like="red fox", steps=4, reconstruction=0.5), **changes)


def moved(lesson: Lesson) -> None:
    """Away from the start, where the adapters change nothing: every gradient is then worth comparing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in lesson.named.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


def two_passes(lesson: Lesson, noised: Tensor, timestep: int) -> Tensor:
    """The prediction as two passes with one side's words and adapters each, nothing recomputed."""
    lesson.student.unet.disable_gradient_checkpointing()
    rows: list[Tensor] = []
    for side in lesson.student.layout:
        alone = replace(lesson.student, layout=(side,))
        with alone.attached():
            rows.append(alone.predict(noised, timestep, "a {}"))
    return torch.cat(rows)


def gradients(lesson: Lesson, predict: Callable[[Tensor, int], Tensor]) -> dict[str, Tensor]:
    noise = torch.randn(lesson.target.latents.shape, generator=torch.Generator().manual_seed(3))
    losses = concept_loss(
        predict,
        lesson.schedule,
        lesson.target,
        300,
        noise,
        gamma=3.0,
        reconstruct=lesson.reconstruct,
        reconstruction=0.5,
    )
    losses["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
    found = {name: p.grad.clone() for name, p in lesson.named.items() if p.grad is not None}
    lesson.optimizer.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_batch_has_the_gradients_of_two_passes(loaded: Loaded, checkpointing: bool) -> None:
    lesson = prepare(loaded, picture(), options(checkpointing=checkpointing))
    moved(lesson)
    with lesson.student.attached():
        together = gradients(lesson, lambda noised, t: lesson.student.predict(noised, t, "a {}"))
    apart = gradients(lesson, lambda noised, t: two_passes(lesson, noised, t))
    assert together.keys() == apart.keys() == lesson.named.keys()
    assert all(float(gradient.abs().max()) > 0 for gradient in together.values())
    for kind in ("words.positive", "words.negative", "adapters.positive", "adapters.negative"):
        ours, theirs = (
            torch.cat([gradient.flatten() for name, gradient in each.items() if name.startswith(kind)])
            for each in (together, apart)
        )
        assert float((ours - theirs).square().sum() / theirs.square().sum()) < 1e-10, kind


def test_the_negative_side_gets_the_opposite_sign_and_two_thirds_of_the_size() -> None:
    predictions = torch.randn(2, 4, 3, 3, requires_grad=True)
    schedule = Schedule(torch.linspace(0.999, 0.001, 10), velocity=False)
    target = Target(torch.randn(1, 4, 3, 3), torch.zeros(1, 3, 6, 6), torch.ones(1, 1, 3, 3), torch.ones(1, 1, 6, 6))
    noise = torch.randn(1, 4, 3, 3)
    losses = concept_loss(lambda _n, _t: predictions, schedule, target, 5, noise, gamma=3.0)
    losses["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
    assert predictions.grad is not None
    assert torch.allclose(predictions.grad[0] * -1.5, predictions.grad[1], atol=1e-7)


def test_guidance_of_one_is_the_positive_side_alone() -> None:
    rows = torch.randn(2, 4, 3, 3)
    assert torch.allclose(guided(rows, 1.0), rows[1:])
    assert torch.allclose(guided(rows, 3.0), rows[:1] + 3 * (rows[1:] - rows[:1]))
    assert torch.equal(guided(rows[:1], 3.0), rows[:1])


@pytest.mark.parametrize("velocity", [False, True])
def test_a_perfect_prediction_gives_the_clean_latent_and_no_loss(velocity: bool) -> None:
    schedule = Schedule(torch.linspace(0.999, 0.01, 10), velocity)
    latents, noise = torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3)
    target = Target(latents, torch.zeros(1, 3, 6, 6), torch.ones(1, 1, 3, 3), torch.ones(1, 1, 6, 6))
    for timestep in (0, 5, 9):
        perfect = schedule.target(latents, noise, timestep)
        assert torch.allclose(
            schedule.clean(schedule.noised(latents, noise, timestep), perfect, timestep), latents, atol=1e-4
        )
        losses = concept_loss(lambda _n, _t, found=perfect: found, schedule, target, timestep, noise, gamma=3.0)
        assert float(losses["loss"]) == 0


def test_min_snr_weighs_little_noise_less() -> None:
    noise, velocity = (Schedule(torch.tensor([0.999, 0.5, 0.01]), kind) for kind in (False, True))
    assert noise.min_snr_weight(0, 2.0) == pytest.approx(2 / 999, rel=1e-3)
    assert noise.min_snr_weight(1, 2.0) == 1
    assert velocity.min_snr_weight(1, 2.0) == pytest.approx(0.5)
    assert noise.min_snr_weight(2, 2.0) == 1


@pytest.mark.parametrize("decoder", ["full", "light"])
def test_reconstruction_reaches_both_sides(loaded: Loaded, decoder: Any) -> None:
    lesson = prepare(loaded, picture(), options(decoder=decoder))
    moved(lesson)
    assert lesson.reconstruct is not None
    with lesson.student.attached():
        predictions = lesson.student.predict(lesson.target.latents, 300, "a {}").detach().requires_grad_()
    drawn, wanted = lesson.reconstruct(guided(predictions, 3.0))
    assert drawn.shape == wanted.shape
    (drawn - wanted).abs().mean().backward()  # pyright: ignore[reportUnknownMemberType]
    assert predictions.grad is not None
    assert all(float(side.abs().max()) > 0 for side in predictions.grad)


def values(lesson: Lesson) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in lesson.named.items()}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_what_it_says_and_nothing_else(loaded: Loaded, method: str) -> None:
    unet, how = loaded.pipeline.unet, METHODS[method]
    frozen = {name: value.clone() for name, value in unet.state_dict().items()}
    lesson = prepare(loaded, picture(), options(method=method, adapter_rate=1e-2, whole_rate=1e-3))
    before, words = values(lesson), {name: vectors.detach().clone() for name, vectors in lesson.student.words.items()}
    list(study(lesson, None))
    assert all(
        not torch.equal(before[name], value) for name, value in values(lesson).items() if not name.endswith("down")
    )
    assert how.words != all(torch.equal(words[name], vectors) for name, vectors in lesson.student.words.items())
    same = all(torch.equal(frozen[name], value) for name, value in unet.state_dict().items())
    assert same is not how.whole
    concept = lesson.concept()
    assert set(concept.adapters) == {"sides": {"positive", "negative"}, "whole": {"both"}, "none": set()}[how.adapter]
    assert bool(concept.changes) is how.whole
    assert ("negative" in concept.words) is how.guided


def run(lesson: Lesson, folder: Path | None) -> Concept:
    work = study(lesson, folder)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_a_lesson_cut_short_goes_on_exactly_where_it_was(source: str, tmp_path: Path) -> None:
    def fresh(steps: int) -> Lesson:
        return prepare(load_pipeline(source, plan=PLAN), picture(), options(steps=steps, ema=0.9))

    whole = fresh(6)
    list(study(whole, None))
    first, second = fresh(3), fresh(6)
    list(study(first, tmp_path / "lesson"))
    list(study(second, tmp_path / "lesson"))
    assert second.step == 6
    assert all(torch.equal(value, values(second)[name]) for name, value in values(whole).items())
    assert all(torch.equal(average, second.averages[name]) for name, average in whole.averages.items())
    other = prepare(load_pipeline(source, plan=PLAN), picture(), options(seed=7))
    other.resume(tmp_path / "lesson")
    assert other.step == 0  # another seed is another lesson


def test_closing_it_keeps_what_was_learned(loaded: Loaded, tmp_path: Path) -> None:
    lesson = prepare(loaded, picture(), options(steps=100))
    work = study(lesson, tmp_path)
    next(work)
    work.close()
    assert lesson.step == 10
    assert (tmp_path / "state.safetensors").is_file()


def test_a_loss_that_is_no_number_ends_it_and_harms_nothing(loaded: Loaded, tmp_path: Path) -> None:
    lesson = prepare(loaded, picture(), options(steps=100))
    list(study(replace_steps(lesson, 2), tmp_path))
    before = values(lesson)
    lesson = replace_steps(lesson, 100)
    with torch.no_grad():
        loaded.pipeline.unet.conv_in.weight.fill_(float("nan"))
    with pytest.raises(LimnerError, match="not a number at step 2"):
        list(study(lesson, None))
    assert all(torch.equal(before[name], value) for name, value in values(lesson).items())


def replace_steps(lesson: Lesson, steps: int) -> Lesson:
    lesson.options = replace(lesson.options, steps=steps)
    return lesson


def test_what_lies_outside_the_mask_does_not_count(loaded: Loaded) -> None:
    mask = np.zeros((16, 16), np.bool_)
    mask[:8] = True
    other = Picture(np.where(mask[..., None], picture().pixels, 255 - picture().pixels).astype(np.uint8))
    first = prepare(loaded, picture(), options(), mask=mask)
    assert float(first.target.cell_weight.mean()) == pytest.approx(1)
    assert not first.target.cell_weight[..., 4:, :].any()
    assert not first.target.pixel_weight[..., 8:, :].any()
    second = prepare(loaded, other, options(), mask=mask)
    drawn = torch.zeros(1, 3, 16, 16)
    assert all(
        float(((drawn - each.target.pixels).abs() * each.target.pixel_weight).mean())
        == pytest.approx(float(((drawn - first.target.pixels).abs() * first.target.pixel_weight).mean()))
        for each in (first, second)
    )
    with pytest.raises(BadInput, match="mask"):
        prepare(loaded, picture(), options(), mask=np.zeros((16, 16), np.bool_))


def test_pictures_of_its_kind_keep_the_model_from_forgetting(loaded: Loaded) -> None:
    alone = prepare(loaded, picture(), options())
    list(study(alone, None))
    kept = prepare(loaded, picture(), options(), others=[Picture(np.full((16, 16, 3), 200, np.uint8))])
    list(study(kept, None))
    assert any(not torch.equal(value, values(kept)[name]) for name, value in values(alone).items())


def test_drawing_with_the_concept_is_two_guided_passes(source: str) -> None:
    """What the paper's inference is: the positive side's words and adapters against the negative side's."""
    model = load_text_to_image(source, plan=PLAN)
    lesson = prepare(model.loaded, picture(), options(adapter_rate=1e-2))
    moved(lesson)
    concept = lesson.concept()
    model.loaded.prompts.rack.find = {"gizmo": concept}.__getitem__
    request = DrawRequest("a <gizmo>", 5, 3, 3.0, 16, 16)
    [drawn] = model.draw([request])
    pipeline = model.loaded.pipeline
    old: Any = pipeline.scheduler
    scheduler: Any = old.from_config(old.config)
    scheduler.set_timesteps(3)
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(5)) * scheduler.init_noise_sigma
    prompts, rack = model.loaded.prompts, model.loaded.prompts.rack
    positive, negative = prompts.pair("a <gizmo>", "")
    uses = rack.hang("a <gizmo>")
    conditions: dict[str, Any] = {}
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            sides: list[Tensor] = []
            for layout, embedding in zip(LAYOUTS, (negative, positive), strict=True):
                if embedding.pooled is not None:
                    ids = torch.tensor([[16, 16, 0, 0, 16, 16]]).float()
                    conditions = {"added_cond_kwargs": {"text_embeds": embedding.pooled, "time_ids": ids}}
                with rack.acting("unet", uses, layout):
                    sides.append(pipeline.unet(latents, timestep, embedding.states, **conditions, return_dict=False)[0])
            guidance = sides[0] + 3.0 * (sides[1] - sides[0])
            latents = scheduler.step(guidance, timestep, latents, return_dict=False)[0]
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    wanted = ((decoded[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(wanted - drawn.pixels.astype(np.float32)).max() <= 1
    [plain, again, weaker] = model.draw(
        [replace(request, prompt=said) for said in ("a red fox", "a <gizmo>", "a <gizmo:0.5>")]
    )
    assert again.sha256 == drawn.sha256
    assert weaker.sha256 not in (drawn.sha256, plain.sha256)
    assert np.abs(plain.pixels.astype(int) - drawn.pixels.astype(int)).mean() > 1


# In half precision, which some machines are slow in, one with adapters and one that changes all weights.
@pytest.mark.parametrize(
    ("method", "precision"),
    [*((method, "float32") for method in METHODS), ("dreamartist", "bfloat16"), ("dreambooth", "bfloat16")],
)
def test_a_pipeline_that_rests_draws_as_it_did_and_goes_on_where_it_was(
    tmp_path: Path, method: str, precision: Any
) -> None:
    source = str(tiny.stable_diffusion(tmp_path / "model"))
    model = load_text_to_image(source, plan=Plan("cpu", 1, precision, "test"))
    request = DrawRequest("a red fox", 5, 3, 3.0, 16, 16)
    [before] = model.draw([request])
    lesson = prepare(model.loaded, picture(), options(method=method, whole_rate=1e-2, adapter_rate=1e-2, steps=6))
    list(study(lesson, None))
    trained = values(lesson)
    concept = replace(lesson.concept(), name="now")
    model.loaded.prompts.rack.find = {"now": concept}.__getitem__
    with lesson.student.resting():
        plain, said = model.draw([request, replace(request, prompt="a <now>")])
    assert plain.sha256 == before.sha256
    assert said.sha256 != before.sha256
    assert all(torch.equal(trained[name], value) for name, value in values(lesson).items())
    lesson.advance()
    lesson.student.dismiss()
    plain, again = model.draw([request, replace(request, prompt="a <now>")])
    assert plain.sha256 == before.sha256
    assert again.sha256 == said.sha256  # the concept is what it was when it was taken down, and acts once


_KILLED = """
import sys
from pathlib import Path
from tests.train import test_concept_lesson as t
lesson = t.prepare(t.load_pipeline(sys.argv[1], plan=t.PLAN), t.picture(), t.options(steps=400))
for event in t.study(lesson, Path(sys.argv[2])):
    print(event.done, flush=True)
"""


@pytest.mark.long
def test_a_killed_lesson_goes_on_from_its_last_state(tmp_path: Path) -> None:
    source = str(tiny.stable_diffusion(tmp_path / "model"))
    command = [sys.executable, "-c", _KILLED, source, str(tmp_path / "lesson")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 120:
                process.send_signal(signal.SIGKILL)
                break
    resumed = prepare(load_pipeline(source, plan=PLAN), picture(), options(steps=400))
    resumed.resume(tmp_path / "lesson")
    assert resumed.step in (100, 200, 300)  # where it was saved last; a slow reader kills later
    whole = prepare(load_pipeline(source, plan=PLAN), picture(), options(steps=resumed.step + 30))
    resumed.options = whole.options
    list(study(resumed, None))
    list(study(whole, None))
    assert all(torch.equal(value, values(resumed)[name]) for name, value in values(whole).items())


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0}, {"positive_words": 0}, {"negative_words": 33}, {"rate": 0.0}, {"rate": float("nan")},
        {"gamma": 0.5}, {"ema": 1.0}, {"method": "magic"}, {"name": "../x"}, {"name": "x-neg"},
        {"reconstruction": -1.0},
    ],
)  # fmt: skip
def test_what_nothing_can_be_learned_with_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        options(**changes)
