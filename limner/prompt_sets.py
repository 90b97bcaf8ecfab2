"""Rows of InstructPE in a file: the picture world's own, or those that are built from any set of edits."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limner.beautify import Beautify, build_instructpe
from limner.instructpe import Edit, Row, to_line, write_rows
from limner.lexicon import OWN, Lexicon
from limner.protocols import LanguageModel
from limner.screening import Screen
from limner.staging import add_lines, check_target, whole_lines
from limner.types import BadInput, Event
from limner.world.instructions import world_rows

_EVERY = 200


def world_instructions(
    target: Path, *, count: int, seed: int, held_out: bool = False
) -> Generator[Event, None, dict[str, Any]]:
    """`count` rows of the picture world into a file: .json as one array, else a line of JSON each.

    The file appears when all are there. Raises BadInput for a count below 1 and a file that cannot be written.
    """
    if count < 1:
        raise BadInput(f"{count} rows cannot be made", "choose at least 1")
    check_target(target)
    rows = list[Row]()
    for number, row in enumerate(world_rows(count, seed, held_out=held_out)):
        rows.append(row)
        if number % _EVERY == 0:
            yield Event("instructions", "making instructions", number, count)
    return {"file": str(target), "rows": write_rows(target, rows), "held_out": held_out, "seed": seed}


def written_instructions(
    target: Path,
    edits: Sequence[Edit],
    beautify: Beautify,
    model: LanguageModel,
    screen: Screen | None = None,
    *,
    lexicon: Lexicon = OWN,
) -> Generator[Event, None, dict[str, Any]]:
    """The rows that are built from edits, added to a file of JSON lines as they come.

    A file that is there already is gone on with: as many edits as it has lines are skipped, a last line that was cut
    off is written again. What is refused becomes a line that says why, and is counted; `read_rows` passes over it.
    Raises BadInput for a file that cannot be written.
    """
    check_target(target)
    done = whole_lines(target)
    work = build_instructpe(edits[done:], beautify, model, screen, lexicon=lexicon)
    built = yield from add_lines(target, work, _line, name="instructions", done=done, total=len(edits))
    told: dict[str, Any] = {"file": str(target), "kept": built.kept, "sides": dict(built.sides)}
    return told | {"refused": dict(built.refused), "skipped": done}


def _line(event: Event) -> str:
    if event.kind == "refused":
        return json.dumps({**asdict(event.data["edit"]), "refused": event.message}, ensure_ascii=False)
    return to_line(event.data["row"])
