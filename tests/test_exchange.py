"""Replies of a language model are recorded, and given again word for word."""

from __future__ import annotations

import json

import pytest

from limner.exchange import Exchange, Recorder
from limner.types import LanguageModelFailed
from tests.scripted import Scripted


def ask(model: Recorder, said: str) -> str:
    return model.reply("Answer.", json.dumps({"said": said}), schema={})


def test_what_passes_through_is_kept() -> None:
    recorder = Recorder(Scripted("one", "two"))
    assert (ask(recorder, "a"), ask(recorder, "b")) == ("one", "two")
    assert recorder.name == "scripted"
    assert recorder.exchanges == [
        {"model": "scripted", "request": {"said": "a"}, "reply": "one"},
        {"model": "scripted", "request": {"said": "b"}, "reply": "two"},
    ]


def test_a_failure_is_kept_and_fails_again_from_the_record() -> None:
    recorder = Recorder(Scripted())
    with pytest.raises(LanguageModelFailed, match="unplugged"):
        ask(recorder, "a")
    assert recorder.exchanges == [{"model": "scripted", "request": {"said": "a"}, "failed": "unplugged"}]
    again = Recorder(Scripted("now it works"), recorder.exchanges)
    with pytest.raises(LanguageModelFailed, match="unplugged"):
        ask(again, "a")
    assert again.exchanges == recorder.exchanges


KNOWN: list[Exchange] = [
    {"model": "scripted", "request": {"said": "a"}, "reply": "one"},
    {"model": "scripted", "request": {"said": "a"}, "reply": "two"},
]


def test_what_was_asked_before_is_answered_without_the_model() -> None:
    model = Scripted("three")
    recorder = Recorder(model, KNOWN)
    assert [ask(recorder, "a") for _ in range(3)] == ["one", "two", "three"]
    assert model.asked == [{"said": "a"}]
    assert recorder.exchanges[:2] == KNOWN


def test_another_request_is_asked_anew_and_leaves_the_record_alone() -> None:
    model = Scripted("new")
    recorder = Recorder(model, KNOWN)
    assert [ask(recorder, said) for said in ("b", "a")] == ["new", "one"]
    assert model.asked == [{"said": "b"}]
    assert len(KNOWN) == 2
