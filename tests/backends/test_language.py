"""Language models by name; what each does is tested beside it."""

from __future__ import annotations

import json

import pytest

from limner.backends.language import RulesModel, load_language_model
from limner.types import BadInput, LanguageModelFailed, ModelUnavailable


def test_names() -> None:
    assert load_language_model("rules").name == "rules"
    assert load_language_model("openai:some/model:8b").name == "openai:some/model:8b"


@pytest.mark.parametrize("name", ["", "gpt", "openai:", "local:", "rules:x"])
def test_unknown_names_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(BadInput, match="openai:MODEL"):
        load_language_model(name)


@pytest.mark.parametrize(
    "url", ["", "localhost:80", "file:///etc", "http://", "http://user:secret@host/v1", "http://..", "http://é..è"]
)
def test_addresses_that_are_none_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(BadInput, match="no http") as caught:
        load_language_model("openai:m", base_url=url or "nowhere")
    assert "secret" not in str(caught.value)


def test_a_key_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadInput, match="OPENAI_API_KEY") as caught:
        load_language_model("openai:m", api_key="sk-secret\n")
    assert "secret" not in str(caught.value)


def test_a_local_model_that_is_not_there() -> None:
    with pytest.raises(ModelUnavailable, match="no model at"):
        load_language_model("local:/nowhere/at/all")


def test_the_rules_know_their_tasks_only() -> None:
    model = RulesModel({"fox": "animal"})
    reply = model.reply("", json.dumps({"task": "generalise", "keywords": ["fox", "red fox"]}), schema={})
    assert json.loads(reply) == {"keywords": ["animal", "fox"]}
    with pytest.raises(LanguageModelFailed, match="no answer"):
        model.reply("", "{}", schema={})
