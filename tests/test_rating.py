"""Blind pairs and their counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.rating import Choice, Pair, Ratings, Tally, judged, pairs_of, tally

ROWS = [f"{n:04}.png" for n in range(200)]


def test_sides_and_order_follow_the_seed_and_are_balanced() -> None:
    first, again, other = pairs_of(ROWS, 0), pairs_of(ROWS, 0), pairs_of(ROWS, 1)
    assert first == again
    assert [pair.row for pair in first] != ROWS
    assert [pair.row for pair in first] != [pair.row for pair in other]
    assert sorted(pair.row for pair in first) == ROWS
    assert 70 <= sum(pair.swapped for pair in first) <= 130


def test_a_row_keeps_its_side_when_others_come() -> None:
    sides = {pair.row: pair.swapped for pair in pairs_of(ROWS, 3)}
    assert all(sides[pair.row] == pair.swapped for pair in pairs_of(ROWS[:50], 3))


@pytest.mark.parametrize(
    ("swapped", "choice", "verdict"),
    [(False, "left", "win"), (False, "right", "lose"), (True, "left", "lose"), (True, "right", "win")],
)
def test_what_a_choice_means_for_the_first(swapped: bool, choice: Choice, verdict: str) -> None:
    assert Pair("a", swapped).verdict(choice) == verdict
    assert Pair("a", swapped).verdict("tie") == "tie"


def test_a_rating_goes_from_pair_to_pair() -> None:
    pairs = pairs_of(["a", "b"], 0)
    ratings = Ratings("A", "B", 0, pairs, {})
    assert ratings.next == pairs[0]
    half = Ratings("A", "B", 0, pairs, {pairs[0].row: "left"})
    assert (half.next, half.done) == (pairs[1], 1)
    choices: dict[str, Choice] = {"a": "tie", "b": "tie", "gone.png": "left"}
    done = Ratings("A", "B", 0, pairs, choices)
    assert (done.next, done.done, done.result) == (None, 2, Tally(tie=2))


def test_the_sign_test() -> None:
    assert Tally(5, 9, 5).chance == 1.0
    assert Tally(10, 3, 0).chance == pytest.approx(2 / 2**10)
    assert Tally(8, 0, 2).chance == pytest.approx(2 * 56 / 2**10)
    assert Tally().chance == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30), st.integers(0, 5))
def test_a_judge_without_a_lean_gives_the_plain_counts_at_any_seed(rows: list[tuple[int, int]], seed: int) -> None:
    found = judged([float(a) for a, _ in rows], [float(b) for _, b in rows], seed)
    plain = tally("win" if a > b else "lose" if a < b else "tie" for a, b in rows)
    assert found == plain
    assert found.total == len(rows)
