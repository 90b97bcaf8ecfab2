"""What was found out once about this machine and need not be found out again: a small file of JSON in the cache."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from limner.types import LimnerError


@dataclass(frozen=True, slots=True)
class Notes:
    """Values by key in one file; without a file nothing is remembered.

    A file that cannot be read or written only means that something is found out again.
    """

    file: Path | None = None

    def read(self) -> dict[str, Any]:
        """All that is known."""
        try:
            known: object = json.loads(self.file.read_text(encoding="utf-8")) if self.file else {}
        except (OSError, ValueError):
            return {}
        return cast(dict[str, Any], known) if isinstance(known, dict) else {}

    def write(self, key: str, value: object) -> None:
        """Remember one more; the file is replaced in one step."""
        from limner.image import write_whole

        if self.file is None:
            return
        with suppress(OSError, LimnerError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, json.dumps(self.read() | {key: value}).encode())
