"""PPO: its loss against loops, its texts, and that it learns."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from limner.train.loop import Budget
from limner.train.writer.descent import Descent
from limner.train.writer.improve import Job, improve
from limner.train.writer.policy import VALUE_HEAD, Judgement, Policy
from limner.train.writer.ppo import Experience, Options, Task, collect, loss, pieces_of, text_of, write
from limner.train.writer.values import Leash, Moments
from tests.train.writer.tiny import model, prefixes, rows, tokenizer

OPTIONS = Options(rollouts=6, minibatch=3, epochs=2, longest=10)


def never(text: str, rng: Random) -> str | None:
    return None


def constant(rows: Any, texts: Any) -> Tensor:
    return torch.ones(len(texts))


def experience(seed: int, rows: int = 4, length: int = 5) -> tuple[Judgement, Experience]:
    """Random tables; what the mask leaves out is rubbish. There is no trunk, which the loss never asks for."""
    generator = torch.Generator().manual_seed(seed)
    logs, new, values, moved, found, returns, said = (torch.randn(rows, length, generator=generator) for _ in range(7))
    lengths = torch.randint(1, length + 1, (rows, 1), generator=generator)
    mask = (torch.arange(length)[None] < lengths).float()
    trunk: Any = None
    old = Judgement(logs, values)
    return Judgement(logs + 0.3 * new, moved), Experience(trunk, old, said, found, returns, mask)


def slow_loss(new: Judgement, seen: Experience, options: Options) -> tuple[float, float]:
    """The clipped surrogate and the clipped value loss, a token at a time."""
    surrogate, value, count = 0.0, 0.0, 0
    for row in range(len(seen.mask)):
        for t in range(seen.mask.shape[1]):
            if not seen.mask[row, t]:
                continue
            ratio = math.exp(float(new.logs[row, t] - seen.old.logs[row, t]))
            gain = float(seen.advantages[row, t])
            surrogate -= min(ratio * gain, min(max(ratio, 1 - options.clip), 1 + options.clip) * gain)
            says, said = float(new.values[row, t] + seen.integrity[row, t]), float(seen.old.values[row, t])
            near = said + min(max(says - said, -options.value_clip), options.value_clip)
            value += 0.5 * max((says - float(seen.returns[row, t])) ** 2, (near - float(seen.returns[row, t])) ** 2)
            count += 1
    return surrogate / count, value / count


@pytest.mark.parametrize("seed", range(6))
def test_the_loss_is_that_of_the_paper(seed: int) -> None:
    new, seen = experience(seed)
    found = loss(new, seen, OPTIONS)
    surrogate, value = slow_loss(new, seen, OPTIONS)
    assert float(found["policy_loss"]) == pytest.approx(surrogate, abs=1e-5)
    assert float(found["value_loss"]) == pytest.approx(value, abs=1e-5)
    assert float(found["loss"]) == pytest.approx(surrogate + 0.5 * value, abs=1e-5)


def test_a_text_keeps_its_letters() -> None:
    """Fault: strip("</s>"), which takes the letters s, /, < and > off either end of the text."""
    known = tokenizer()
    ids = [*known(" >/s grass and glass</")["input_ids"], known.eos_token_id]
    assert text_of(known, ids) == ">/s grass and glass</"
    assert text_of(known, ids[:-1]) == ">/s grass and glass</"
    assert ">/s grass and glass</".strip("</s>") != ">/s grass and glass</"


def test_pieces_are_the_text() -> None:
    known = tokenizer()
    ids = [*known(" a café, two foxes 日")["input_ids"], known.eos_token_id]
    pieces = pieces_of(known, ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces).startswith(" a caf")
    assert pieces[0] == " a"


def test_sampled_ids_are_kept_and_only_spoiled_texts_are_tokenised_anew() -> None:
    """Fault (f): all outputs decoded and tokenised again, which may give other ids than were sampled."""
    known, writer = tokenizer(), model(1.0)
    policy = Policy(writer, 1)
    given = prefixes()
    plain = write(policy, known, Task(given, constant), range(6), OPTIONS, Random(0))
    differ = [
        known(" " + text)["input_ids"] != ids[: len(ids) - (ids[-1] == 1)]
        for text, ids in zip(plain.texts, plain.ids, strict=True)
    ]
    assert any(differ)  # random ids are seldom what the text would be tokenised to
    target = plain.texts[2]

    def one(text: str, rng: Random) -> str | None:
        return "a red fox" if text == target else None

    spoiled = write(policy, known, Task(given, constant, one), range(6), OPTIONS, Random(0))
    assert spoiled.spoiled == 1
    assert [a == b for a, b in zip(plain.ids, spoiled.ids, strict=True)] == [i != 2 for i in range(6)]
    assert spoiled.ids[2] == [*known(" a red fox")["input_ids"], 1]


def test_the_ratio_of_what_was_spoiled_begins_at_one() -> None:
    known, policy = tokenizer(), Policy(model(2.0), 1)
    task = Task(prefixes(), constant, lambda text, rng: "two blue cars" if rng.random() < 0.5 else None)
    seen, figures = collect(policy, known, task, range(6), OPTIONS, Random(0), Leash(), Moments())
    assert 0 < figures["spoiled"] < 6
    again = policy.judge(seen.trunk)
    assert torch.allclose(again.logs * seen.mask, seen.old.logs * seen.mask, atol=1e-5)
    assert figures["kl"] == pytest.approx(0, abs=1e-3)


def test_integrity_is_a_part_of_every_value() -> None:
    known, policy = tokenizer(), Policy(model(), 1)

    def track(row: int, pieces: Any) -> list[float]:
        return [0.5] * len(pieces)

    task = Task(prefixes(), constant, never, track)
    seen, _ = collect(policy, known, task, range(6), OPTIONS, Random(0), Leash(), Moments())
    assert torch.allclose(seen.old.values, 0.05 * 0.5 * seen.mask)
    without, _ = collect(policy, known, task, range(6), Options(longest=10, alpha=0.0), Random(0), Leash(), Moments())
    assert not without.old.values.any()


def toy(out: Path, steps: int, seed: int = 0) -> dict[str, float]:
    """Learn to write a word, which at first only one text in thirty happens to hold."""
    known, writer = tokenizer(), model(4.0)
    word = next(each for each in rows()[0].x.split() if len(each) > 2 and len(known(f" {each}")["input_ids"]) == 1)

    def score(rows: Any, texts: Any) -> Tensor:
        return torch.tensor([float(word in text.split()) for text in texts])

    policy = Policy(writer, 2)
    options = Options(rollouts=64, minibatch=32, epochs=4, longest=8, mass=1.0, alpha=0.0)
    task = Task([each[:12] for each in prefixes()], score)
    return improve(
        Job(policy, known, task, Descent(policy.trained(), 1e-2), options), out, Budget(steps=steps, minutes=99), seed
    )


SHARED = """
import sys, torch, torch.distributed as dist
from pathlib import Path
from random import Random
import tests.train.writer.test_ppo as t
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}/meet", rank=rank, world_size=2)
policy = t.Policy(t.model(), 1)
job = t.Job(policy, t.tokenizer(), t.Task(t.prefixes(), t.by_length), t.Descent(policy.trained(), 1e-2), t.OPTIONS)
figures = t.improve(job, Path(sys.argv[2]) / "out", t.Budget(steps=2, minutes=9), 0)
print(figures["reward_first"], sum(float(p.detach().double().sum()) for _, p in policy.trained()), dist.get_rank())
"""


def by_length(rows: Any, texts: Any) -> Tensor:
    return torch.tensor([float(len(text)) for text in texts])


@pytest.mark.long
def test_processes_write_other_texts_and_stay_one_model(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", SHARED, str(rank), str(tmp_path)] for rank in range(2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    one, two = (process.communicate(timeout=240)[0].split() for process in running)
    assert one[0] != two[0]
    assert one[1] == two[1]
    assert len((tmp_path / "out" / "log.jsonl").read_text().splitlines()) == 2


def test_while_it_warms_up_only_the_value_head_learns(tmp_path: Path) -> None:
    policy = Policy(model(4.0), 2)
    before = {name: parameter.detach().clone() for name, parameter in policy.trained()}
    options = Options(rollouts=8, minibatch=8, epochs=1, longest=8, alpha=0.0, warm=1)
    job = Job(policy, tokenizer(), Task(prefixes(), by_length), Descent(policy.trained(), 1e-2), options)
    improve(job, tmp_path, Budget(steps=1, minutes=9), 0)
    assert {name for name, p in policy.trained() if not torch.equal(p, before[name])} <= {
        name for name in before if name.startswith(VALUE_HEAD)
    }
    assert any(not torch.equal(p, before[name]) for name, p in policy.trained())
    improve(job, tmp_path, Budget(steps=2, minutes=9), 0)
    assert all(not torch.equal(p, before[name]) for name, p in policy.trained() if "mlp" in name)


def test_a_word_that_is_rewarded_is_written(tmp_path: Path) -> None:
    reached = toy(tmp_path, 14)
    assert reached["reward_last"] > reached["reward_first"] + 0.3
