"""Which of two pictures is better, asked blindly: pairs in a random order, answers, and who wins (DiffChat 4.2, A.6).

Everything follows from the seed and the names of the rows, so that a rating goes on tomorrow where it was left. Nothing
here reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from typing import Literal

Choice = Literal["left", "tie", "right"]
Verdict = Literal["win", "tie", "lose"]
CHOICES: tuple[Choice, ...] = ("left", "tie", "right")


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of both contestants. `swapped`: the first contestant's picture stands on the right."""

    row: str
    swapped: bool

    def verdict(self, choice: Choice) -> Verdict:
        """What a choice means for the first contestant."""
        if choice == "tie":
            return "tie"
        return "win" if (choice == "left") != self.swapped else "lose"


@dataclass(frozen=True, slots=True)
class Tally:
    """How often the first contestant won, tied and lost against the second."""

    win: int = 0
    tie: int = 0
    lose: int = 0

    @property
    def total(self) -> int:
        """Rows that were rated."""
        return self.win + self.tie + self.lose

    @property
    def chance(self) -> float:
        """How often equals would be told apart at least so clearly, ties left out: the two-sided sign test's p."""
        decided, fewer = self.win + self.lose, min(self.win, self.lose)
        tail = sum(comb(decided, k) for k in range(fewer + 1)) / 2**decided
        return min(1.0, 2 * tail)

    def to_json(self) -> dict[str, int | float]:
        """Counts, shares (0 without any rows) and the sign test's p."""
        counts = {"win": self.win, "tie": self.tie, "lose": self.lose}
        shares = {f"{name} share": round(count / max(1, self.total), 4) for name, count in counts.items()}
        return {**counts, **shares, "total": self.total, "p": round(self.chance, 4)}


def pairs_of(rows: Iterable[str], seed: int) -> tuple[Pair, ...]:
    """The rows in an order, and with sides, that only the seed decides; a row keeps its side when others come."""
    pairs = [Pair(row, Random(f"{seed}/side/{row}").random() < 0.5) for row in dict.fromkeys(rows)]
    return tuple(sorted(pairs, key=lambda pair: Random(f"{seed}/order/{pair.row}").random()))


def tally(verdicts: Iterable[Verdict]) -> Tally:
    """The counts of many verdicts."""
    counts = {"win": 0, "tie": 0, "lose": 0}
    for verdict in verdicts:
        counts[verdict] += 1
    return Tally(**counts)


@dataclass(frozen=True, slots=True)
class Ratings:
    """A rating as far as it has come: who is compared, the pairs in their order, and the choice for each rated row."""

    first: str
    second: str
    seed: int
    pairs: tuple[Pair, ...]
    choices: Mapping[str, Choice]

    @property
    def next(self) -> Pair | None:
        """The first pair that nobody rated; None at the end."""
        return next((pair for pair in self.pairs if pair.row not in self.choices), None)

    @property
    def done(self) -> int:
        """How many pairs are rated."""
        return sum(pair.row in self.choices for pair in self.pairs)

    @property
    def result(self) -> Tally:
        """The counts so far, from the first contestant's side."""
        rated = (pair for pair in self.pairs if pair.row in self.choices)
        return tally(pair.verdict(self.choices[pair.row]) for pair in rated)


def judged(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Tally:
    """The tally of a judge that chooses the greater of two numbers a row, shown blindly, as a person is shown pictures.

    A judge with no lean to a side gives the same counts whatever the seed.
    """
    verdicts: list[Verdict] = []
    for pair in pairs_of(map(str, range(len(first))), seed):
        here, there = first[int(pair.row)], second[int(pair.row)]
        left, right = (there, here) if pair.swapped else (here, there)
        verdicts.append(pair.verdict("tie" if left == right else "left" if left > right else "right"))
    return tally(verdicts)
