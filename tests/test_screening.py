"""What keeps a row out: each reason on its own, and nothing that is in order."""

from __future__ import annotations

import pytest

from limner.instructpe import Row
from limner.screening import Screen, is_english, refusal, unsafe_words
from limner.world.instructions import world_rows

ROW = Row("a horse in a field", "make it a zebra", "a horse in a field, 8k", "a zebra in a field, 8k", "a zebra")
LONG = "a zebra in a field, " + "highly detailed " * 20


@pytest.mark.parametrize(
    "text", ["a fox in the snow", "portrait, intricate, elegant, 8k", "Café by Étienne in the rain", "make it snow"]
)
def test_english_is_english(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "un renard dans la neige avec des arbres",
        "ein Fuchs und der Schnee",
        "una casa con los perros",
        "лиса",
        "狐",
        "",
    ],
)
def test_other_languages_are_told(text: str) -> None:
    assert not is_english(text)


def test_unsafe_words_are_whole_words() -> None:
    assert unsafe_words("A NUDE man, nsfw") == ["nude", "nsfw"]
    assert unsafe_words("a house in sussex, raped seed") == ["raped"]
    assert unsafe_words("a grape, the essex coast, a bear") == []


@pytest.mark.parametrize(
    ("row", "screen", "reason"),
    [
        (ROW, Screen({}), ""),
        (Row("a", "b c", "лиса", "d"), Screen({}), "not English"),
        (Row("a", "b c", "лиса", "d"), Screen({}, english=False), ""),
        (Row("a", "make her naked", "c", "d"), Screen({}), "not safe"),
        (Row("a", "make her naked", "c", "d"), Screen({}, safe=False), ""),
        (Row("a", "b", "A fox", "a fox"), Screen({}), "nothing is changed"),
        (ROW, Screen({}, lengths=True), "too short"),
        (Row("a", "b", "c", LONG), Screen({}, lengths=True), ""),
    ],
)
def test_reasons(row: Row, screen: Screen, reason: str) -> None:
    assert refusal(row, screen) == reason


def test_both_prompts_must_score_enough() -> None:
    def by_zebra(raw: str, prompt: str) -> float:
        return 20.0 if "zebra" in prompt else 18.0

    def by_raw(raw: str, prompt: str) -> float:
        return float(len(raw))

    assert refusal(ROW, Screen({"pick": (by_zebra, 18.5)})) == "low pick"
    assert refusal(ROW, Screen({"pick": (by_zebra, 18.0)})) == ""
    assert refusal(ROW, Screen({"raw": (by_raw, 7.0)})) == ""  # y is held against y_o, «a zebra»
    assert refusal(ROW, Screen({"raw": (by_raw, 7.5)})) == "low raw"


def test_of_the_middling_lengths_three_in_ten_go_and_always_the_same() -> None:
    rows = [Row("a", "b", "c", f"fox{n} " + "word " * 29) for n in range(1000)]
    first = [refusal(row, Screen({}, lengths=True)) for row in rows]
    assert first == [refusal(row, Screen({}, lengths=True)) for row in rows]
    assert 0.24 < first.count("too short") / len(rows) < 0.36


def test_nothing_of_the_picture_world_is_kept_out() -> None:
    assert [refusal(row, Screen({})) for row in world_rows(300, 1)] == [""] * 300
