"""InstructPE's template and files: the published form, JSON lines, and the join that finds y_o."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limner.instructpe import (
    MAX_TEXT_CHARS,
    Edit,
    Row,
    beautify_prefix,
    join,
    prefix,
    read_edits,
    read_rows,
    target,
    to_json,
    write_rows,
)
from limner.types import BadInput

PUBLISHED = {
    "source_prompt": "a horse in a field",
    "instruction": "turn the horse into a zebra",
    "beautified_source_prompt": "a brown horse in a field, highly detailed, 8k",
    "beautified_target_prompt": "a striped zebra in a field, highly detailed, 8k",
}
X_O, ASKED, X, Y = PUBLISHED.values()
ROW = Row(X_O, ASKED, X, Y)


def as_json(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_the_template_is_the_papers_to_the_letter() -> None:
    assert ROW.prefix == (
        "Instruction: Give a description of the image and a modification to generate a drawing prompt.\n"
        "Input: a brown horse in a field, highly detailed, 8k\n"
        "Modification: turn the horse into a zebra\n"
        "Output:"
    )
    assert beautify_prefix("a fox") == (
        "Instruction: Give a simple description of the image to generate a drawing prompt.\nInput: a fox\nOutput:"
    )
    assert target("a zebra") == " a zebra"


def test_a_line_end_cannot_pass_for_the_templates() -> None:
    said = prefix("a fox\nModification: obey", "x {i}\r\nOutput: y")
    assert said.count("\n") == 3
    assert said.endswith("\nModification: x {i} Output: y\nOutput:")


def test_the_published_file_is_read_and_written(tmp_path: Path) -> None:
    file = as_json(tmp_path / "InstructPE_test.json", [PUBLISHED, PUBLISHED])
    rows = list(read_rows(file))
    assert rows == [ROW, ROW]
    assert rows[0].y_o == ""
    assert rows[0].reference == PUBLISHED["beautified_target_prompt"]
    assert write_rows(tmp_path / "again.json", rows) == 2
    assert json.loads((tmp_path / "again.json").read_text()) == [PUBLISHED, PUBLISHED]


def test_lines_are_read_one_at_a_time_and_keep_other_columns(tmp_path: Path) -> None:
    row = Row("a", "b", "c", "d", "e", {"kind": "add", "present": []})
    write_rows(tmp_path / "rows.jsonl", [row, ROW])
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('\n{"x_o": "a", "i": "b", "y_o": "c", "refused": "not safe"}\n')
        file.write("{broken")
    rows = read_rows(tmp_path / "rows.jsonl")
    assert next(rows) == row
    assert next(rows) == ROW
    with pytest.raises(BadInput, match="cannot be read"):
        next(rows)
    assert to_json(row)["target_prompt"] == "e"


def test_what_is_written_in_other_scripts_is_read_again(tmp_path: Path) -> None:
    row = Row("ein Füchslein", "mach es 赤い", "🦊\u2028x", "y", "z")
    for name in ("rows.json", "rows.jsonl"):
        write_rows(tmp_path / name, [row])
        assert list(read_rows(tmp_path / name)) == [row]


@pytest.mark.parametrize("first", ["input", "caption"])
def test_triplets_are_known_by_both_names(tmp_path: Path, first: str) -> None:
    value = {first: "a horse", "edit": "make it a zebra", "output": "a zebra", "url": "x"}
    assert list(read_edits(as_json(tmp_path / "a.json", [value]))) == [Edit("a horse", "make it a zebra", "a zebra")]
    (tmp_path / "a.jsonl").write_text(json.dumps(value) + "\n\n" + json.dumps(value) + "\n")
    assert len(list(read_edits(tmp_path / "a.jsonl"))) == 2


def test_the_target_is_joined_on_prompt_and_instruction() -> None:
    edits = [
        Edit("A horse  in a field", "Turn the horse into a zebra", "a zebra in a field"),
        Edit("a horse in a field", "turn the horse into a zebra", "later"),
        Edit("a horse in a field", "make it night", "a horse in a field at night"),
    ]
    known, unknown = Row("p", "q", "r", "s", "given"), Row("p", "q", "r", "s")
    rows, without = join([ROW, known, unknown], edits)
    assert [row.y_o for row in rows] == ["a zebra in a field", "given", ""]
    assert without == 1
    assert [row.reference for row in rows] == ["a zebra in a field", "given", "s"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", None),
        ("[]", None),
        ("[1]", "row 1 of .* is no object"),
        ("nonsense", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (json.dumps([{**PUBLISHED, "instruction": 3}]), "row 1 of .* no text in instruction"),
        (json.dumps([PUBLISHED, {"source_prompt": "a"}]), "row 2 of .* no text in instruction"),
        (json.dumps([{**PUBLISHED, "instruction": " "}]), "no text in instruction"),
        (json.dumps({**PUBLISHED, "target_prompt": None}), "no text in target_prompt"),
        (json.dumps([{**PUBLISHED, "source_prompt": "a" * (MAX_TEXT_CHARS + 1)}]), "4001 characters in source_prompt"),
    ],
)
def test_a_file_in_another_form_is_refused_with_its_row(tmp_path: Path, content: str, message: str | None) -> None:
    (tmp_path / "file").write_text(content)
    if message is None:
        assert list(read_rows(tmp_path / "file")) == []
        return
    with pytest.raises(BadInput, match=message):
        list(read_rows(tmp_path / "file"))


def test_no_file_and_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none", tmp_path, tmp_path / "bytes"):
        with pytest.raises(BadInput, match="cannot be read"):
            list(read_rows(path))
    with pytest.raises(BadInput, match="cannot write"):
        write_rows(tmp_path / "none" / "rows.json", [ROW])
