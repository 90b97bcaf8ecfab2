"""What the writer is rewarded for: its prompts better than the row's own, and nothing of what was asked lost.

R = w_a (a - a_ref) + w_p (p - p_ref) + w_c CI. The paper gives no weights; these are BeautifulPrompt's with 1 for CI
(methods 2.3). Lengths are not rewarded. Listing 1 counts words wherever they stand: to it a cat that takes the dog's
colour has lost nothing. Of a row of the picture world every fact is known, and the share that is said may count, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from limner.evaluate.slots import slot_accuracy
from limner.instructpe import Row
from limner.integrity import THRESHOLD, PrefixIntegrity, Reference, integrity, reference
from limner.train.writer.adm import SHARE, spoil, wordstock
from limner.train.writer.data import LENGTH, ids_of
from limner.train.writer.ppo import Task
from limner.train.writer.reward import Regressor
from limner.types import BadInput


@dataclass(frozen=True, slots=True)
class Weights:
    """Of aesthetics, preference, content integrity, and of the truth, which only the world's rows have."""

    aesthetic: float = 0.3
    preference: float = 0.7
    integrity: float = 1.0
    truth: float = 0.0


class Judge:
    """Scores what was written for rows; the rows' own targets are scored once, and only when one is asked for.

    A row without a target is compared with its prompt before the change.
    """

    def __init__(self, rows: Sequence[Row], regressors: Sequence[Regressor], weights: Weights) -> None:
        self.rows, self.weights = rows, weights
        self.regressors = {each.kind: each for each in regressors}
        self._wanted: dict[int, Reference] = {}
        self._own: dict[tuple[str, int], float] = {}

    def wanted(self, row: int) -> Reference:
        """What the row's text must say."""
        if row not in self._wanted:
            one = self.rows[row]
            self._wanted[row] = reference(one.x_o, one.i, one.reference)
        return self._wanted[row]

    def integrity(self, row: int, text: str) -> float:
        """The row's content integrity, 0 below the threshold."""
        return integrity(self.wanted(row), text, threshold=THRESHOLD)

    def truth(self, row: int, text: str) -> float:
        """The share of the row's slots that the text gets right; 0 for a row that is none of the world's."""
        return slot_accuracy(text, self.rows[row])[0] if "present" in self.rows[row].more else 0.0

    def score(self, rows: Sequence[int], texts: Sequence[str]) -> Tensor:
        """R for the texts of rows: (n,). Preference is for y_o: by x_o, leaving all as it is would pay."""
        each = [self.integrity(row, text) for row, text in zip(rows, texts, strict=True)]
        total = self.weights.integrity * torch.tensor(each)
        if self.weights.truth:
            total += self.weights.truth * torch.tensor([self.truth(r, t) for r, t in zip(rows, texts, strict=True)])
        for kind, regressor in self.regressors.items():
            gained = regressor.score(texts, [self.rows[row].reference for row in rows]) - self._references(kind, rows)
            total += getattr(self.weights, kind) * gained
        return total

    def _references(self, kind: str, rows: Sequence[int]) -> Tensor:
        missing = [row for row in dict.fromkeys(rows) if (kind, row) not in self._own]
        if missing:
            own = [self.rows[row] for row in missing]
            scores = self.regressors[kind].score([row.y or row.x for row in own], [row.reference for row in own])
            self._own |= {(kind, row): float(score) for row, score in zip(missing, scores, strict=True)}
        return torch.tensor([self._own[kind, row] for row in rows])

    def track(self, row: int, pieces: Sequence[str]) -> list[float]:
        """CI of what stood before each of the pieces, never cut off at the threshold (methods 2.6)."""
        tracker = PrefixIntegrity(self.wanted(row))
        return [tracker.score, *(tracker.add(piece) for piece in pieces[:-1])]


def writing_task(tokenizer: Any, rows: Sequence[Row], judge: Judge, *, negatives: bool = True, room: int = 0) -> Task:
    """The writing of the rows' targets as PPO knows it. `room` tokens are left for a target. Raises BadInput when no
    row leaves so many."""
    prefixes = [ids_of(tokenizer, row.prefix) for row in rows]
    if any(len(prefix) > LENGTH - room for prefix in prefixes):
        raise BadInput("a prefix leaves no room for its target", "leave rows out that the fine-tuning left out")
    stock = wordstock(row.y for row in rows) if negatives else None

    def spoiled(text: str, rng: Random) -> str | None:
        return spoil(text, stock, rng, SHARE) if stock else None

    return Task(prefixes, judge.score, spoiled, judge.track)
