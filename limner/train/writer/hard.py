"""Which rows there is something to learn from: those whose prompt the fine-tuned writer does not get right yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from limner.evaluate.slots import slot_accuracy
from limner.image.files import write_whole
from limner.instructpe import Row
from limner.integrity import integrity, reference
from limner.train.writer.base import Base
from limner.train.writer.exam import written
from limner.train.writer.group import meet, rank


def hard_rows(base: Base, rows: Sequence[Row], kept: Path) -> list[Row]:
    """The rows whose greedy prompt keeps less of what was wanted than their own, and as many others, in their order.

    All rows where there is none. The choice is kept in the file `kept`: a run that goes on, and one with a part
    switched off, learn from the same rows.
    """
    if rank() == 0 and not kept.exists():
        texts = written(base, rows)
        wrong = [_kept(row, text) < _kept(row, row.y) for row, text in zip(rows, texts, strict=True)]
        hard, easy = ([number for number, each in enumerate(wrong) if each is kind] for kind in (True, False))
        write_whole(kept, json.dumps(sorted([*hard, *easy[: len(hard)]])).encode())
    meet()
    chosen: list[int] = json.loads(kept.read_text())
    return [rows[number] for number in chosen] or list(rows)


def _kept(row: Row, text: str) -> float:
    """Content integrity, and of the world's rows the share of the facts that are said: integrity counts a colour
    wherever it stands."""
    facts = slot_accuracy(text, row)[0] if "present" in row.more else 0.0
    return integrity(reference(row.x_o, row.i, row.reference), text) + facts
