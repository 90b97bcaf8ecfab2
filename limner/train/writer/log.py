"""What a run says of itself: a line of JSON a step, and TensorBoard's curves where that is installed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    """A line for whoever watches; on stderr, so that a report on stdout stays one."""
    print(text, file=sys.stderr, flush=True)


class Log:
    """Appends to `folder`/log.jsonl; of several processes only the first one writes."""

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.path, self.silent = folder / "log.jsonl", silent
        self.began = time.monotonic()
        if not silent:
            folder.mkdir(parents=True, exist_ok=True)
        self._board = None if silent else _board(folder)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """One step's figures, and the seconds since this process began."""
        if self.silent:
            return
        rounded = {name: round(value, 6) for name, value in figures.items()}
        row = {"step": step, "seconds": round(time.monotonic() - self.began, 2), **rounded}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self._board:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
