"""Advantages, whitening and the leash: against slow loops, and against the faults of methods 2.4."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limner.train.writer.values import (
    Leash,
    Moments,
    advantages,
    masked_mean,
    token_rewards,
    whiten,
    with_integrity,
)
from tests.train.writer.tiny import listed


def tables(seed: int, rows: int = 5, length: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Random rewards and values, and masks of random lengths; what the mask leaves out is full of rubbish."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (rows, 1), generator=generator)
    mask = (torch.arange(length)[None] < lengths).float()
    rewards, values = (torch.randn(rows, length, generator=generator) for _ in range(2))
    return rewards * mask, values + 100 * (1 - mask), mask


def slow_advantage(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Equations 5 and 6, term by term."""
    ahead = [*values[1:], 0.0]
    deltas = [r + gamma * after - v for r, v, after in zip(rewards, values, ahead, strict=True)]
    return [sum((gamma * lam) ** step * delta for step, delta in enumerate(deltas[t:])) for t in range(len(deltas))]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 1), st.floats(0, 1))
def test_advantages_are_those_of_the_equations(seed: int, gamma: float, lam: float) -> None:
    rewards, values, mask = tables(seed)
    found, returns = advantages(rewards, values, mask, gamma=gamma, lam=lam)
    for row in range(len(mask)):
        n = int(mask[row].sum())
        wanted = slow_advantage(listed(rewards[row, :n]), listed(values[row, :n]), gamma, lam)
        assert listed(found[row, :n]) == pytest.approx(wanted, abs=1e-4)
        assert listed(returns[row, :n]) == pytest.approx(listed(found[row, :n] + values[row, :n]), abs=1e-4)
        assert not found[row, n:].any()
        assert not returns[row, n:].any()


def test_the_score_is_on_the_end() -> None:
    """Fault (a): trlx put it one step past EOS, where nothing was written."""
    mask = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1]])
    drift = torch.tensor([[0.1, 0.2, 0.3, 9], [0, 0, 0, 1.0]])
    rewards = token_rewards(torch.tensor([2.0, -1.0]), drift, mask, beta=0.5)
    assert torch.allclose(rewards, torch.tensor([[-0.05, -0.1, 1.85, 0], [0, 0, 0, -1.5]]))


def test_padding_does_not_enter_whitening() -> None:
    """Fault (b)."""
    values, mask = torch.tensor([[1.0, 2, 3, 900], [4, 900, 900, 900]]), torch.tensor([[1.0, 1, 1, 0], [1, 0, 0, 0]])
    white = whiten(values, mask)
    kept = white[mask.bool()]
    assert float(kept.mean()) == pytest.approx(0, abs=1e-6)
    assert float(kept.var(correction=0)) == pytest.approx(1, abs=1e-4)
    assert not white[~mask.bool()].any()
    assert float(masked_mean(values, mask)) == 2.5


SHARED = """
import sys, torch, torch.distributed as dist
from limner.train.writer.values import Moments, whiten
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
values, mask = torch.arange(12.0).view(4, 3), torch.tensor([[1.0, 1, 0]] * 4)
half = slice(2 * rank, 2 * rank + 2)
moments = Moments()
moments.add(values[half, 0])
print(whiten(values[half], mask[half]).flatten().tolist(), moments.count, moments.mean, moments.deviation)
"""


def test_processes_whiten_together(tmp_path: Path) -> None:
    """Fault (e): each process on its own would make a good half and a bad half alike."""
    commands = [[sys.executable, "-c", SHARED, str(rank), str(tmp_path / "meet")] for rank in range(2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    texts = [process.communicate(timeout=120)[0] for process in running]
    values, mask = torch.arange(12.0).view(4, 3), torch.tensor([[1.0, 1, 0]] * 4)
    alone = whiten(values, mask)
    moments = Moments()
    moments.add(values[:, 0])
    for rank, text in enumerate(texts):
        numbers, _, rest = text.partition("] ")
        shares = [float(each) for each in numbers.strip("[").split(",")]
        assert shares == pytest.approx(listed(alone[2 * rank : 2 * rank + 2].flatten()), abs=1e-5)
        figures = [float(each) for each in rest.split()]
        assert figures == pytest.approx([4, moments.mean, moments.deviation], rel=1e-5)


def test_integrity_favours_tokens_that_say_it_early() -> None:
    """VCI is shaping by a potential: the same text, its keyword said sooner, has the larger first advantage."""
    mask, rewards = torch.ones(2, 4), torch.tensor([[0.0, 0, 0, 1]] * 2)
    said = torch.tensor([[0.0, 1, 1, 1], [0, 0, 0, 1]])
    found, _ = advantages(rewards, with_integrity(torch.zeros(2, 4), said, 0.5), mask)
    assert float(found[0, 0]) > float(found[1, 0])
    plain, _ = advantages(rewards, torch.zeros(2, 4), mask)
    assert float(plain[0, 0]) == float(plain[1, 0])


def test_the_price_of_drifting_follows_the_drift() -> None:
    leash = Leash(beta=0.05, target=6, horizon=1000)
    leash.pull(60, 100)
    assert leash.beta == pytest.approx(0.05 * (1 + 0.2 * 0.1))
    leash = Leash(beta=0.05, target=6, horizon=1000)
    leash.pull(5.4, 100)
    assert leash.beta == pytest.approx(0.05 * (1 - 0.1 * 0.1))


def test_moments_are_those_of_all_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(n, generator=generator) * 3 + 5 for n in (1, 7, 30)]
    moments = Moments()
    for part in parts:
        moments.add(part)
    whole = torch.cat(parts)
    assert moments.mean == pytest.approx(float(whole.mean()), rel=1e-5)
    assert moments.deviation == pytest.approx(float(whole.std()), rel=1e-4)
    same = Moments()
    same.add(torch.ones(4))
    assert same.deviation == 1.0
    assert not math.isnan(same.mean)
