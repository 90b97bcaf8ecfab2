from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from limner.service.fair import pick
from limner.store.jobs import Record


def record(place: int, owner: str = "a", shape: str = "", key: str = "", attempts: int = 0) -> Record:
    return {"place": place, "owner": owner, "shape": shape, "key": key, "attempts": attempts}


def places(waiting: list[Record], running: list[Record], most: int, beside: str | None = None) -> list[int]:
    return [picked["place"] for picked in pick(waiting, running, most, beside)]


def test_the_oldest_comes_first_and_alone_without_a_shape() -> None:
    assert places([record(1), record(2)], [], 8) == [1]
    assert places([], [], 8) == []
    assert places([record(1)], [], 0) == []


def test_those_of_one_shape_come_together_and_over_others() -> None:
    waiting = [record(1, shape="x"), record(2, shape="y"), record(3, shape="x"), record(4, shape="x")]
    assert places(waiting, [], 8) == [1, 3, 4]
    assert places(waiting, [], 2) == [1, 3]


def test_who_has_none_running_goes_before_who_has() -> None:
    waiting = [record(1), record(2), record(3, "b")]
    assert places(waiting, [record(0)], 1) == [3]
    # Nor are two of one user begun together while another one waits.
    assert places([record(1, shape="x"), record(2, shape="x"), record(3, "b", "y")], [], 8) == [1]
    assert places([record(1, shape="x"), record(2, shape="x"), record(3, "b", "x")], [], 8) == [1, 3, 2]


def test_what_changes_the_same_thing_waits() -> None:
    waiting = [record(1, key="session:fox"), record(2, key="session:fox"), record(3)]
    assert places(waiting, [record(0, "b", key="session:fox")], 8) == [3]
    assert places(waiting[:2], [], 8) == [1]
    # A younger job of the key never overtakes the older one, whoever asked for it.
    assert places([record(1, key="k"), record(2, "b", key="k")], [record(0)], 8) == [1]


def test_beside_a_batch_nobody_is_overtaken() -> None:
    waiting = [record(1, shape="x"), record(2, shape="y"), record(3, shape="x")]
    assert places(waiting, [record(0, shape="x")], 8, "x") == [1]
    assert places(waiting[1:], [record(0, shape="x")], 8, "x") == []


def test_what_was_begun_before_runs_alone() -> None:
    again = record(1, shape="x", attempts=1)
    assert places([again, record(2, shape="x")], [], 8) == [1]
    assert places([record(2, shape="x"), {**again, "place": 3}], [], 8) == [2]
    assert places([again], [record(0, shape="x")], 8, "x") == []


RECORDS = st.builds(
    record,
    st.just(0),
    st.sampled_from("abc"),
    st.sampled_from(["", "x", "y"]),
    st.sampled_from(["", "", "k", "l"]),
    st.sampled_from([0, 0, 1]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(RECORDS, max_size=10), st.lists(RECORDS, max_size=4), st.integers(1, 5))
def test_all_that_is_promised_holds(waiting: list[Record], running: list[Record], most: int) -> None:
    waiting = [{**each, "place": place} for place, each in enumerate(waiting)]
    picked = pick(waiting, running, most)
    assert len(picked) <= most
    for each in picked:
        rivals = [other for other in waiting if each["key"] and other["key"] == each["key"]]
        assert rivals[:1] in ([], [each])
        assert not each["key"] or each["key"] not in [other["key"] for other in running]
    assert len(picked) < 2 or len({each["shape"] for each in picked}) == 1
    assert len(picked) < 2 or picked[0]["shape"]
    load = Counter(each["owner"] for each in [*running, *picked])
    left = [each for each in waiting if each not in picked and not each["key"]]
    if any(load[each["owner"]] == 0 for each in left):
        assert all(load[each["owner"]] == 1 for each in picked)
    free = [each for each in waiting if not each["key"]]
    assert picked or not free
