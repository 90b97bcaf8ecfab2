"""Rates: a burst at once, a steady stream afterwards, and each name for itself."""

from __future__ import annotations

from limner.web import buckets
from limner.web.buckets import Buckets, Rate


def test_a_burst_then_a_steady_rate() -> None:
    now = [0.0]
    some = Buckets(Rate(per_second=0.5, burst=2), clock=lambda: now[0])
    assert [some.wait("ann") for _ in range(3)] == [0, 0, 2]
    now[0] = 1.9
    assert some.wait("ann") == 1
    now[0] = 2.0
    assert [some.wait("ann"), some.wait("ann")] == [0, 2]


def test_each_name_has_its_own() -> None:
    some = Buckets(Rate(per_second=1, burst=1), clock=lambda: 0.0)
    assert [some.wait("ann"), some.wait("bob"), some.wait("ann")] == [0, 0, 1]


def test_it_fills_up_to_the_burst_and_no_further() -> None:
    now = [0.0]
    some = Buckets(Rate(per_second=10, burst=2), clock=lambda: now[0])
    some.wait("ann")
    now[0] = 1e6
    assert [some.wait("ann") for _ in range(3)] == [0, 0, 1]


def test_names_without_end_take_no_memory_without_end() -> None:
    some = Buckets(Rate(per_second=1, burst=1), clock=lambda: 0.0)
    for number in range(buckets._MOST + 50):  # pyright: ignore[reportPrivateUsage]
        some.wait(str(number))
    assert len(some._left) == buckets._MOST  # pyright: ignore[reportPrivateUsage]
