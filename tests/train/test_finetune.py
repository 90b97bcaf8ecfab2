"""ParlAI's recipe: it stops when validation no longer improves, keeps the best, and lowers the rate on plateaus."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor, nn

from limner.train.finetune import Recipe, fine_tune


def run(figures: list[float], recipe: Recipe, minutes: float = 1.0) -> tuple[float, int, int]:
    """The best figure, how many validations there were, and how often the model was kept."""
    model, left, kept = nn.Linear(2, 1), list(figures), list[float]()

    def loss(rng: Random) -> Tensor:
        return model(torch.tensor([rng.random(), 1.0])).square().mean()

    def validate() -> float:
        return left.pop(0)

    best = fine_tune(
        model, loss, recipe, steps_per_epoch=8, minutes=minutes, validate=validate, on_better=lambda: kept.append(1)
    )
    return best, len(figures) - len(left), len(kept)


def test_it_stops_after_so_many_validations_without_a_better_one() -> None:
    figures = [5.0, 4.0, 4.5, 3.0, *[3.5] * 20]
    assert run(figures, Recipe(rate=1e-3, stop=10)) == (3.0, 14, 3)


def test_an_equal_figure_is_no_better_one() -> None:
    assert run([2.0] * 9, Recipe(stop=3)) == (2.0, 4, 1)


def test_it_ends_with_a_validation_when_time_is_over() -> None:
    assert run([2.0, 1.0], Recipe(), minutes=0) == (2.0, 1, 1)


def test_it_learns() -> None:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    model = nn.Linear(3, 1)
    inputs = torch.randn(64, 3)
    wanted = inputs @ torch.tensor([[1.0], [2.0], [3.0]])

    def loss(_: Random) -> Tensor:
        return (model(inputs) - wanted).square().mean()

    def validate() -> float:
        return float(loss(Random()).detach())

    before = validate()
    recipe = Recipe(rate=0.1, warm_up=5, clip=10.0, stop=4)
    best = fine_tune(model, loss, recipe, steps_per_epoch=40, minutes=0.05, validate=validate, on_better=lambda: None)
    assert best < before / 100


def test_a_gradient_is_clipped_and_the_first_steps_are_small() -> None:
    """Adam's step does not depend on the gradient's size, but a warm-up of a hundred steps begins at a hundredth."""
    model = nn.Linear(1, 1, bias=False)
    start = float(model.weight.detach())

    def loss(_: Random) -> Tensor:
        return 1e6 * model.weight.sum()

    recipe = Recipe(rate=1.0, warm_up=100, accumulate=1, stop=1, validations=8)
    fine_tune(model, loss, recipe, steps_per_epoch=8, minutes=0, validate=lambda: 1.0, on_better=lambda: None)
    assert abs(float(model.weight.detach()) - start) == pytest.approx(0.01, rel=0.01)
