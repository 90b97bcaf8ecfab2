"""Dialogues in files: whole or gone on with, and every refusal told."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from limner.corpora import world_dialogues, written_dialogues
from limner.types import BadInput, Event
from limner.world.dialogue import from_json
from tests.scripted import Scripted

DIALOG = [
    {"speaker": "user", "text": "make it blue"},
    {"speaker": "system", "text": "[EDIT] paint the car blue"},
]
GOOD = json.dumps({"dialog": DIALOG})


def finish(work: Generator[Event, None, dict[str, Any]]) -> dict[str, Any]:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_the_worlds_dialogues_can_be_read_again(tmp_path: Path) -> None:
    told = finish(world_dialogues(tmp_path / "d.jsonl", count=30, seed=1))
    rows = [from_json(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert told["dialogues"] == len(rows) == 30
    assert len({row.caption for row in rows}) > 20


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        finish(world_dialogues(tmp_path / name, count=5, seed=4))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_is_stopped_is_not_there(tmp_path: Path) -> None:
    work = world_dialogues(tmp_path / "d.jsonl", count=30, seed=1)
    next(work)
    work.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, -3])
def test_none_cannot_be_made(count: int, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be made"):
        finish(world_dialogues(tmp_path / "d.jsonl", count=count, seed=1))


def test_what_a_language_model_writes_is_kept_and_what_is_refused_is_told(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a car\na bus\n")
    told = finish(written_dialogues(tmp_path / "d.jsonl", tmp_path / "captions.txt", Scripted(GOOD, "no"), seed=0))
    kept, refused = (json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines())
    assert told["kept"] == 1
    assert sum(told["refused"].values()) == 1
    assert kept["dialogue"] == DIALOG
    assert refused["caption"] == "a bus"
    assert refused["refused"]


def test_writing_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    captions, target = tmp_path / "captions.txt", tmp_path / "d.jsonl"
    captions.write_text("a car\na bus\na tree\n")
    work = written_dialogues(target, captions, Scripted(GOOD), seed=0)
    next(work)
    work.close()
    with target.open("a") as file:
        file.write('{"caption": "a b')  # killed in the middle of a line
    told = finish(written_dialogues(target, captions, Scripted(GOOD), seed=0))
    assert told["skipped"] == 1
    assert [json.loads(line)["caption"] for line in target.read_text().splitlines()] == ["a car", "a bus", "a tree"]
