"""Folders of results that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from limner.types import BadInput, Event, LimnerError

Result = TypeVar("Result")

LOCK = ".lock"
"""A file that is locked by whoever is at work in a folder."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def staged_folder(target: Path) -> Generator[Path]:
    """A temporary sibling of `target` to write into; renamed to `target` when the block ends well.

    On any failure, Ctrl-C and a full disk included, the sibling and the parents made for it are removed.
    Raises BadInput when `target` is taken or its parent cannot be written, LimnerError when the disk fills.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise BadInput(f"{target} already exists", "name a new or empty folder with --out")
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise BadInput(f"cannot write to {target.parent}: {error.strerror}", "name another folder with --out") from None
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(target)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise LimnerError(f"the disk of {target.parent} is full: {error.strerror}", "nothing was kept") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(missing)


@contextmanager
def sole(folder: Path) -> Generator[None]:
    """The folder, made where it is missing, for this process alone within the block.

    Raises BadInput where it cannot be written, or another process is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror}", "name another folder with --out") from error
    try:
        _take(number, folder)
        yield
    finally:
        os.close(number)


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInput(f"another process is at work in {folder}", "wait for its end, or name another folder") from None


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, up to the first that holds something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def free_name(folder: Path, name: str) -> Path:
    """`folder/name`, or the first of `name-2`, `name-3`, ... (before a suffix like .png) that is not taken."""
    plain = Path(name)
    names = itertools.chain([name], (f"{plain.stem}-{number}{plain.suffix}" for number in itertools.count(2)))
    return next(folder / name for name in names if not (folder / name).exists())


def check_target(path: Path) -> None:
    """Raise BadInput when no file can be written at `path`, before work is done for it."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"cannot write {path}", "name a file in a folder that exists and is yours")


def whole_lines(path: Path) -> int:
    """How many lines a file has, 0 where there is none; what stands behind the last line end is cut off."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        return content.count(b"\n")
    return 0


def add_lines(
    target: Path,
    work: Generator[Event, None, Result],
    line: Callable[[Event], str],
    *,
    name: str,
    done: int,
    total: int,
) -> Generator[Event, None, Result]:
    """Add what `line` says of each event of `work` to a file as it comes; returns what `work` does.

    Yields an Event `name` for each, counted on from the `done` lines that were there, of `total`.
    """
    with target.open("a", encoding="utf-8") as file:
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                return end.value
            file.write(f"{line(event)}\n")
            file.flush()
            yield Event(name, event.message, done + event.done, total)
