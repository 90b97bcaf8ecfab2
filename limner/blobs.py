"""Pictures by the sha256 of their bytes: in a local folder, or through fsspec wherever a URL says.

A local picture is written to a temporary sibling, synced and renamed, so it is never half there. Elsewhere it goes out
in one call, which object stores carry out whole or not at all. Every reading is checked against the name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

from limner.image import write_whole
from limner.types import BadInput, LimnerError

_NAME = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".png"
"""So that any viewer opens the files of a local folder."""

_LOCK = ".lock"
_ALONE = fcntl.LOCK_EX | fcntl.LOCK_NB


class _Files(Protocol):
    """What is used of fsspec's AbstractFileSystem."""

    def exists(self, path: str) -> bool: ...
    def cat_file(self, path: str) -> bytes: ...
    def pipe_file(self, path: str, value: bytes) -> None: ...
    def rm_file(self, path: str) -> None: ...
    def ls(self, path: str, detail: bool) -> list[str]: ...
    def modified(self, path: str) -> datetime: ...


class Blobs:
    """A store of pictures. Iterating gives the names of all; a name is a sha256 as 64 lower-case hex digits.

    Every method raises BadInput for a name that is none, so that a path never comes from data, and LimnerError when
    the folder or the service behind the URL fails.
    """

    def __init__(self, url: str) -> None:
        """`url`: a local folder, made when first written to, or an fsspec URL such as s3://bucket/prefix.

        Temporary files of processes that were killed are removed. Raises BadInput for a URL that fsspec does not
        know, LimnerError where its driver is not installed.
        """
        self._files, self._root, local = _opened(url)
        self._folder = Path(self._root) if local else None
        with suppress(OSError):  # A folder that is read-only can still be read from.
            self._sweep()

    def __iter__(self) -> Iterator[str]:
        """The names of all pictures, sorted."""
        with self._told("the pictures cannot be listed"):
            try:
                paths = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return iter(())
        stems = (Path(path).stem for path in paths if path.endswith(_SUFFIX))
        return iter(sorted(stem for stem in stems if _NAME.fullmatch(stem)))

    def put(self, data: bytes) -> str:
        """Keep `data`; returns its sha256. It is safe on disk afterwards; equal content that is there is left alone.

        Raises LimnerError where the folder cannot be written to and when the disk is full.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        with self._told(f"picture {sha256} cannot be written"):
            if self._content(path) == data:
                return sha256
            if self._folder is None:
                self._files.pipe_file(path, data)
                return sha256
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._lock(fcntl.LOCK_SH):
                write_whole(Path(path), data)
        return sha256

    def get(self, sha256: str) -> bytes:
        """The picture of that name. Raises LimnerError when it is not there or its bytes were altered."""
        path = self._path(sha256)
        with self._told(f"picture {sha256} cannot be read"):
            data = self._content(path)
        if data is None:
            raise LimnerError(f"picture {sha256} is missing", "bring it back from a copy of the pictures")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LimnerError(f"picture {sha256} was altered", "bring it back from a copy of the pictures")
        return data

    def where(self, sha256: str) -> str:
        """Where the picture of that name lies or would lie: a file of this machine, or a path in the service."""
        return self._path(sha256)

    def has(self, sha256: str) -> bool:
        """Whether there is a picture of that name; its bytes are not looked at."""
        path = self._path(sha256)
        with self._told("the pictures cannot be looked up"):
            return self._files.exists(path)

    def age(self, sha256: str) -> float:
        """Seconds since a picture was written; 0 for one that is gone."""
        path = self._path(sha256)
        with self._told("the pictures cannot be looked up"):
            try:
                return max(0.0, time.time() - self._files.modified(path).timestamp())
            except FileNotFoundError:
                return 0.0

    def remove(self, sha256: str) -> None:
        """Remove a picture; none of that name is no error."""
        path = self._path(sha256)
        with self._told(f"picture {sha256} cannot be removed"), suppress(FileNotFoundError):
            self._files.rm_file(path)

    def leftovers(self) -> list[str]:
        """Temporary files that killed processes left in a local folder; [] while another process is writing there."""
        parts = self._parts()
        if not parts:
            return []
        with self._told("left-over files cannot be told from new ones"), self._lock(_ALONE) as alone:
            return [str(part) for part in self._parts()] if alone else []

    def _sweep(self) -> None:
        if self._parts():
            with self._lock(_ALONE) as alone:
                for part in self._parts() if alone else []:
                    part.unlink()

    def _parts(self) -> list[Path]:
        """The temporary siblings that `write_whole` makes."""
        return sorted(self._folder.glob(".*.part")) if self._folder is not None else []

    def _path(self, sha256: str) -> str:
        if not _NAME.fullmatch(sha256):
            raise BadInput(f"{sha256[:80]!r} is no name of a picture", "64 hex digits are wanted: the sha256")
        return f"{self._root}/{sha256}{_SUFFIX}"

    def _content(self, path: str) -> bytes | None:
        try:
            return self._files.cat_file(path)
        except FileNotFoundError:
            return None

    @contextmanager
    def _lock(self, mode: int) -> Generator[bool]:
        """Hold the folder's lock within the block: writers share it, so who has it alone knows that none is writing.

        Yields whether it was got, which only LOCK_NB can fail at. The system frees it when a process is killed.
        """
        assert self._folder is not None
        number = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(number, mode)
                got = True
            except BlockingIOError:
                got = False
            yield got
        finally:
            os.close(number)

    @contextmanager
    def _told(self, what: str) -> Generator[None]:
        """Make failures in the block LimnerErrors: the system's, and whatever a remote driver raises."""
        try:
            yield
        except LimnerError:
            raise
        except Exception as error:
            if self._folder is not None and not isinstance(error, OSError):
                raise
            reason = getattr(error, "strerror", None) or type(error).__name__
            hint = f"look after {self._folder}" if self._folder else "look after the store of pictures and its key"
            raise LimnerError(f"{what}: {reason}", hint) from error


def _opened(url: str) -> tuple[_Files, str, bool]:
    """File system, root folder there, and whether it is this machine's own disk."""
    from fsspec.core import url_to_fs  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    from fsspec.implementations.local import LocalFileSystem  # pyright: ignore[reportMissingTypeStubs]

    protocol = url.split("://")[0]
    try:
        # Listings are not cached: another process adds pictures too.
        files, root = cast(tuple[_Files, str], url_to_fs(url, use_listings_cache=False))
    except ImportError as error:
        raise LimnerError(f"pictures cannot be kept at {protocol}://: {error}", "install that package") from error
    except ValueError as error:
        raise BadInput(f"pictures cannot be kept at {protocol}://", "name a folder or a URL of fsspec's") from error
    return files, root.rstrip("/"), isinstance(files, LocalFileSystem)
