"""The mixed optimizer: which weights get Muon, how half precision follows fp32, and that a resume is exact."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limner.train.libraries import seed_torch
from limner.train.optim import MixedOptimizer, Rates

RATES = Rates(muon=0.02, adamw=0.01, ema=0.9)
ONE_OF_TWO_PROCESSES = """
import sys, torch, torch.distributed as dist
from torch import nn
from limner.train.optim import MixedOptimizer, Rates
rank = int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=2)
torch.manual_seed(0)
net = nn.ModuleDict({name: nn.Linear(16, 16) for name in ("both", "one", "none")})
optimizer = MixedOptimizer(net.named_parameters(), Rates(muon=0.02, adamw=0.01))
loss = ((1 + 2 * rank) * net["both"](torch.ones(1, 16))).sum()
(loss if rank else loss + net["one"](torch.ones(1, 16)).sum()).backward()
norm = optimizer.step(1.0)
stepped = sorted({name.split(".")[-2] for name, _ in optimizer.tensors() if name.startswith("state.")})
total = sum(float(tensor.double().sum()) for _, tensor in optimizer.tensors())
print(round(norm, 4), stepped, total)
"""


class Net(nn.Module):
    """One of each kind of weight: looked up, convolved, multiplied, added."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.stem = nn.Conv2d(3, 16, 3)
        self.body = nn.Conv2d(16, 24, 3)
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 16)
        self.unused = nn.Linear(16, 16)

    def forward(self, pictures: Tensor, words: Tensor) -> Tensor:
        features = self.body(self.stem(pictures).relu()).mean((2, 3))
        return (self.head(self.norm(features)) * self.embedding(words)).sum(1)


def new_net(dtype: torch.dtype = torch.bfloat16) -> Net:
    seed_torch(0)
    return Net().to(dtype)


def train(net: Net, optimizer: MixedOptimizer, steps: Sequence[int], factor: float = 1.0) -> list[float]:
    """Updates on data that depends on the number of the step only; returns the norms of the gradients."""
    norms: list[float] = []
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        pictures = torch.randn((4, 3, 8, 8), generator=generator).to(net.stem.weight.dtype)
        words = torch.randint(0, 20, (4,), generator=generator)
        loss = (net(pictures, words).float() - 1).square().mean()
        torch.autograd.backward(loss)
        norms.append(optimizer.step(factor))
    return norms


def state(optimizer: MixedOptimizer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in optimizer.tensors()}


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("before", [1, 4])
def test_a_resumed_run_is_bit_equal_to_one_that_was_never_stopped(before: int) -> None:
    straight_net, net = new_net(), new_net()
    straight = MixedOptimizer(straight_net.named_parameters(), RATES)
    norms = train(straight_net, straight, range(9))
    stopped = MixedOptimizer(net.named_parameters(), RATES)
    train(net, stopped, range(before))
    saved = state(stopped)
    resumed_net = new_net()
    resumed = MixedOptimizer(resumed_net.named_parameters(), RATES)
    resumed.restore(saved, before)
    assert train(resumed_net, resumed, range(before, 9)) == norms[before:]
    assert resumed.steps == straight.steps == 9
    assert_equal(state(resumed), state(straight))
    assert_equal(dict(resumed_net.state_dict()), dict(straight_net.state_dict()))


def test_what_was_not_saved_stays_fresh() -> None:
    net = new_net()
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    fresh = state(optimizer)
    optimizer.restore({}, 3)
    assert optimizer.steps == 3
    assert_equal(state(optimizer), fresh)


def test_matrices_and_wide_convolutions_get_muon_and_nothing_else_does() -> None:
    net = new_net()
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    train(net, optimizer, range(1))
    kept = {name.removeprefix("state.") for name, _ in optimizer.tensors() if name.startswith("state.")}
    muon = {name.removeprefix("momentum_buffer.") for name in kept if name.startswith("momentum_buffer.")}
    adamw = {name.removeprefix("exp_avg.") for name in kept if name.startswith("exp_avg.")}
    assert muon == {"stem.weight", "body.weight", "head.weight"}
    assert {"embedding.weight", "stem.bias", "body.bias", "norm.weight", "norm.bias", "head.bias"} <= adamw
    assert not muon & adamw


