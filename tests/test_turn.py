"""Turns: an id says all that made a turn, and nothing of when."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.turn import Turn, by_id, canonical, path_to

FIRST = Turn(None, "draw", {"said": "a fox", "picture": "ab12"}, 1.5, 1e9)
SECOND = Turn(FIRST.id, "edit", {"said": "make it blue"})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.characters(exclude_categories=["Cs"]), st.integers()))
def test_the_order_of_keys_does_not_count(value: dict[str, int]) -> None:
    assert canonical(value) == canonical(dict(reversed(value.items())))


@settings(deadline=None)
@given(JSON)
def test_the_canonical_form_is_read_back_and_written_the_same(value: object) -> None:
    again = json.loads(canonical(value))
    assert again == value
    assert canonical(again) == canonical(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"score": number})


def test_the_canonical_form_has_no_blanks_and_keeps_letters() -> None:
    assert canonical({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'.encode()


def test_when_and_how_long_are_no_part_of_the_id() -> None:
    assert replace(FIRST, seconds=9.0, created=2e9).id == FIRST.id


@pytest.mark.parametrize(
    "other",
    [
        replace(SECOND, parent=None),
        replace(SECOND, kind="rewrite"),
        replace(SECOND, content={"said": "make it green"}),
        replace(SECOND, content={"said": "make it blue", "warnings": []}),
    ],
)
def test_all_else_is(other: Turn) -> None:
    assert other.id != SECOND.id


def test_an_id_is_the_same_for_ever() -> None:
    assert FIRST.id == "fc3501163804b767a90e5ff513958ff7c3eb30b495d099206dfae4b54ed2d196"


def test_a_turn_knows_its_picture() -> None:
    assert FIRST.picture == "ab12"
    assert SECOND.picture is None


def test_a_path_leads_from_the_first_turn_to_the_tip() -> None:
    aside = Turn(FIRST.id, "edit", {"said": "make it green"})
    turns = by_id([FIRST, aside, SECOND])
    assert path_to(SECOND.id, turns) == [FIRST, SECOND]
    assert path_to(FIRST.id, turns) == [FIRST]
    assert path_to(None, turns) == []
    with pytest.raises(KeyError):
        path_to("unknown", turns)
    with pytest.raises(KeyError):
        path_to(SECOND.id, by_id([SECOND]))


def test_a_long_talk_has_a_path_too() -> None:
    turns = [FIRST]
    for number in range(2000):
        turns.append(Turn(turns[-1].id, "note", {"said": str(number)}))
    assert path_to(turns[-1].id, by_id(turns)) == turns
