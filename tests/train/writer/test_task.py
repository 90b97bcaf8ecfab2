"""Rewards: what is gained over the row's own prompt, and nothing for length."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from limner.instructpe import Row
from limner.integrity import integrity, reference
from limner.train.writer.reward import Kind
from limner.train.writer.task import Judge, Weights, writing_task
from limner.types import BadInput
from tests.train.writer.tiny import listed, rows, tokenizer

ROW = Row(
    "a horse in a field", "turn the horse into a zebra", "x", "a zebra in a field, soft light", "a zebra in a field"
)


class Words:
    """Scores a prompt by how many of its words are praised; counts the prompts it was asked about."""

    def __init__(self, kind: Kind, praised: str) -> None:
        self.kind: Kind = kind
        self.praised = praised
        self.asked = 0

    def score(self, prompts: Sequence[str], raws: Sequence[str]) -> Tensor:
        self.asked += len(prompts)
        return torch.tensor([float(prompt.count(self.praised)) for prompt in prompts])


def judge(*regressors: Any) -> Judge:
    return Judge([ROW], regressors, Weights())


def test_integrity_counts_from_its_threshold_on() -> None:
    texts = ["a zebra in a field", "a zebra", "a horse"]
    assert listed(judge().score([0, 0, 0], texts)) == [1.0, 1.0, 0.0]  # the asked-for zebra counts twice


def test_what_is_gained_over_the_rows_own_prompt() -> None:
    aesthetic, preference = Words("aesthetic", "light"), Words("preference", "zebra")
    found = judge(aesthetic, preference).score([0, 0], ["a zebra in a field, light, light", ROW.y])
    assert listed(found) == pytest.approx([1 + 0.3, 1.0])


def test_the_rows_own_prompts_are_scored_once() -> None:
    aesthetic = Words("aesthetic", "light")
    one = judge(aesthetic)
    for _ in range(3):
        one.score([0, 0], ["a", "b"])
    assert aesthetic.asked == 3 * 2 + 1


def test_the_world_sees_colours_that_integrity_does_not() -> None:
    row = next(row for row in rows() if integrity(reference(row.x_o, row.i, row.reference), row.y) == 1)
    told, untold = (Judge([row, ROW], [], Weights(truth=truth)) for truth in (2.0, 0.0))
    assert listed(untold.score([0], [row.y])) == [1.0]
    assert listed(told.score([0, 1], [row.y, ROW.y])) == [1.0 + 2.0, 1.0]  # of a row from elsewhere no truth is known
    assert told.truth(0, "") < 1


def test_length_is_not_rewarded() -> None:
    """Fault: BeautifulPrompt's length term."""
    short, long = "a zebra in a field", "a zebra in a field, " + ", ".join(["very soft"] * 60)
    scores = judge().score([0, 0], [short, long])
    assert float(scores[0]) == float(scores[1])


def test_integrity_is_followed_without_a_threshold() -> None:
    track = judge().track(0, [" a", " zebra", " in", " a", " field", "</s>"])
    assert track == pytest.approx([0, 0, 0, 1.0, 1.0, 1.0])
    lesser = judge().track(0, [" a", " field", ",", " then", "</s>"])
    assert lesser[3] == pytest.approx(0.5)


def test_the_task_reads_what_the_fine_tuning_read() -> None:
    known = tokenizer()
    task = writing_task(known, rows(), Judge(rows(), (), Weights()))
    assert known.decode(task.prefixes[0]) == rows()[0].prefix
    rng = Random(0)
    spoiled = [task.spoil(rows()[0].y, rng) for _ in range(400)]
    assert 2 < sum(text is not None for text in spoiled) < 40
    without = writing_task(known, rows(), Judge(rows(), (), Weights()), negatives=False)
    assert not any(without.spoil(rows()[0].y, rng) for _ in range(400))


def test_a_prefix_without_room_is_refused() -> None:
    with pytest.raises(BadInput, match="no room"):
        writing_task(tokenizer(), rows(), Judge(rows(), (), Weights()), room=380)
