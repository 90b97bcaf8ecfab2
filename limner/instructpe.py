"""InstructPE, the data of prompt engineering by instruction (DiffChat 3.1): rows of prompts, and their files.

A row is <x_o, i, x, y> with the target of the short prompts, y_o, beside it. The published files are JSON arrays with
four columns and no y_o, which content integrity needs: it is found in the triplets of InstructPix2Pix that the rows
were made from. Files in JSON lines are read and written a row at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from limner.image import write_whole
from limner.types import BadInput

TEMPLATE = (
    "Instruction: Give a description of the image and a modification to generate a drawing prompt.\n"
    "Input: {x}\nModification: {i}\nOutput:"
)
"""T(x, i) of Eq. 1, from the paper's footnote 7. It ends without a blank: the target begins with one."""

BEAUTIFY_TEMPLATE = (
    "Instruction: Give a simple description of the image to generate a drawing prompt.\nInput: {raw}\nOutput:"
)
"""What BeautifulPrompt's model, the prompt beautification model of section 3.1, is asked with."""

MAX_TEXT_CHARS = 4000
"""A longer prompt is no prompt; the published ones have some hundred characters."""

_MAX_ARRAY_BYTES = 2**30
_COLUMNS = {
    "x_o": "source_prompt",
    "i": "instruction",
    "x": "beautified_source_prompt",
    "y": "beautified_target_prompt",
    "y_o": "target_prompt",
}
_EDIT_COLUMNS = (("input", "caption"), ("edit",), ("output",))
FORMS = (
    "a JSON array or JSON lines of objects with source_prompt, instruction, beautified_source_prompt and "
    "beautified_target_prompt"
)
EDIT_FORMS = "a JSON array or JSON lines of objects with input (or caption), edit and output"


@dataclass(frozen=True, slots=True)
class Row:
    """One example, in the paper's letters: the short prompt x_o, the instruction i, the model-friendly prompts x and
    y before and after it, and the short prompt after it, y_o ("" where that is not known). `more` are the file's other
    columns as they were read; the picture world's rows have the facts of the scene there."""

    x_o: str
    i: str
    x: str
    y: str
    y_o: str = ""
    more: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    @property
    def reference(self) -> str:
        """What content integrity compares with: y_o, or y itself, which is stricter for its style tags."""
        return self.y_o or self.y

    @property
    def prefix(self) -> str:
        """What the writer is given: see `prefix`."""
        return prefix(self.x, self.i)


@dataclass(frozen=True, slots=True)
class Edit:
    """A triplet of InstructPix2Pix: short prompt, instruction, short prompt after it."""

    x_o: str
    i: str
    y_o: str


def prefix(x: str, i: str) -> str:
    """T(x, i): all that stands before the target, without the blank that the target begins with."""
    return TEMPLATE.format(x=_line(x), i=_line(i))


def beautify_prefix(raw: str) -> str:
    """The same for a simple prompt that is to be made a model-friendly one."""
    return BEAUTIFY_TEMPLATE.format(raw=_line(raw))


def target(y: str) -> str:
    """What the writer learns to write behind a prefix, before the end-of-text token."""
    return f" {_line(y)}"


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, .json (the published form) or .jsonl (one at a time), in order.

    Lines that say why something was refused are left out. Raises BadInput for a file that cannot be read, and for a
    row that lacks a column or has a text over MAX_TEXT_CHARS, naming its number.
    """
    for number, value in _objects(path, FORMS):
        if "refused" not in value:
            texts = {key: _text(value, (name,), path, number, key != "y_o") for key, name in _COLUMNS.items()}
            yield Row(**texts, more={k: v for k, v in value.items() if k not in _COLUMNS.values()})


def read_edits(path: Path) -> Iterator[Edit]:
    """The triplets of an InstructPix2Pix file in either of its two namings. Raises as `read_rows`."""
    for number, value in _objects(path, EDIT_FORMS):
        yield Edit(*(_text(value, names, path, number) for names in _EDIT_COLUMNS))


def join(rows: Iterable[Row], edits: Iterable[Edit]) -> tuple[list[Row], int]:
    """The rows with their y_o from the triplet of the same short prompt and instruction, and how many found none.

    Those keep y_o = "", so that y serves instead of it. Blanks and case do not tell texts apart; of several triplets
    the first counts, as its order is the data set's.
    """
    found: dict[tuple[str, str], str] = {}
    for edit in edits:
        found.setdefault(_key(edit.x_o, edit.i), edit.y_o)
    joined = [row if row.y_o else replace(row, y_o=found.get(_key(row.x_o, row.i), "")) for row in rows]
    return joined, sum(not row.y_o for row in joined)


def to_json(row: Row) -> dict[str, Any]:
    """The row in the published columns, with target_prompt where y_o is known."""
    told = {name: getattr(row, key) for key, name in _COLUMNS.items() if key != "y_o" or row.y_o}
    return told | dict(row.more)


def to_line(row: Row) -> str:
    """The row as one line of JSON, without the line's end."""
    return json.dumps(to_json(row), ensure_ascii=False)


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write .json as one array in the published form, any other name as JSON lines; returns how many rows.

    The file appears whole or not at all. Raises as `write_whole`.
    """
    lines = [to_line(row) for row in rows]
    text = "[\n" + ",\n".join(lines) + "\n]\n" if path.suffix == ".json" else "".join(f"{line}\n" for line in lines)
    write_whole(path, text.encode())
    return len(lines)


def _line(text: str) -> str:
    """The text on one line: a line end in it would pass for the template's."""
    return " ".join(text.split())


def _key(prompt: str, instruction: str) -> tuple[str, str]:
    return _line(prompt).casefold(), _line(instruction).casefold()


def _objects(path: Path, forms: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a file, numbered from 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            if _begins(file.read(1024)) != "[":
                file.seek(0)
                yield from ((n, _object(json.loads(line), path, n, forms)) for n, line in _full_lines(file))
                return
        if path.stat().st_size > _MAX_ARRAY_BYTES:
            raise BadInput(f"{path} is one JSON array of over 1 GiB", "write it as JSON lines (.jsonl)")
        values: list[Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__})", f"wanted: {forms}") from None
    for number, value in enumerate(values, 1):
        yield number, _object(value, path, number, forms)


def _begins(text: str) -> str:
    return text.lstrip()[:1]


def _full_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _object(value: Any, path: Path, number: int, forms: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"row {number} of {path} is no object", f"wanted: {forms}")
    return cast(Mapping[str, Any], value)


def _text(value: Mapping[str, Any], names: tuple[str, ...], path: Path, number: int, needed: bool = True) -> str:
    """The text of the first of these columns that the row has."""
    text = next((value[name] for name in names if name in value), None if needed else "")
    if not isinstance(text, str) or (needed and not text.strip()):
        raise BadInput(f"row {number} of {path} has no text in {' or '.join(names)}", "name a file in the known form")
    if len(text) > MAX_TEXT_CHARS:
        raise BadInput(f"row {number} of {path} has {len(text)} characters in {names[0]}", "shorten it or leave it out")
    return text
