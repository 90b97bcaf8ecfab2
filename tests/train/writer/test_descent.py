"""The optimizer's schedule, decay and state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limner.train.writer.descent import Descent, cosine
from tests.train.writer.tiny import listed


def layer() -> nn.Linear:
    made = nn.Linear(3, 2)
    with torch.no_grad():
        made.weight.fill_(1.0)
        made.bias.fill_(1.0)
    return made


def push(made: nn.Linear, descent: Descent, number: int, spent: float) -> None:
    made(torch.linspace(-1, number, 12).view(4, 3)).square().mean().backward()
    descent.step(spent)


def test_the_rate_really_falls() -> None:
    """Fault: trlx's «cosine» from lr to lr, a constant."""
    assert cosine(0.03) == pytest.approx(1)
    assert cosine(0.515) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0)
    assert 0 < cosine(0.0) < 0.1
    falling = [cosine(share / 20) for share in range(1, 21)]
    assert falling == sorted(falling, reverse=True)
    assert cosine(2.0) == pytest.approx(0)


def test_the_last_step_moves_nothing() -> None:
    made = layer()
    descent = Descent(made.named_parameters(), 0.1)
    push(made, descent, 1, 0.5)
    before = made.weight.detach().clone()
    push(made, descent, 1, 1.0)
    assert torch.equal(made.weight, before)


def test_only_matrices_decay() -> None:
    made = layer()
    descent = Descent(made.named_parameters(), 0.1, weight_decay=0.5)
    for parameter in made.parameters():
        parameter.grad = torch.zeros_like(parameter)
    descent.step(0.03)
    assert listed(made.weight) == [pytest.approx([0.95] * 3)] * 2
    assert listed(made.bias) == [1.0, 1.0]


def test_some_are_quicker() -> None:
    slow, quick = layer(), layer()
    push(slow, Descent(slow.named_parameters(), 0.1), 1, 0.03)
    push(quick, Descent(quick.named_parameters(), 0.1, quick={"bias": 5.0}), 1, 0.03)
    assert torch.equal(slow.weight, quick.weight)
    assert listed(1 - quick.bias) == pytest.approx([5 * moved for moved in listed(1 - slow.bias)])


def test_all_else_is_left_alone() -> None:
    made = layer()
    descent = Descent(made.named_parameters(), 0.1, weight_decay=0.5)
    made(torch.ones(4, 3)).square().mean().backward()
    descent.step(0.5, only="bias")
    assert listed(made.weight) == [[1.0] * 3] * 2
    assert listed(made.bias) != [1.0, 1.0]
    assert made.weight.grad is None


def test_a_state_is_taken_up_where_it_was(tmp_path: Path) -> None:
    whole, half = layer(), layer()
    one, two = Descent(whole.named_parameters(), 0.1), Descent(half.named_parameters(), 0.1)
    for number in range(6):
        push(whole, one, number, number / 6)
    for number in range(3):
        push(half, two, number, number / 6)
    two.save(tmp_path / "state.safetensors", {"beta": 0.1, "seconds": 2.5})
    other = layer()
    three = Descent(other.named_parameters(), 0.1)
    assert three.resume(tmp_path / "state.safetensors") == {"beta": 0.1, "seconds": 2.5}
    assert three.steps == 3
    for number in range(3, 6):
        push(other, three, number, number / 6)
    assert torch.equal(other.weight, whole.weight)
    assert torch.equal(other.bias, whole.bias)
    assert Descent(layer().named_parameters(), 0.1).resume(tmp_path / "none.safetensors") == {}
