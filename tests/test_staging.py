"""Results appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.staging import free_name, sole, staged_folder
from limner.types import BadInput, LimnerError
from tests.disk import small_disk


def test_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "new" / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "new" / "out").exists()
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["out", "a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_after_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged_folder(tmp_path / "new" / "out") as folder:
        (folder / "a.txt").write_text("a")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_for_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    with sole(folder), pytest.raises(BadInput, match="another process is at work"), sole(folder):
        pass
    with pytest.raises(RuntimeError), sole(folder):
        raise RuntimeError
    with sole(folder):
        (folder / "a.txt").write_text("a")


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot write"), sole(Path("/dev/null/nowhere")):
        pass


def test_full_disk(tmp_path: Path) -> None:
    full = pytest.raises(LimnerError, match="disk .* is full")
    with full as caught, small_disk(1000), staged_folder(tmp_path / "out") as folder:
        (folder / "a.bin").write_bytes(b"x" * 2000)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_folder_with_something_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="already exists"), staged_folder(tmp_path):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with staged_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
    assert (tmp_path / "out" / "a.txt").is_file()


@pytest.mark.parametrize("parent", ["/proc/limner", "/dev/null"])
def test_unwritable_folder(parent: str) -> None:
    with pytest.raises(BadInput, match=f"cannot write to {parent}"), staged_folder(Path(parent) / "out"):
        pass


def test_free_name(tmp_path: Path) -> None:
    for expected in ("fox", "fox-2", "fox-3"):
        path = free_name(tmp_path, "fox")
        assert path.name == expected
        path.mkdir()
