"""The training loop: schedule, log, and checkpoints that survive a kill at any moment."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from limner.train.loop import Budget, fit, rate_factor, resume, save
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import trained_in
from tests.disk import small_disk

# The script that is killed has the same model and the same loss as the tests.
SCRIPT = """
import os, signal, sys
from pathlib import Path
import tests.train.test_loop as t
t.torch.set_num_threads(1)
net, optimizer = t.new_run()

def kill(step):
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)

t.fit(optimizer, t.descend(net, optimizer, kill), t.budget(12, checkpoint_minutes=0.0), Path(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _same_bits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, for sums in another order differ in their last bits, and a precision that no process measures anew:
    beside other work the one that is killed might find another one faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("LIMNER_PRECISION", "float32")
    trained_in.cache_clear()
    yield
    trained_in.cache_clear()
    torch.set_num_threads(before)


def new_run() -> tuple[nn.Linear, MixedOptimizer]:
    net = nn.Linear(16, 16)
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=generator)
    return net, MixedOptimizer(net.named_parameters(), Rates(muon=0.02, adamw=0.01))


def nothing(step: int) -> None:
    pass


def descend(
    net: nn.Linear, optimizer: MixedOptimizer, before: Callable[[int], None] = nothing
) -> Callable[[Random, float], dict[str, Tensor]]:
    """A loss without chance in it, so that runs can be compared bit by bit; `before` is called at each step."""

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        before(optimizer.steps)
        return {"loss": (net(torch.linspace(-1, 1, 64).view(4, 16)) - 1).square().mean(), "spent": torch.tensor(spent)}

    return loss


def budget(steps: int, *, checkpoint_minutes: float = 1e6) -> Budget:
    return Budget(minutes=1e9, steps=steps, warm_up=3, checkpoint_minutes=checkpoint_minutes)


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def saved_steps(folder: Path) -> int:
    reader: Any = safe_open(folder / "state.safetensors", "pt")
    with reader as file:
        return int(file.metadata()["steps"])


def weights(optimizer: MixedOptimizer) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in optimizer.tensors()}


def straight(folder: Path, steps: int) -> dict[str, bytes]:
    net, optimizer = new_run()
    fit(optimizer, descend(net, optimizer), budget(steps), folder)
    return weights(optimizer)


def test_a_budget_is_spent_by_steps_or_by_minutes_whichever_is_first() -> None:
    both = Budget(minutes=10, steps=1000)
    assert both.spent(0, 0.0) == 0.0
    assert both.spent(250, 60.0) == 0.25
    assert both.spent(250, 300.0) == 0.5
    assert both.spent(10, 600.0) == 1.0


def test_the_rate_warms_up_holds_and_decays_over_the_last_third() -> None:
    plan = Budget(warm_up=100)
    assert rate_factor(plan, 0, 0.0) == pytest.approx(0.01)
    assert rate_factor(plan, 49, 0.0) == pytest.approx(0.5)
    assert rate_factor(plan, 100, 0.1) == rate_factor(plan, 5000, 0.66) == 1.0
    assert rate_factor(plan, 5000, 5 / 6) == pytest.approx(0.5)
    assert rate_factor(plan, 5000, 1.0) == pytest.approx(0.02)


def test_training_descends_for_just_the_budgeted_steps(tmp_path: Path) -> None:
    net, optimizer = new_run()
    fit(optimizer, descend(net, optimizer), budget(40), tmp_path, log_every=10)
    assert optimizer.steps == saved_steps(tmp_path) == 40
    log = rows(tmp_path)
    assert [row["step"] for row in log] == [10, 20, 30, 40]
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    assert {"step", "minutes", "loss", "spent", "norm"} == log[0].keys()


def test_the_log_has_means_since_the_last_line(tmp_path: Path) -> None:
    net, optimizer = new_run()
    fit(optimizer, descend(net, optimizer), budget(8), tmp_path, log_every=4)
    assert [row["spent"] for row in rows(tmp_path)] == pytest.approx([(0 + 1 + 2 + 3) / 4 / 8, (4 + 5 + 6 + 7) / 4 / 8])


def test_the_recipe_keeps_the_average_and_training_goes_on_with_the_raw_weights(tmp_path: Path) -> None:
    net, optimizer = new_run()
    kept: list[Tensor] = []
    fit(
        optimizer,
        descend(net, optimizer),
        budget(6),
        tmp_path,
        on_checkpoint=lambda: kept.append(net.weight.detach().clone()),
    )
    assert len(kept) == 1
    assert torch.equal(kept[0], optimizer.averages["weight"])
    assert torch.equal(net.weight, optimizer.masters["weight"])
    assert not torch.equal(kept[0], net.weight)


def test_a_spent_budget_is_not_spent_again(tmp_path: Path) -> None:
    before = straight(tmp_path, 5)
    net, optimizer = new_run()
    fit(optimizer, descend(net, optimizer), budget(5), tmp_path)
    assert weights(optimizer) == before


def test_seconds_spent_before_a_resume_count(tmp_path: Path) -> None:
    _, optimizer = new_run()
    save(optimizer, tmp_path, seconds=90.0)
    assert resume(optimizer, tmp_path) == 90.0
    assert resume(optimizer, tmp_path / "elsewhere") == 0.0


def test_a_resumed_run_draws_other_numbers_than_those_it_was_trained_on(tmp_path: Path) -> None:
    drawn: list[tuple[float, float]] = []

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        drawn.append((rng.random(), float(torch.rand(()))))
        return {"loss": net(torch.ones(1, 16)).square().mean()}

    for steps in (3, 6):
        net, optimizer = new_run()
        fit(optimizer, loss, budget(steps), tmp_path)
    assert len(drawn) == 6
    assert len({first for first, _ in drawn}) == len({second for _, second in drawn}) == 6


def test_killed_in_the_middle_it_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], timeout=300, check=False).returncode == -9
    assert saved_steps(tmp_path / "killed") == 7
    net, optimizer = new_run()
    fit(optimizer, descend(net, optimizer), budget(12), tmp_path / "killed")
    assert optimizer.steps == 12
    assert weights(optimizer) == straight(tmp_path / "straight", 12)


def test_a_full_disk_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    before = straight(tmp_path, 4)
    net, optimizer = new_run()
    with small_disk(2000), pytest.raises(Exception, match="File too large"):
        fit(optimizer, descend(net, optimizer), budget(8), tmp_path)
    _, resumed = new_run()
    resume(resumed, tmp_path)
    assert (resumed.steps, weights(resumed)) == (4, before)


@pytest.mark.parametrize("log_every", [1, 20])
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_nothing_of_it(tmp_path: Path, log_every: int) -> None:
    net, optimizer = new_run()
    fit(optimizer, descend(net, optimizer), budget(4), tmp_path)

    def lost(rng: Random, spent: float) -> dict[str, Tensor]:
        return {"loss": net(torch.full((1, 16), math.nan)).sum()}

    with pytest.raises(FloatingPointError, match=r"the loss is not a number at step \d+: lower the rates"):
        fit(optimizer, lost, budget(8, checkpoint_minutes=0.0), tmp_path, log_every=log_every)
    assert saved_steps(tmp_path) == 4
