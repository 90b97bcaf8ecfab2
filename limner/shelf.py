"""The user's concepts: one file each, in one folder."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from limner.concept import Concept, check_name
from limner.concept_file import load, save, summary
from limner.types import BadInput

SUFFIX = ".safetensors"


class Shelf:
    """Concepts by name, in a folder that need not exist yet; a file's name counts, whatever it says inside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, tuple[tuple[int, int], Concept]] = {}

    def names(self) -> tuple[str, ...]:
        """The names on the shelf, sorted; no file is opened for it, so that a broken one hides no other."""
        return tuple(path.stem for path in self._files() if _is_name(path.stem))

    def _files(self) -> list[Path]:
        files = self.folder.glob(f"*{SUFFIX}") if self.folder.is_dir() else ()
        return sorted(path for path in files if path.is_file() and not path.name.startswith("."))

    def path(self, name: str) -> Path:
        """Where the concept is or would be. Raises BadInput for what cannot be a name."""
        return self.folder / (check_name(name) + SUFFIX)

    def get(self, name: str) -> Concept:
        """The concept; a file that did not change since is read once. Raises BadInput when unknown or unreadable."""
        path = self._known(name)
        try:
            state = path.stat()
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from error
        stamp = (state.st_mtime_ns, state.st_size)
        if path.stem not in self._read or self._read[path.stem][0] != stamp:
            self._read[path.stem] = stamp, replace(load(path), name=path.stem)
        return self._read[path.stem][1]

    def _known(self, name: str) -> Path:
        path = self.path(name)
        if not path.is_file():
            names = self.names()
            close = get_close_matches(path.stem, names, n=3) or names[:8]
            hint = f"there is {', '.join(close)}" if close else f"there are no concepts in {self.folder}"
            raise BadInput(f"there is no concept {path.stem!r}", hint)
        return path

    def put(self, concept: Concept, *, replace: bool = False) -> Path:
        """Keep a concept, whole or not at all; returns its file.

        Raises BadInput when the name is taken (unless it may `replace` it) or the folder cannot be written to.
        """
        path = self.path(concept.name)
        if path.exists() and not replace:
            raise BadInput(f"there is a concept {concept.name!r} already", "choose another name, or replace it")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"cannot write to {self.folder}: {error.strerror}") from error
        save(concept, path)
        return path

    def remove(self, name: str) -> None:
        """Take a concept off the shelf, a broken one as well. Raises BadInput when it is not there."""
        path = self._known(name)
        try:
            path.unlink()
        except OSError as error:
            raise BadInput(f"cannot remove {path}: {error.strerror}") from error
        self._read.pop(path.stem, None)

    def rows(self) -> list[dict[str, Any]]:
        """One row a file for a list: name, kind, like, method, base, words (a side: count), bytes, and `problem`.

        `problem` is "" for a good one; a file that cannot be used has its reason there and nothing but name and bytes.
        """
        return [_row(path) for path in self._files()]


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except BadInput:
        return False


def _row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"name": path.stem, "kind": "", "like": "", "method": "", "base": "", "words": {}}
    try:
        row["bytes"] = path.stat().st_size
        check_name(path.stem)
        found = summary(path)
    except OSError as error:
        return row | {"bytes": 0, "problem": f"cannot be read: {error.strerror}"}
    except BadInput as error:
        return row | {"problem": str(error)}
    about = found.about
    known = {"kind": about.kind, "like": about.like, "method": about.method, "base": about.base}
    return row | known | {"words": dict(found.words), "problem": ""}
