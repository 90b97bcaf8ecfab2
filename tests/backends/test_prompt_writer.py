"""The trained writer in use: what it writes, and that nothing it writes can wreck a prompt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from limner.backends.hardware import plan
from limner.backends.language import RulesModel
from limner.backends.prompt_writer import PromptWriter, invented, load_writer, lost
from limner.instruction import parse_instruction
from limner.rewrite import rewrite
from limner.types import LanguageModelFailed, ModelUnavailable, UnknownTask
from limner.writers import WithWriter
from tests import tiny_writer
from tests.tiny_writer import LEARNED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_writer.writer(tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="module")
def writer(folder: Path) -> PromptWriter:
    return load_writer(str(folder), plan=plan(precision="float32"))


def asked(prompt: str, instruction: str, task: str = "rewrite") -> str:
    return json.dumps({"task": task, "prompt": prompt, "instruction": instruction})


def test_what_was_learned_is_written_alone_and_in_company(writer: PromptWriter) -> None:
    pairs = list(LEARNED)
    assert writer.write(pairs) == list(LEARNED.values())
    assert [writer.write([pair])[0] for pair in pairs] == list(LEARNED.values())


def test_the_reply_says_who_wrote_it(writer: PromptWriter) -> None:
    reply = json.loads(writer.reply("", asked("a red fox in the snow", "make the fox blue"), schema={}))
    assert reply == {"prompt": "a blue fox in the snow", "by": "writer"}


@pytest.mark.parametrize(
    ("prompt", "instruction", "why"),
    [
        ("a lion in the city", "make it night", "invents piano"),
        ("a red car", "make the car green", "lose too much"),
    ],
)
def test_a_prompt_that_wrecks_is_refused(writer: PromptWriter, prompt: str, instruction: str, why: str) -> None:
    with pytest.raises(LanguageModelFailed, match=why):
        writer.reply("", asked(prompt, instruction), schema={})


def test_in_use_the_rules_answer_for_a_wreck(writer: PromptWriter) -> None:
    model = WithWriter(RulesModel(), lambda: writer, always=True)

    def rewritten(x: str, i: str) -> tuple[str, str]:
        found = rewrite(model, x, i, parse_instruction(i))
        return found.prompt, found.source

    assert rewritten("a red fox in the snow", "make the fox blue") == ("a blue fox in the snow", "writer")
    assert rewritten("a lion in the city", "make it night") == ("a lion in the city at night", "rules")
    told = rewrite(model, "a lion in the city", "make it night", parse_instruction("make it night")).warnings
    assert told == ("the writer invents piano; the rules wrote it",)
    assert rewritten("a red car and a dog", "make the car blue") == ("a blue car and a dog", "rules")
    assert rewritten("a (red:1.2) car", "make the car blue") == ("a blue car", "rules")


def test_weights_concepts_and_other_tasks_are_left_to_others(writer: PromptWriter) -> None:
    for request in (asked("a (red:1.2) car", "make the car blue"), asked("a <gizmo>", "make it night")):
        with pytest.raises(UnknownTask):
            writer.reply("", request, schema={})
    with pytest.raises(UnknownTask):
        writer.reply("", asked("a car", "", "keywords"), schema={})


@pytest.mark.parametrize("request_", ['{"task": "rewrite"}', '{"task": "rewrite", "prompt": "", "instruction": "x"}'])
def test_a_malformed_request_fails_as_a_language_model_does(writer: PromptWriter, request_: str) -> None:
    with pytest.raises(LanguageModelFailed):
        writer.reply("", request_, schema={})


def test_a_prompt_longer_than_the_writer_reads_fails_as_well(writer: PromptWriter) -> None:
    with pytest.raises(LanguageModelFailed, match="longer than the writer reads"):
        writer.write([("fox " * 2000, "make it night")])


def test_braces_and_line_ends_of_a_prompt_are_no_template(writer: PromptWriter) -> None:
    filled = writer._prefix("a {i} cat\nOutput: no", "add {x}")  # pyright: ignore[reportPrivateUsage]
    assert filled.endswith("Input: a {i} cat Output: no\nModification: add {x}\nOutput:")


def test_what_is_invented_repeated_and_lost() -> None:
    assert invented("a fox in the snow", "a fox in the snow, highly detailed, octane render") == []
    assert invented("a fox", "a fox and two pianos") == ["two", "piano"]
    assert invented("a red fox and a dog", "a red fox and a red dog") == ["red"]
    assert invented("two cars", "2 automobiles") == []
    assert lost("a red fox in the snow, bright daylight, 8k", "a fox in the snow") == ["red"]
    assert lost("two cars", "2 automobiles") == []


@pytest.mark.parametrize("note", [{"template": "no places"}, {"repetition_penalty": 9.0}, {"template": 3}])
def test_a_bad_note_is_told(folder: Path, tmp_path: Path, note: dict[str, object]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "writer.json").write_text(json.dumps(note))
    with pytest.raises(ModelUnavailable, match=r"writer\.json"):
        load_writer(str(copy), plan=plan(precision="float32"))


def test_a_causal_model_without_a_note_is_asked_as_it_is(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "writer.json").unlink()
    loaded = load_writer(str(copy), plan=plan(precision="float32"))
    assert loaded.write([next(iter(LEARNED))]) == [next(iter(LEARNED.values()))]
    assert not loaded.knows_the_world_only


def test_no_folder_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        load_writer(str(tmp_path / "none"), plan=plan(precision="float32"))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelUnavailable, match="pickled"):
        load_writer(str(tmp_path), plan=plan(precision="float32"))
