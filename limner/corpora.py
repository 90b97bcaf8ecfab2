"""Dialogues in a file: the picture world's own, or those that a language model writes from captions."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from limner.dialogues import generate_dialogues, generate_edits, read_captions
from limner.image import write_whole
from limner.protocols import LanguageModel
from limner.staging import add_lines, check_target, whole_lines
from limner.types import BadInput, Event
from limner.world.dialogue import sample_dialogue, to_json

_EVERY = 200


def world_dialogues(
    target: Path, *, count: int, seed: int, held_out: bool = False
) -> Generator[Event, None, dict[str, Any]]:
    """`count` dialogues of the picture world, a line of JSON each; the file appears when all are there.

    Raises BadInput for a count below 1 and a file that cannot be written.
    """
    if count < 1:
        raise BadInput(f"{count} dialogues cannot be made", "choose at least 1")
    check_target(target)
    rng, lines = Random(f"dialogues/{seed}"), list[str]()
    for number in range(count):
        lines.append(to_json(sample_dialogue(rng, held_out=held_out)))
        if number % _EVERY == 0:
            yield Event("dialogues", "making dialogues", number, count)
    write_whole(target, "".join(f"{line}\n" for line in lines).encode())
    return {"file": str(target), "dialogues": count}


def written_dialogues(
    target: Path, captions: Path, model: LanguageModel, *, seed: int, edits: bool = False
) -> Generator[Event, None, dict[str, Any]]:
    """One dialogue (or with `edits` one edit) a caption, written by a language model and added to a file as they come.

    A file that is there already is gone on with: as many captions as it has lines are skipped, a last line that was
    cut off is written again. What is refused becomes a line that says why, and is counted. Raises BadInput for a file
    of captions that cannot be read.
    """
    texts = read_captions(captions)
    check_target(target)
    done = whole_lines(target)
    generate = generate_edits if edits else generate_dialogues
    work = generate(model, texts[done:], Random(f"{seed}/{done}"))
    written = yield from add_lines(target, work, _line, name="dialogues", done=done, total=len(texts))
    return {"file": str(target), "kept": written.kept, "refused": dict(written.refused), "skipped": done}


def _line(event: Event) -> str:
    if event.kind == "refused":
        return json.dumps({"caption": event.data["caption"], "refused": event.message}, ensure_ascii=False)
    if event.kind == "edit":
        return json.dumps(asdict(event.data["edit"]), ensure_ascii=False)
    return to_json(event.data["dialogue"])
