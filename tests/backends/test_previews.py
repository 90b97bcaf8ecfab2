"""Pictures shown while they are drawn: small, few, of the right request, and without any effect on what is drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from limner.backends.diffusion import DiffusionModel, load_text_to_image
from limner.backends.hardware import Plan
from limner.image import psnr
from limner.protocols import DrawRequest
from limner.types import Picture

KINDS = ("stable_diffusion", "stable_diffusion_xl")


def load(folder: Path) -> DiffusionModel:
    return load_text_to_image(str(folder), plan=Plan("cpu", 1, "float32", ""))


@pytest.fixture(scope="module")
def model(checkpoints: Path) -> DiffusionModel:
    return load(checkpoints / "stable_diffusion")


def ask(prompt: str = "a red fox", seed: int = 1, *, steps: int = 8, side: int = 16) -> DrawRequest:
    return DrawRequest(prompt, seed, steps, 4.0, side, side)


def drawn(model: DiffusionModel, requests: list[DrawRequest]) -> tuple[list[Picture], list[tuple[int, Picture]]]:
    """Pictures, and the previews with their places."""
    shown: list[tuple[int, Picture]] = []
    pictures = model.draw(requests, on_preview=lambda place, picture: shown.append((place, picture)))
    return pictures, shown


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_changes_nothing(checkpoints: Path, kind: str) -> None:
    model = load(checkpoints / kind)
    requests = [ask(), ask("castle", 2), ask("snow", 3, steps=4)]
    pictures, shown = drawn(model, requests)
    assert [each.sha256 for each in pictures] == [each.sha256 for each in model.draw(requests)]
    assert Counter(place for place, _ in shown) == {0: 3, 1: 3, 2: 3}


def test_each_is_shown_as_what_it_will_be(model: DiffusionModel) -> None:
    """The last preview is nearer to its own picture than to any other, whatever the order of drawing."""
    requests = [ask(seed=1), ask(seed=2, steps=6), ask(seed=3)]
    pictures, shown = drawn(model, requests)
    for place, preview in dict(shown).items():
        near = [psnr(preview, picture) for picture in pictures]
        assert near.index(max(near)) == place


def test_a_preview_is_small(model: DiffusionModel) -> None:
    _, shown = drawn(model, [ask(steps=4, side=144)])
    assert {(picture.width, picture.height) for _, picture in shown} == {(48, 48)}  # 72 cells, three of them in one


@pytest.mark.parametrize(("steps", "times"), [(1, 0), (2, 1), (3, 2), (4, 3), (8, 3)])
def test_few_steps_have_few_previews(model: DiffusionModel, steps: int, times: int) -> None:
    assert len(drawn(model, [ask(steps=steps)])[1]) == times


def test_a_row_that_only_fills_up_the_batch_is_not_shown(checkpoints: Path) -> None:
    paired = load(checkpoints / "stable_diffusion")

    def lonely(_unet: object, _args: object, output: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (output[0] * (1 + 1e-3 * (len(output[0]) == 2)),)

    paired.loaded.pipeline.unet.register_forward_hook(lonely)
    _, shown = drawn(paired, [ask()])
    assert [place for place, _ in shown] == [0, 0, 0]
