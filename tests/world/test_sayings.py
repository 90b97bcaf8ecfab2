"""Phrasings: noise around a saying leaves its words."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from limner.world.sayings import CLEAR, PLACES, UNDO, WITHOUT_VALUE, as_people_write
from limner.world.scene import RELATIONS


@given(st.integers(0, 2**32))
def test_the_words_stay(seed: int) -> None:
    words = as_people_write(Random(seed), "paint the car blue").lower()
    assert words.replace("the ", "").find("paint car blue") >= 0


def test_people_write_in_many_ways() -> None:
    ways = {as_people_write(Random(seed), "paint the car blue") for seed in range(300)}
    assert len(ways) > 60
    assert any("the" not in way.split() for way in ways)
    assert any(way[0].isupper() for way in ways)


def test_sayings_have_the_places_that_they_need() -> None:
    assert tuple(PLACES) == RELATIONS
    assert all("{v}" in saying for kind, told in CLEAR.items() if kind != "remove" for saying in told)
    assert all("{v}" not in saying for told in WITHOUT_VALUE.values() for saying in told)
    assert len(set(UNDO)) == len(UNDO)
