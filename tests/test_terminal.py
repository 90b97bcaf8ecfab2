"""Tables on a terminal, in a file and in a window that is too narrow: nothing in them is ever cut."""

from __future__ import annotations

import pytest

from limner import terminal

COLUMNS = [f"measure {number}" for number in range(14)]
ROWS = [[f"{row}.{number:03d}" for number in range(14)] for row in range(2)]


def test_a_table_that_fits_is_as_wide_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("what", "score"), [("foxes", 0.25), ("none", None)])
    assert capsys.readouterr().out.splitlines() == ["what   score", "foxes  0.250", "none       –"]


def test_long_texts_are_folded(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("what", "score"), [("a fox " * 40, 1)])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("fox") == 40


def test_a_pipe_gets_every_figure_of_a_wide_table(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert "…" not in out
    assert len([line for line in out.splitlines() if line.startswith(("0.", "1."))]) == 2
    assert all(cell in out for row in ROWS for cell in row)


def test_a_narrow_window_gets_a_list_for_each_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    terminal.table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert "…" not in out
    assert out.count("measure 13") == 2
    assert all(cell in out for row in ROWS for cell in row)
    assert max(map(len, out.splitlines())) <= 70
