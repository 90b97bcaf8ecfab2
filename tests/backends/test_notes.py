"""What is remembered of a machine: written whole, and never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.backends.notes import Notes


def test_what_was_written_is_read(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "deep" / "notes.json")
    assert notes.read() == {}
    notes.write("one", [["unet.mid", 2]])
    Notes(notes.file).write("two", 0.5)
    assert notes.read() == {"one": [["unet.mid", 2]], "two": 0.5}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["notes.json"]


@pytest.mark.parametrize("content", ["[not json", "[]", "3", ""])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "notes.json").write_text(content)
    notes = Notes(tmp_path / "notes.json")
    assert notes.read() == {}
    notes.write("one", 1)
    assert notes.read() == {"one": 1}


def test_where_nothing_can_be_kept_nothing_is_lost() -> None:
    for notes in (Notes(), Notes(Path("/dev/null/nowhere"))):
        notes.write("one", 1)
        assert notes.read() == {}