def test_a_thin_matrix_is_no_matrix_for_muon() -> None:
    net = nn.ModuleDict({"wide": nn.Linear(16, 16), "thin": nn.Linear(16, 15)})
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    assert optimizer.matrices == {"wide.weight"}


def test_half_precision_weights_are_their_masters_rounded() -> None:
    net = new_net()
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    train(net, optimizer, range(3))
    for name, parameter in net.named_parameters():
        master = optimizer.masters[name]
        assert (parameter.dtype, master.dtype) == (torch.bfloat16, torch.float32)
        assert torch.equal(parameter, master.view_as(parameter).bfloat16())


def test_masters_take_steps_that_half_precision_would_lose() -> None:
    weight = nn.Linear(16, 16).bfloat16()
    nn.init.constant_(weight.bias, 256.0)
    optimizer = MixedOptimizer(weight.named_parameters(), Rates(adamw=0.01, weight_decay=0.0))
    for _ in range(100):
        torch.autograd.backward(weight(torch.ones(1, 16).bfloat16()).sum())
        optimizer.step(1.0)
    assert float(weight.bias.detach().float().mean()) == pytest.approx(255.0, abs=0.5)  # bfloat16 steps by 2 up there


def test_the_average_is_lent_to_the_model_and_taken_back() -> None:
    net = new_net(torch.float32)
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    first = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    train(net, optimizer, range(1))
    raw = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer.load_average()
    keep = 2 / 11  # at step 1: a young average forgets faster than the rate says
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.detach(), keep * first[name] + (1 - keep) * raw[name])
    optimizer.load_masters()
    assert_equal(dict(net.named_parameters()), raw)


def test_a_step_clears_the_gradients_and_tells_their_norm() -> None:
    net = nn.Linear(16, 16)
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    torch.autograd.backward(net(torch.full((1, 16), 2.0)).sum())
    assert optimizer.step(1.0) == pytest.approx((16 * 16 * 4 + 16) ** 0.5)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_rates_are_scaled_by_the_factor() -> None:
    net = new_net(torch.float32)
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    before = state(optimizer)
    train(net, optimizer, range(1), factor=0.0)
    assert_equal({name: state(optimizer)[name] for name in before}, before)
    train(net, optimizer, range(1), factor=1e-3)
    moved = (state(optimizer)["master.norm.bias"] - before["master.norm.bias"]).abs().max()
    assert float(moved) == pytest.approx(1e-3 * RATES.adamw, rel=0.5)


def test_a_weight_without_a_gradient_is_left_alone() -> None:
    net = new_net()
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    before = state(optimizer)["master.unused.weight"]
    train(net, optimizer, range(3))
    assert torch.equal(state(optimizer)["master.unused.weight"], before)
    assert not any(name.endswith("unused.weight") for name in state(optimizer) if name.startswith("state."))


def test_frozen_weights_are_not_touched() -> None:
    net = new_net()
    net.head.requires_grad_(False)
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    before = net.head.weight.clone()
    train(net, optimizer, range(2))
    assert torch.equal(net.head.weight, before)
    assert "head.weight" not in optimizer.masters


@pytest.mark.slow
def test_processes_average_their_gradients_and_agree_on_what_has_none(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ONE_OF_TWO_PROCESSES, str(tmp_path / "store")]
    both = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True) for rank in (0, 1)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert said[0] == said[1]
    # Layers of 256 weights and 16 biases, whose gradients are (1 + 3) / 2 in `both` and (1 + 0) / 2 in `one`.
    norm = (272 * 2**2 + 272 * 0.5**2) ** 0.5
    assert said[0].startswith(f"{norm} ['both', 'one'] ")
