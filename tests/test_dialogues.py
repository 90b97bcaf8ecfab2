"""The builder of dialogues: what a model is shown, what of its replies is kept, and which captions are read."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from limner.dialogues import (
    EXEMPLARS,
    POOL,
    Written,
    dialogue_pool,
    edit_pool,
    generate_dialogues,
    generate_edits,
    read_captions,
)
from limner.instruction import parse_instruction
from limner.types import BadInput, Event
from limner.writer import ATTEMPTS
from tests.scripted import Scripted


def finished(events: Generator[Event, None, Written]) -> tuple[list[Event], Written]:
    found = list[Event]()
    while True:
        try:
            found.append(next(events))
        except StopIteration as end:
            return found, end.value


def dialog(*texts: str) -> str:
    turns = [{"speaker": "system" if i % 2 else "user", "text": text} for i, text in enumerate(texts)]
    return json.dumps({"dialog": turns})


GOOD = dialog("paint it", "Which do you mean: the cat or the sofa?", "the cat, red", "[EDIT] paint the cat red")


def test_a_model_is_shown_exemplars_and_the_caption() -> None:
    model = Scripted(GOOD)
    events, written = finished(generate_dialogues(model, ["a cat on a sofa"], Random(0)))
    [asked] = model.asked
    shown = str(asked["examples"])
    assert shown.count("Caption: ") == shown.count("Dialog:\nUser: ") == EXEMPLARS
    assert (asked["task"], asked["caption"]) == ("dialogue", "a cat on a sofa")
    [event] = events
    assert (event.kind, event.done, event.total) == ("dialogue", 1, 1)
    dialogue = event.data["dialogue"]
    assert (dialogue.kind, dialogue.caption, len(dialogue.utterances)) == ("ambiguous", "a cat on a sofa", 4)
    assert (written.kept, dict(written.refused)) == (1, {})


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (dialog("remove it", "[EDIT] remove the cat"), "clear"),
        (dialog("remove it", "[EDIT] remove the cat", "no", "[UNDO]"), "forget"),
        (dialog("night", "[EDIT] make it night", "rain", "[EDIT] let it rain"), "several"),
    ],
)
def test_kinds_are_told_from_the_turns(reply: str, kind: str) -> None:
    [event], _ = finished(generate_dialogues(Scripted(reply), ["a cat"], Random(0)))
    assert event.data["dialogue"].kind == kind


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("no JSON", "a reply without a JSON object"),
        (dialog("hi"), "a reply of the wrong shape"),
        (dialog("hi", "Yes?"), "the last turn settles nothing"),
        (dialog("a", "[EDIT] make it night", "b"), "user and system do not speak in turn"),
        (dialog("hi", "[EDIT] qwertz uiop"), "the instruction was not understood"),
        (dialog("hi", "[EDIT] make it night" + "!" * 400), "a reply of the wrong shape"),
        (dialog(*["a", "[UNDO]"] * 11), "a reply of the wrong shape"),
    ],
)
def test_what_is_refused_is_asked_again_and_counted(reply: str, reason: str) -> None:
    model = Scripted(reply)
    events, written = finished(generate_dialogues(model, ["a cat", "a dog"], Random(0)))
    assert [event.kind for event in events] == ["refused", "refused"]
    assert (written.kept, dict(written.refused)) == (0, {reason: 2})
    assert events[1].data["refused"] == {reason: 2}
    assert len(model.asked) == 2 * ATTEMPTS
    assert str(model.asked[1]["your last reply was refused"]).startswith(reason)


def test_a_second_reply_may_do() -> None:
    events, written = finished(generate_dialogues(Scripted("?", GOOD), ["a cat"], Random(0)))
    assert ([event.kind for event in events], written.kept) == (["dialogue"], 1)


def test_a_model_that_fails_is_counted() -> None:
    events, written = finished(generate_dialogues(Scripted(), ["a cat"], Random(0)))
    assert (events[0].message, dict(written.refused)) == ("unplugged", {"unplugged": 1})


def edit(instruction: str, caption: str) -> str:
    return json.dumps({"modify_instruction": instruction, "edited_caption": caption})


def test_edits() -> None:
    model = Scripted(edit("turn the cat into a dog", "a dog on a sofa"))
    [event], written = finished(generate_edits(model, ["a cat on a sofa"], Random(0)))
    kept: Any = event.data["edit"]
    assert (kept.caption, kept.instruction, kept.edited_caption) == (
        "a cat on a sofa",
        "turn the cat into a dog",
        "a dog on a sofa",
    )
    shown = str(model.asked[0]["examples"])
    assert shown.count("Modify Instruction: ") == shown.count("Edited Caption: ") == EXEMPLARS
    assert written.kept == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (edit("remove the cat", "A cat "), "the edited caption is the caption"),
        (edit("qwertz uiop", "a dog"), "the instruction was not understood"),
    ],
)
def test_edits_that_are_none(reply: str, reason: str) -> None:
    _, written = finished(generate_edits(Scripted(reply), ["a cat"], Random(0)))
    assert dict(written.refused) == {reason: 1}


def test_every_exemplar_is_what_a_reply_must_be() -> None:
    assert len(dialogue_pool()) == len(edit_pool()) == POOL
    for each in dialogue_pool():
        turns = list(each.exchanges())
        assert not turns[-1].asks
        for turn in turns:
            if turn.instruction:
                parse_instruction(turn.instruction)
            assert not turn.asks or turn.reply.endswith("?")
    for written in edit_pool():
        parse_instruction(written.instruction)
        assert written.caption


def test_captions_of_three_kinds(tmp_path: Path) -> None:
    files = {
        "a.txt": "a cat\n\n  a   dog \n",
        "b.jsonl": '{"caption": "a cat"}\n{"caption": "a dog", "id": 3}\n',
        "c.json": json.dumps({"images": [], "annotations": [{"caption": "a cat", "id": 1}, {"caption": "a dog\n"}]}),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        assert read_captions(tmp_path / name) == ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "\n"), ("a.jsonl", "{}"), ("a.json", "[]"), ("b.json", "{"), ("b.txt", "a" * 501)],
)
def test_a_file_without_captions_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match="captions"):
        read_captions(tmp_path / name)
    with pytest.raises(BadInput, match="captions"):
        read_captions(tmp_path / "missing.txt")
