"""What is said for a concept, and what each reader of a prompt makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.concept import MAX_STRENGTH, Use, bare, check_name, in_words, uses
from limner.types import BadInput


@pytest.mark.parametrize("name", ["gizmo", "G1", "a", "my-robot_2", "7up", "x" * 48, "negative", "con2"])
def test_names(name: str) -> None:
    assert check_name(name) == name
    assert check_name(f"<{name}>") == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "<>", "-a", "_a", "x" * 49, "a b", "a.b", "../a", "a/b", "a\\b", "a\n", "é", "<a", "a>", "<<a>>"),
        *("gizmo-neg", "gizmo-NEG", "CON", "nul", "Com1", "lpt9", "a\x00", "٣"),
    ],
)
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be a concept's name") as caught:
        check_name(name)
    assert "gizmo" in caught.value.hint


@given(st.text(max_size=60))
def test_a_name_is_a_plain_file_name(text: str) -> None:
    try:
        name = check_name(text)
    except BadInput:
        return
    assert name.isascii()
    assert name.replace("-", "").replace("_", "").isalnum()
    assert len(name) <= 48
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a <gizmo> in the snow", (Use("gizmo"),)),
        ("a <gizmo:0.8>", (Use("gizmo", 0.8, 0.8),)),
        ("a <gizmo:0.8:.5>", (Use("gizmo", 0.8, 0.5),)),
        ("<gizmo:0> and <b:2:0>", (Use("gizmo", 0.0, 0.0), Use("b", 2.0, 0.0))),
        ("<gizmo:0.5> beside <gizmo>", (Use("gizmo", 0.5, 0.5),)),
        ("<b> before <a>", (Use("b"), Use("a"))),
        ("a < b > c, <gizmo:x>, <gizmo:-1>, <gizmo:1:1:1>, <>", ()),
        ("(<gizmo:1.>:1.3)", (Use("gizmo"),)),
        ("", ()),
    ],
)
def test_uses(prompt: str, expected: tuple[Use, ...]) -> None:
    assert uses(prompt) == expected


@pytest.mark.parametrize("prompt", ["<gizmo:2.1>", "<gizmo:1:3>", "<a> <gizmo:99999999>"])
def test_too_strong(prompt: str) -> None:
    with pytest.raises(BadInput, match=f"<gizmo> has a strength over {MAX_STRENGTH:g}"):
        uses(prompt)


def test_bare() -> None:
    assert bare("(<gizmo:0.8:0.5>:1.2) and <b>, x < y") == "(<gizmo>:1.2) and <b>, x < y"


@given(st.text(alphabet="<>:.019ab- ", max_size=40))
def test_bare_keeps_the_names_and_only_drops_strengths(prompt: str) -> None:
    try:
        before = uses(prompt)
    except BadInput:
        return
    after = uses(bare(prompt))
    assert [use.name for use in after] == [use.name for use in before]
    assert bare(bare(prompt)) == bare(prompt)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a <gizmo:0.8> in the snow", "a toy robot in the snow"),
        ("a cat in <ink>, at night", "a cat in, at night"),
        ("<gizmo>", "toy robot"),
        ("<unknown>", ""),
        ("no concept  here .", "no concept here."),
    ],
)
def test_in_words(prompt: str, expected: str) -> None:
    assert in_words(prompt, {"gizmo": "toy robot", "ink": ""}) == expected
