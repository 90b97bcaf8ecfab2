"""Replies of every kind, from good to hostile: typed values come out, or the rules answer and a warning says so."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from limner import rules
from limner.backends.language import RulesModel
from limner.types import LanguageModelFailed
from limner.writer import (
    ATTEMPTS,
    MAX_REPLY_CHARS,
    extract_keywords,
    generalise,
    generalise_all,
    parse_reply,
)
from tests.scripted import Scripted

PROMPT = "a red fox to the left of a castle in the snow"


class Phrases(BaseModel):
    keywords: list[str]


def answer(*keywords: str) -> str:
    return json.dumps({"keywords": keywords})


def test_the_rules_answer_through_the_same_door_as_a_model() -> None:
    found = extract_keywords(PROMPT, RulesModel())
    assert found.keywords == ("red fox", "castle", "snow", "red fox to the left of a castle")
    assert (found.source, found.warnings) == ("rules", ())


def test_a_good_reply_is_taken_tidied_and_without_doubles() -> None:
    model = Scripted("Sure!\n```json\n" + answer("a red fox", "Red  fox.", "the castle\n", "snow", "the") + "\n```")
    found = extract_keywords(PROMPT, model)
    assert found.keywords == ("red fox", "castle", "snow")
    assert (found.source, found.warnings) == ("scripted", ())
    assert model.asked == [{"task": "keywords", "prompt": PROMPT}]


def test_inventions_are_dropped_with_a_warning() -> None:
    found = extract_keywords(PROMPT, Scripted(answer("foxes", "green dragon", "snow")))
    assert found.keywords == ("foxes", "snow")
    assert found.warnings == ("«green dragon» is not in the prompt and is not looked for",)


def test_prompts_in_scripts_that_the_tagger_cannot_read_are_still_grounded() -> None:
    assert extract_keywords("雪の中の赤い狐", Scripted(answer("赤い狐", "城"))).keywords == ("赤い狐",)


def test_a_refused_reply_is_asked_for_again_with_the_reason() -> None:
    model = Scripted("no idea", answer("red fox"))
    assert extract_keywords(PROMPT, model).keywords == ("red fox",)
    assert model.asked[1]["your last reply was refused"] == "a reply without a JSON object"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "{" * 5000,
        '{"keywords": ' * 1000,
        answer(),
        answer("dragon"),
        answer("fox" * 40),
        answer(*["fox"] * 25),
        '{"keywords": "fox"}',
        '{"keywords": ["fox"], "path": "/etc/passwd"}',
        '{"keywords": [1]}',
        '{"keywords": ["\\ud800"]}',
        '{"keywords": [' + "9" * 5000 + "]}",
        answer("fox") + " " * MAX_REPLY_CHARS,
    ],
)
def test_after_bad_replies_the_rules_answer_and_say_so(reply: str) -> None:
    model = Scripted(reply)
    found = extract_keywords(PROMPT, model)
    assert found.keywords == rules.extract_keywords(PROMPT)
    assert found.source == "rules"
    assert found.warnings[0].startswith("scripted gave no usable answer (")
    assert 1 <= len(model.asked) <= ATTEMPTS


def test_a_model_that_fails_is_not_asked_twice() -> None:
    model = Scripted()
    assert "unplugged" in extract_keywords(PROMPT, model).warnings[0]
    assert len(model.asked) == 1


@given(st.text() | st.text('{}[]":,\\keywords fox1 \n', max_size=80))
@example('{"keywords":["fox"]}')
@settings(deadline=None)
def test_no_reply_makes_the_parser_raise_anything_else(reply: str) -> None:
    with contextlib.suppress(LanguageModelFailed):
        assert isinstance(parse_reply(reply, Phrases), Phrases)


@given(st.recursive(st.none() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
@settings(deadline=None)
def test_no_json_makes_extraction_fail(value: object) -> None:
    found = extract_keywords(PROMPT, Scripted(json.dumps({"keywords": value}), json.dumps(value)))
    assert found.keywords
    assert all(0 < len(k) <= rules.MAX_KEYWORD_CHARS for k in found.keywords)


@given(st.text(max_size=20), st.lists(st.text(max_size=10)), st.text(max_size=20))
def test_json_is_found_between_any_words_without_braces(before: str, keywords: list[str], after: str) -> None:
    wrapped = before.replace("{", "") + answer(*keywords) + after
    assert parse_reply(wrapped, Phrases).keywords == keywords


def test_an_object_of_another_shape_is_passed_over() -> None:
    assert parse_reply('{"thought": {"a": 1}} {"keywords": ["fox"]}', Phrases).keywords == ["fox"]


def test_generalise_asks_once_for_all_and_keeps_the_order() -> None:
    model = Scripted(answer("a dragon", " "))
    first, second = generalise_all(["crimson dragon", "two yellow cars"], "crimson dragon above two yellow cars", model)
    assert (first.text, first.source) == ("dragon", "scripted")
    assert (second.text, second.source) == ("two cars", "rules")
    assert len(model.asked) == 1


def test_generalise_falls_back_to_the_rules_with_the_vocabulary_given() -> None:
    general = generalise("fox", PROMPT, Scripted(answer("a", "b")), {"fox": "animal"})
    assert (general.text, general.source) == ("animal", "rules")
    assert "2 keywords where 1 were asked for" in general.warnings[0]


def test_rules_generalise_without_a_warning() -> None:
    general = generalise("crimson fox", PROMPT, RulesModel({"fox": "animal"}))
    assert (general.text, general.source, general.warnings) == ("red fox", "rules", ())


def test_importing_the_writer_loads_no_linguistic_library() -> None:
    code = "import sys, limner.writer; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"textblob", "nltk", "inflect", "torch", "transformers", "httpx"} & set(loaded)
