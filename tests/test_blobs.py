from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.blobs import Blobs
from limner.types import BadInput, LimnerError
from tests.disk import small_disk


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "deep" / "blobs") if request.param == "folder" else f"memory://{tmp_path}"


@pytest.fixture
def blobs(url: str) -> Blobs:
    return Blobs(url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


def test_what_was_put_is_got_by_its_hash(blobs: Blobs) -> None:
    name = blobs.put(b"a picture")
    assert name == hashlib.sha256(b"a picture").hexdigest()
    assert blobs.get(name) == b"a picture"
    assert blobs.has(name)
    assert list(blobs) == [name]


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_names_are_those_of_the_contents(contents: list[bytes]) -> None:
    blobs = Blobs("memory://names")
    for name in blobs:
        blobs.remove(name)
    names = [blobs.put(content) for content in contents]
    assert list(blobs) == sorted({hashlib.sha256(content).hexdigest() for content in contents})
    assert [blobs.get(name) for name in names] == contents


def test_nothing_is_there_at_first(blobs: Blobs) -> None:
    name = "0" * 64
    assert list(blobs) == []
    assert not blobs.has(name)
    assert blobs.age(name) == 0
    assert blobs.leftovers() == []
    with pytest.raises(LimnerError, match=f"picture {name} is missing"):
        blobs.get(name)


def test_removing_twice_is_no_error(blobs: Blobs) -> None:
    name = blobs.put(b"a")
    blobs.remove(name)
    blobs.remove(name)
    assert not blobs.has(name)


def test_what_another_opening_put_is_seen(url: str) -> None:
    first, second = Blobs(url), Blobs(url)
    assert list(second) == []
    name = first.put(b"later")
    assert list(second) == [name]
    assert second.has(name)


def test_age_is_that_of_the_file(folder: Path) -> None:
    blobs = Blobs(str(folder))
    name = blobs.put(b"a")
    assert blobs.age(name) < 60
    os.utime(folder / f"{name}.png", (0, 0))
    assert blobs.age(name) > 10**9


@pytest.mark.parametrize("name", ["", "a" * 63, "A" * 64, "g" * 64, "../" + "a" * 61, "a" * 64 + "\n", "/etc/passwd"])
def test_a_name_that_is_no_hash_is_refused(folder: Path, name: str) -> None:
    blobs = Blobs(str(folder))
    for use in (blobs.get, blobs.has, blobs.remove, blobs.age):
        with pytest.raises(BadInput, match="no name of a picture"):
            use(name)


def test_an_altered_picture_is_told_and_written_anew(folder: Path) -> None:
    blobs = Blobs(str(folder))
    name = blobs.put(b"whole")
    (folder / f"{name}.png").write_bytes(b"who")
    with pytest.raises(LimnerError, match=f"picture {name} was altered"):
        blobs.get(name)
    assert blobs.put(b"whole") == name
    assert blobs.get(name) == b"whole"


def test_equal_content_is_left_alone(folder: Path) -> None:
    blobs = Blobs(str(folder))
    file = folder / f"{blobs.put(b'a')}.png"
    before = file.stat()
    blobs.put(b"a")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_only_pictures_are_listed(folder: Path) -> None:
    blobs = Blobs(str(folder))
    name = blobs.put(b"a")
    for other in ("note.txt", "b.png", f".{name}.png.x.part"):
        (folder / other).touch()
    assert list(blobs) == [name]


def test_a_full_disk_leaves_nothing_half_written(folder: Path) -> None:
    blobs = Blobs(str(folder))
    name = blobs.put(b"small")
    with pytest.raises(LimnerError, match="free some space"), small_disk(1000):
        blobs.put(b"large" * 1000)
    assert list(blobs) == [name]
    assert blobs.leftovers() == []


def test_what_a_killed_process_left_is_removed_on_opening(folder: Path) -> None:
    name = Blobs(str(folder)).put(b"a")
    part = folder / f".{'b' * 64}.png.abc.part"
    part.touch()
    assert Blobs(str(folder)).leftovers() == []
    assert not part.exists()
    assert Blobs(str(folder)).get(name) == b"a"


def test_what_another_process_writes_is_left_alone(folder: Path) -> None:
    blobs = Blobs(str(folder))
    blobs.put(b"a")
    part = folder / f".{'b' * 64}.png.abc.part"
    part.touch()
    with (folder / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # As a process does that writes just now.
        assert Blobs(str(folder)).leftovers() == []
        assert part.exists()
        assert blobs.get(blobs.put(b"writers do not wait for each other"))
    assert blobs.leftovers() == [str(part)]


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blobs = Blobs(str(tmp_path / "file"))
    with pytest.raises(LimnerError, match="cannot be"):
        blobs.put(b"a")


def test_urls_that_cannot_be_used_are_told() -> None:
    with pytest.raises(BadInput, match="nowhere://"):
        Blobs("nowhere://user:secret@bucket")
    with pytest.raises(LimnerError, match="install"):
        Blobs("oci://bucket")
