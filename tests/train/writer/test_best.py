"""The best of several texts for each row: which one it is, what is kept of a stopped run, what counts as a target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limner.instructpe import Row
from limner.train.writer import best
from limner.train.writer.base import SMALL, Base
from limner.train.writer.best import as_good_as_targets, write_best
from limner.train.writer.ppo import Options
from limner.train.writer.task import Judge, Weights
from tests.train.writer.tiny import model, rows, tokenizer

OPTIONS = Options(longest=10)
BASE = Base(SMALL, model(), tokenizer())


class Vowels(Judge):
    """Likes vowels, and remembers what it was asked."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__(rows, [], Weights())
        self.asked: list[tuple[int, str]] = []

    def score(self, rows: Sequence[int], texts: Sequence[str]) -> Tensor:
        self.asked += zip(rows, texts, strict=True)
        return torch.tensor([float(sum(letter in "aeiou" for letter in text)) for text in texts])


def test_of_each_rows_texts_the_best_one_is_kept(tmp_path: Path) -> None:
    judge = Vowels(rows()[:20])
    wanted = list(range(1, 20))
    found = write_best(BASE, judge, wanted, 3, OPTIONS, 0, tmp_path)
    assert [each.row for each in found] == wanted
    for each in found:
        texts = [text for row, text in judge.asked if row == each.row]
        assert len(texts) == 3
        assert each.text in texts
        assert each.score == max(float(judge.score([each.row], [text])) for text in texts)
    assert len({each.text for each in found}) > 1


def test_a_stopped_run_writes_what_is_missing_and_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best, "AT_ONCE", 4)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = write_best(BASE, Vowels(rows()[:12]), range(12), 2, OPTIONS, 0, tmp_path / "a")
    [file] = (tmp_path / "a").iterdir()
    lines = file.read_text().splitlines(keepends=True)
    (tmp_path / "b" / file.name).write_text("".join(lines[:8]) + lines[8][:5] + "\n")
    judge = Vowels(rows()[:12])
    again = write_best(BASE, judge, range(12), 2, OPTIONS, 0, tmp_path / "b")
    assert [(each.row, each.text) for each in again] == [(each.row, each.text) for each in whole]
    assert sorted({row for row, _ in judge.asked}) == sorted(json.loads(line)[0] for line in lines[8:])
    other = write_best(BASE, Vowels(rows()[:12]), range(12), 2, OPTIONS, 1, tmp_path)
    assert [each.text for each in other] != [each.text for each in whole]


def test_nine_of_ten_targets_reach_what_a_target_must_score() -> None:
    judge = Vowels(rows())
    least = as_good_as_targets(judge, range(40))
    scores = judge.score(range(40), [row.y for row in rows()])
    assert float((scores >= least).float().mean()) == pytest.approx(0.9, abs=0.03)
