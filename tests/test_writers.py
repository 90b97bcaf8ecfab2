"""Who rewrites prompts, by what was asked for and what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limner import writers
from limner.backends.hardware import plan
from limner.backends.language import RulesModel
from limner.exchange import Recorder
from limner.instruction import parse_instruction
from limner.rewrite import rewrite
from limner.types import BadInput, UnknownTask
from limner.writers import WithWriter, chosen, with_writer
from tests.scripted import Scripted

REWRITE = json.dumps({"task": "rewrite", "prompt": "a fox", "instruction": "add a dog"})
KEYWORDS = json.dumps({"task": "keywords", "prompt": "a fox"})


@pytest.mark.parametrize(
    ("named", "language", "there", "source"),
    [
        (None, "rules", True, "embedded"),
        (None, "embedded", True, "embedded"),
        (None, "openai:gpt", True, "none"),
        (None, "rules", False, "none"),
        ("none", "rules", True, "none"),
        ("embedded", "openai:gpt", False, "embedded"),
        ("runs/mine", "openai:gpt", False, "runs/mine"),
    ],
)
def test_the_writer_that_is_used(
    named: str | None, language: str, there: bool, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_WEIGHTS", tmp_path if there else tmp_path / "none")
    assert chosen(named, language) == source


def test_without_a_writer_the_language_model_is_the_very_same() -> None:
    rules = RulesModel()
    assert with_writer(rules, "none", plan) is rules


def test_what_can_be_no_writer_is_told_before_anything_is_drawn() -> None:
    with pytest.raises(BadInput, match="no writer at"):
        with_writer(RulesModel(), "nothing-here", plan)
    assert with_writer(RulesModel(), "owner/name", plan).name == "rules"  # fetched when it is needed


def test_only_rewriting_goes_to_the_writer_and_nothing_is_loaded_before() -> None:
    loaded: list[Scripted] = []

    def load() -> Scripted:
        loaded.append(Scripted('{"prompt": "a fox and a dog", "by": "writer"}'))
        return loaded[0]

    model = WithWriter(RulesModel(), load, always=True)
    assert json.loads(model.reply("", KEYWORDS, schema={})) == {"keywords": ["fox"]}
    assert loaded == []
    assert "dog" in model.reply("", REWRITE, schema={})
    assert "dog" in model.reply("", REWRITE, schema={})
    assert len(loaded) == 1
    assert model.name == "rules"


def test_unless_it_was_named_the_writer_is_asked_only_where_the_grammar_is_at_a_loss() -> None:
    model = WithWriter(RulesModel(), lambda: Scripted('{"prompt": "theirs"}'))
    with pytest.raises(UnknownTask):
        model.reply("", REWRITE, schema={})
    strange = json.dumps({"task": "rewrite", "prompt": "a fox", "instruction": "it ought to feel lonelier"})
    assert "theirs" in model.reply("", strange, schema={})


def test_what_the_writer_does_not_know_the_language_model_is_asked() -> None:
    class Unknowing(Scripted):
        def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
            raise UnknownTask("not in this syntax")

    assert WithWriter(Scripted("mine"), Unknowing, always=True).reply("", REWRITE, schema={}) == "mine"
    with pytest.raises(UnknownTask):
        WithWriter(RulesModel(), Unknowing, always=True).reply("", REWRITE, schema={})


def test_a_replay_says_the_same_without_the_writer() -> None:
    model = WithWriter(RulesModel(), lambda: Scripted('{"prompt": "a fox and a dog", "by": "writer"}'), always=True)
    first = Recorder(model)
    said = rewrite(first, "a fox", "add a dog", parse_instruction("add a dog"))
    assert (said.prompt, said.source) == ("a fox and a dog", "writer")
    assert rewrite(Recorder(RulesModel(), first.exchanges), "a fox", "add a dog", None) == said
