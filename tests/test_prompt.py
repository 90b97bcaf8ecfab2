"""The weighted syntax against A1111's documented examples, and its laws by property."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.prompt import (
    MAX_PROMPT_CHARS,
    MAX_WEIGHT,
    MIN_WEIGHT,
    Segment,
    check_prompt,
    join_keywords,
    parse,
    plain,
    render,
    unwanted,
    with_weight,
)
from limner.types import BadInput, Keyword

WEIGHTS = st.floats(MIN_WEIGHT, MAX_WEIGHT).map(lambda w: round(w, 4))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.text("ab ():[]\\1.", max_size=12)
SEGMENTS = st.lists(st.builds(Segment, TEXTS, WEIGHTS | st.just(1.0)), max_size=6)


@pytest.mark.parametrize(
    ("prompt", "segments"),
    [
        ("", []),
        ("a fox", [("a fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("[red]", [("red", 0.9091)]),
        ("(red [fox]:1.5)", [("red ", 1.5), ("fox", 1.3636)]),
        ("(a (b:1.5):1.2)", [("a ", 1.2), ("b", 1.8)]),
        ("(cars: 1.1 )", [("cars", 1.1)]),
        ("(cars:.5)", [("cars", 0.5)]),
        (r"a \(red\) fox \\", [("a (red) fox \\", 1.0)]),
        ("a cat :)", [("a cat :)", 1.0)]),
        ("a (cat", [("a (cat", 1.0)]),
        ("a cat] here", [("a cat] here", 1.0)]),
        ("at 10:30 (a:b)", [("at 10:30 ", 1.0), ("a:b", 1.1)]),
        ("[red:0.5]", [("red:0.5", 0.9091)]),
        ("()", []),
    ],
)
def test_parse_reads_what_people_write(prompt: str, segments: list[tuple[str, float]]) -> None:
    assert parse(prompt) == tuple(Segment(*s) for s in segments)


@given(SEGMENTS)
def test_parse_gives_back_what_render_wrote(segments: list[Segment]) -> None:
    parsed = parse(render(segments))
    assert "".join(s.text for s in parsed) == "".join(s.text for s in segments)
    assert [w for s in parsed for w in [s.weight] * len(s.text)] == [
        w for s in segments for w in [s.weight] * len(s.text)
    ]


@given(st.text("ab()[]:\\1.2 ", max_size=40))
def test_any_text_either_parses_to_a_fixed_point_or_is_refused(prompt: str) -> None:
    try:
        segments = parse(prompt)
    except BadInput:
        return
    assert parse(render(segments)) == segments
    assert all(s.text for s in segments)
    assert all(a.weight != b.weight for a, b in pairwise(segments))


@pytest.mark.parametrize(
    "prompt", ["(a:0.05)", "(a:2.01)", "(16:9)", "(a:-1)", "(" * 8 + "a" + ")" * 8, "[" * 30 + "a" + "]" * 30]
)
def test_weights_out_of_range_are_refused(prompt: str) -> None:
    with pytest.raises(BadInput, match="out of range"):
        parse(prompt)


@pytest.mark.parametrize(
    ("prompt", "keyword", "result"),
    [
        ("a red fox", "red fox", "a (red fox:1.3)"),
        ("a Red Fox and a red fox", "red fox", "a (Red Fox:1.3) and a (red fox:1.3)"),
        ("a firefox", "fox", "a firefox, (fox:1.3)"),
        ("foxes", "fox", "foxes, (fox:1.3)"),
        ("a (red fox:1.1) here", "red fox", "a (red fox:1.3) here"),
        ("a (red fox:1.1) here", "fox", "a (red :1.1)(fox:1.3) here"),
        ("red (fox)", "red fox", "(red fox:1.3)"),
        ("", "fox", "(fox:1.3)"),
        ("a c++ (thing)", "c++", "a (c++:1.3) (thing:1.1)"),
        (r"fox \(animal\)", "fox (animal)", r"(fox \(animal\):1.3)"),
    ],
)
def test_with_weight(prompt: str, keyword: str, result: str) -> None:
    assert with_weight(prompt, keyword, 1.3) == result


def test_weight_one_takes_the_brackets_away() -> None:
    assert with_weight("a (red fox:1.4)", "red fox", 1.0) == "a red fox"


@given(SEGMENTS, st.sampled_from(["a", "ab", "a b"]), WEIGHTS, WEIGHTS)
def test_the_last_weight_wins_and_no_word_is_lost(segments: list[Segment], word: str, one: float, two: float) -> None:
    prompt = render(segments)
    once = with_weight(prompt, word, two)
    assert with_weight(with_weight(prompt, word, one), word, two) == once
    assert plain(once).startswith(plain(prompt))


def test_with_weight_refuses_nothing_and_nonsense() -> None:
    with pytest.raises(BadInput, match="empty keyword"):
        with_weight("a fox", "  ", 1.1)
    with pytest.raises(BadInput, match="out of range"):
        with_weight("a fox", "fox", float("nan"))


def test_join_keywords_is_the_papers_prompt() -> None:
    keywords = [Keyword("cityscape", "cityscape"), Keyword("cars", "cars", 1.1), Keyword("a (b)", "a (b)")]
    assert join_keywords(keywords) == r"cityscape, (cars:1.1), a \(b\)"
    assert plain(join_keywords(keywords)) == "cityscape, cars, a (b)"


def test_check_prompt_trims_and_joins_lines() -> None:
    assert check_prompt("  a red\tfox\r\n in  snow ") == "a red fox in snow"
    assert check_prompt("👩‍🚀 café") == "👩‍🚀 café"
    assert len(check_prompt("x" * MAX_PROMPT_CHARS)) == MAX_PROMPT_CHARS


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("( )", "empty"),
        ("a\0b", "control character"),
        ("a\x1b[31mb", "control character"),
        ("\ud800", "control character"),
        ("x" * 20_000, "20000 characters"),
        ("(fox:9)", "out of range"),
    ],
)
def test_check_prompt_refuses(prompt: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        check_prompt(prompt)
    assert caught.value.hint


RIVALS = (("flat style", "flat art"), ("3d style", "3d render"), ("c++ style",))


@pytest.mark.parametrize(
    ("prompt", "away"),
    [
        ("a fox, flat style", "3d style, c++ style"),
        ("a fox, Flat Art", "3d style, c++ style"),
        ("a (3d render:1.3) of a fox", "flat style, c++ style"),
        ("a fox, 3d style, 3d render", "flat style, c++ style"),
        ("a fox in c++ style", "flat style, 3d style"),
        ("a fox", ""),
        ("a fox in a flat", ""),
        ("a fox, unflat style", ""),
        ("a fox, 3d styles", ""),
        ("half flat style, half 3d style", ""),
    ],
)
def test_who_names_one_of_several_rivals_is_guided_away_from_the_others(prompt: str, away: str) -> None:
    assert unwanted(prompt, RIVALS) == away


def test_without_rivals_nothing_is_unwanted() -> None:
    assert unwanted("a fox, flat style", ()) == ""
