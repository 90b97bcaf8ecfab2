"""The policy, its reference and the trunk they share."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from limner.train.writer.base import Base, Lora, with_lora
from limner.train.writer.descent import Descent
from limner.train.writer.policy import Policy
from limner.train.writer.rollout import Layout, lay_out, typical
from limner.types import ModelUnavailable
from tests.train.writer.test_rollout import PAD, bloom, write
from tests.train.writer.tiny import model, prefixes, tokenizer

MODELS = pytest.mark.parametrize("made", [lambda: model(3.0), bloom])


def written(writer: Any) -> tuple[list[list[int]], list[list[int]], Layout]:
    given = prefixes()
    targets = [ids[:length] for ids, length in zip(write(writer, given, 0.97), (12, 3, 7, 1, 12, 5), strict=True)]
    return given, targets, lay_out(given, targets, PAD)


def slow_logs(writer: Any, prefix: list[int], target: list[int]) -> Tensor:
    """The whole softmax, one text alone, no padding."""
    with torch.no_grad():
        logits = writer(torch.tensor([[*prefix, *target]])).logits[0].float()
    return logits.log_softmax(-1)[len(prefix) - 1 : -1].gather(1, torch.tensor(target)[:, None])[:, 0]


def learn_something(policy: Policy, layout: Layout, rate: float = 0.05) -> None:
    trunk, _, _ = policy.look(layout)
    descent = Descent(policy.trained(), rate)
    for _ in range(3):
        judged = policy.judge(trunk)
        loss = (judged.logs * layout.written).sum() + judged.values.square().sum()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        descent.step(0.5)


@MODELS
def test_logs_are_those_of_the_whole_softmax(made: Any) -> None:
    """Fault: the warped log-probabilities of the sampler as the old ones, so that the ratio does not begin at 1."""
    writer = made()
    given, targets, layout = written(writer)
    _, judged, reference = Policy(writer, 2).look(layout)
    warped = 0.0
    for row, (prefix, target) in enumerate(zip(given, targets, strict=True)):
        wanted = slow_logs(writer, prefix, target)
        assert torch.allclose(judged.logs[row, : len(target)], wanted, atol=1e-4)
        assert torch.allclose(reference[row, : len(target)], wanted, atol=1e-4)
        with torch.no_grad():
            logits = writer(torch.tensor([[*prefix, *target]])).logits[0, len(prefix) - 1 : -1].float()
        kept = typical(logits, 0.9).log_softmax(-1).gather(1, torch.tensor(target)[:, None])[:, 0]
        warped = max(warped, float((kept - wanted).nan_to_num(posinf=9, neginf=-9).abs().max()))
    assert warped > 1e-2


@MODELS
def test_what_begins_at_the_trunk_is_the_same_for_any_rows(made: Any) -> None:
    policy = Policy(made(), 2)
    _, _, layout = written(policy.plain)
    trunk, judged, _ = policy.look(layout)
    some = torch.tensor([4, 1, 3])
    again = policy.judge(trunk.rows(some))
    assert torch.allclose(again.logs, judged.logs[some], atol=1e-5)
    assert torch.allclose(again.values, judged.values[some], atol=1e-5)


@MODELS
def test_the_reference_stays_where_it_was(made: Any) -> None:
    """Fault (c): with the table of words trained, trunk and output layer of the «reference» drift along."""
    writer = made()
    before = copy.deepcopy(writer)
    given, targets, layout = written(writer)
    policy = Policy(writer, 2)
    learn_something(policy, layout)
    _, judged, reference = policy.look(layout)
    for row, (prefix, target) in enumerate(zip(given, targets, strict=True)):
        assert torch.allclose(reference[row, : len(target)], slow_logs(before, prefix, target), atol=1e-4)
    assert float(((judged.logs - reference) * layout.written).abs().max()) > 0.1


def test_only_the_last_blocks_and_the_norm_are_trained() -> None:
    policy = Policy(model(), 1)
    names = {name for name, _ in policy.trained()}
    assert all(name.startswith(("model.layers.2.", "model.norm", "value_head.")) for name in names)
    assert any(name.startswith("model.layers.2.") for name in names)
    assert not policy.plain.get_input_embeddings().weight.requires_grad


def test_adapters_are_their_own_reference() -> None:
    writer = model(3.0)
    before = copy.deepcopy(writer)
    adapted = with_lora(Base("tiny", writer, tokenizer()), Lora(rank=2)).model
    policy = Policy(adapted, 0)
    given, targets, layout = written(policy.plain)
    assert all("lora" in name or "value_head" in name for name, _ in policy.trained())
    learn_something(policy, layout)
    _, judged, reference = policy.look(layout)
    assert torch.allclose(reference[0, : len(targets[0])], slow_logs(before, given[0], targets[0]), atol=1e-4)
    assert float(((judged.logs - reference) * layout.written).abs().max()) > 0.1


def test_an_adapter_below_the_trunk_is_refused() -> None:
    adapted = with_lora(Base("tiny", model(), tokenizer()), Lora(rank=2)).model
    with pytest.raises(ModelUnavailable, match="below the trained blocks"):
        Policy(adapted, 1)


def test_the_value_head_says_nothing_at_first_and_is_float32() -> None:
    policy = Policy(model(), 1)
    _, judged, _ = policy.look(written(policy.plain)[2])
    assert not judged.values.any()
    assert all(p.dtype == torch.float32 for p in policy.value_head.parameters())
    assert [tuple(p.shape) for p in policy.value_head.parameters()] == [(64, 32), (64,), (1, 64), (1,)]
