"""The user's concepts on their shelf."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from limner.concept import About
from limner.shelf import Shelf
from limner.types import BadInput
from tests import concepts
from tests.concepts import gizmo, plain_lora


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data" / "concepts")


def test_an_empty_shelf_makes_no_folder(shelf: Shelf) -> None:
    assert shelf.names() == ()
    assert shelf.rows() == []
    with pytest.raises(BadInput, match="there is no concept 'gizmo'") as caught:
        shelf.get("gizmo")
    assert "there are no concepts" in caught.value.hint
    assert not shelf.folder.exists()


def test_put_and_get(shelf: Shelf) -> None:
    file = shelf.put(gizmo())
    assert file == shelf.path("gizmo") == shelf.path("<gizmo>") == shelf.folder / "gizmo.safetensors"
    shelf.put(plain_lora("ink"))
    assert shelf.names() == ("gizmo", "ink")
    assert concepts.same_words(shelf.get("<gizmo>"), gizmo())
    assert Shelf(shelf.folder).get("gizmo").about == gizmo().about


def test_a_taken_name(shelf: Shelf) -> None:
    shelf.put(gizmo())
    before = shelf.path("gizmo").read_bytes()
    other = replace(gizmo(), about=About(like="cat"))
    with pytest.raises(BadInput, match="there is a concept 'gizmo' already"):
        shelf.put(other)
    assert shelf.path("gizmo").read_bytes() == before
    shelf.put(other, replace=True)
    assert shelf.get("gizmo").about.like == "cat"


@pytest.mark.parametrize("name", ["../x", "gizmo-neg", "", "a/b", "nul"])
def test_what_cannot_be_a_name(name: str, shelf: Shelf) -> None:
    for use in (shelf.path, shelf.get, shelf.remove):
        with pytest.raises(BadInput, match="cannot be a concept's name"):
            use(name)
    with pytest.raises(BadInput, match="cannot be a concept's name"):
        shelf.put(gizmo(name=name))
    assert not shelf.folder.exists()


def test_unknown_names_come_with_close_ones(shelf: Shelf) -> None:
    shelf.put(gizmo())
    shelf.put(plain_lora("ink"))
    with pytest.raises(BadInput, match="no concept 'gismo'") as caught:
        shelf.get("gismo")
    assert caught.value.hint == "there is gizmo"
    with pytest.raises(BadInput) as caught:
        shelf.remove("zzz")
    assert caught.value.hint == "there is gizmo, ink"


def test_a_file_is_read_once_until_it_changes(shelf: Shelf) -> None:
    shelf.put(gizmo())
    first = shelf.get("gizmo")
    assert shelf.get("gizmo") is first
    shelf.put(replace(gizmo(), about=About(like="cat")), replace=True)
    os.utime(shelf.path("gizmo"), ns=(1, 1))
    assert shelf.get("gizmo").about.like == "cat"
    shelf.remove("gizmo")
    assert shelf.names() == ()
    with pytest.raises(BadInput):
        shelf.get("gizmo")


def test_a_file_that_was_renamed_has_its_new_name(shelf: Shelf) -> None:
    shelf.put(gizmo()).rename(shelf.folder / "robot.safetensors")
    assert shelf.names() == ("robot",)
    assert shelf.get("robot").word == "<robot>"


def test_rows(shelf: Shelf) -> None:
    shelf.put(gizmo())
    shelf.put(plain_lora("ink"))
    first, second = shelf.rows()
    assert first == {
        "name": "gizmo",
        "kind": "style",
        "like": "robot",
        "method": "lora",
        "base": "embedded:",
        "words": {"positive": 3, "negative": 2},
        "bytes": shelf.path("gizmo").stat().st_size,
        "problem": "",
    }
    assert (second["name"], second["words"], second["problem"]) == ("ink", {}, "")


def test_a_broken_file_breaks_no_other(shelf: Shelf) -> None:
    shelf.put(gizmo())
    (shelf.folder / "broken.safetensors").write_bytes(b"\xff" * 100)
    (shelf.folder / "a-neg.safetensors").write_bytes(shelf.path("gizmo").read_bytes())
    (shelf.folder / ".gizmo.safetensors.part").write_bytes(b"")
    (shelf.folder / "notes.txt").write_text("mine")
    (shelf.folder / "folder.safetensors").mkdir()
    assert shelf.names() == ("broken", "gizmo")
    rows = {row["name"]: row for row in shelf.rows()}
    assert rows.keys() == {"a-neg", "broken", "gizmo"}
    assert "is not a concept" in rows["broken"]["problem"]
    assert "cannot be a concept's name" in rows["a-neg"]["problem"]
    assert (rows["broken"]["bytes"], rows["broken"]["kind"], rows["gizmo"]["problem"]) == (100, "", "")
    assert all(row.keys() == rows["gizmo"].keys() for row in rows.values())
    with pytest.raises(BadInput, match="is not a concept"):
        shelf.get("broken")
    shelf.remove("broken")
    assert shelf.names() == ("gizmo",)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write to"):
        Shelf(tmp_path / "file" / "concepts").put(gizmo())
