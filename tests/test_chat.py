"""The terminal of a conversation: exact transcripts, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from limner.chat import Plainly, as_json, converse
from limner.commands import HELP
from limner.protocols import EditRequest
from limner.session import Session
from limner.types import BadInput, Picture
from tests.retoucher import Retoucher
from tests.workshop import open_session, shown

FIRST = "a red circle and a blue square"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path)


def plainly(session: Session, *lines: str) -> int:
    return converse(session, lines, Plainly(lambda sha256: "PICTURE"))


def as_lines(session: Session, capsys: pytest.CaptureFixture[str], *lines: str) -> list[dict[str, Any]]:
    converse(session, lines, as_json)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


TWELVE_TURNS = [
    FIRST,
    "put it in the desert",
    "remove the triangle",
    "the blue one",
    "paint it green",
    "/undo",
    "/branch calm",
    "add a green triangle",
    "/goto calm",
    "paint the circle blue",
    "/forget 2",
    "/history",
]
TRANSCRIPT = """\
keyword      score  needed  in the picture
red circle   0.343   0.000             yes
blue square  0.343   0.000             yes
Everything you said passes.
1. PICTURE
  rewrite: put it in the desert
  a red circle and a blue square {+in the desert+}
keyword       score  needed  in the picture
red circle    0.343   0.000             yes
blue square   0.343   0.000             yes
desert       -0.243   0.000              no
Not in the picture: desert.
2. PICTURE
I see no triangle. Which do you mean: the blue square on the left or the red circle at the bottom?
  edit: remove the square
check           value  passed
square is gone  0.000     yes
nothing changed outside the region
5. PICTURE
  edit: paint the circle green
check                  value  passed
green circle is there  0.950     yes
nothing changed outside the region
6. PICTURE
at: edit: remove the square
PICTURE
calm: turn 5
  edit: add a green triangle
check                    value  passed
green triangle is there  0.940     yes
nothing changed outside the region
7. PICTURE
at: edit: remove the square
PICTURE
  edit: paint the circle blue
check                 value  passed
blue circle is there  0.950     yes
nothing changed outside the region
8. PICTURE
I see no triangle. Which do you mean: the blue square on the left or the red circle at the bottom?
check           value  passed
square is gone  0.000     yes
nothing changed outside the region
11. PICTURE
check                 value  passed
blue circle is there  0.950     yes
nothing changed outside the region
12. PICTURE
forgotten: rewrite: put it in the desert (not quite)
made again: 4
PICTURE
1. draw: a red circle and a blue square
├ 2. rewrite: put it in the desert (not quite)
│ 3. asked: I see no triangle. Which do you mean: the blue square on the left or the red circle at the bottom?
│ 4. answered: the blue one
│ 5. edit: remove the square [calm]
│ ├ 6. edit: paint the circle green
│ ├ 7. edit: add a green triangle
│ └ 8. edit: paint the circle blue
└ 9. asked: I see no triangle. Which do you mean: the blue square on the left or the red circle at the bottom?
  10. answered: the blue one
  11. edit: remove the square
  12. edit: paint the circle blue  ← here
"""


def test_an_exact_transcript_of_twelve_turns(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert plainly(session, *TWELVE_TURNS) == 0
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert printed == TRANSCRIPT.rstrip()


def test_lines_of_json_for_programs(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    told = as_lines(
        session, capsys, FIRST, "", "paint it green", "the square", "/undo", "/nonsense", "/quit", "unheard"
    )
    assert [each.get("event") or each.get("command") or "error" for each in told] == [
        "plan", "turn", "plan", "turn", "plan", "turn", "instruction", "turn", "/undo", "error", "/quit",
    ]  # fmt: skip
    drawn, asked, answered, edited = (each for each in told if each.get("event") == "turn")
    assert [each["number"] for each in (drawn, asked, answered, edited)] == [1, 2, 3, 4]
    assert drawn["content"]["picture"] == session.turns[0].picture
    assert asked["content"]["choices"]
    assert edited["content"]["instruction"] == "paint the square green"
    assert told[-2] == {
        "error": "there is no command /nonsense",
        "hint": f"there are {', '.join(each.split()[0] for each in HELP)}",
        "exit_code": 2,
    }


def test_a_failure_is_one_line_and_the_conversation_goes_on(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plainly(session, "/undo", FIRST, "/goto 9", "/save", "paint the circle green") == 3
    told = capsys.readouterr()
    assert [line.split(" (")[0] for line in told.err.splitlines()] == [
        "there is nothing to undo",
        "no turns are called «9»",
        "the command needs more",
    ]
    assert shown(session) == {"green circle", "blue square"}


def test_ctrl_c_stops_the_step_and_not_the_conversation(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    plainly(session, FIRST)
    whole, calls = Retoucher.edit, list[int]()

    def interrupted(self: Retoucher, requests: Sequence[EditRequest], **named: Any) -> list[Picture]:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return whole(self, requests, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Retoucher, "edit", interrupted)
        assert plainly(session, "paint the circle green", "paint the circle green") == 0
    assert "stopped; nothing half-made was kept" in capsys.readouterr().out
    assert [turn.kind for turn in session.turns] == ["draw", "edit"]


def test_a_picture_is_shown_where_the_terminal_can(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[str] = []
    converse(session, [FIRST, "/undo", "/redo"], Plainly(lambda sha256: f"at {sha256[:4]}", drawn.append))
    assert drawn == [session.turns[0].picture] * 2
    assert f"at {drawn[0][:4]}" in capsys.readouterr().out


def test_a_saved_picture_says_how_it_was_made(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from limner.image import read_metadata

    plainly(session, FIRST, f"/save {tmp_path / 'first'}", "paint the circle green", f"/save {tmp_path / 'second.png'}")
    first, second = (read_metadata(tmp_path / name) for name in ("first.png", "second.png"))
    assert first.recipe.prompt == session.turns[0].content["recipe"]["prompt"]
    assert first.limner["turn"] == session.turns[0].id
    assert second.recipe.prompt == "paint the circle green"
    assert second.limner["lineage"]["from"] == session.turns[0].picture


def test_settings_and_looking(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    plainly(session, FIRST, "/mode rewrite", "/mode", "/ask often", "/look", "/look red circle", "/look green circle")
    told = capsys.readouterr().out.splitlines()
    assert told.count("mode: rewrite") == 2
    assert "ask: often" in told
    assert "a red circle and a blue square" in told
    assert any(line.startswith("red circle  0.9") for line in told)
    assert told[-1] == "no green circle was found"


@pytest.mark.parametrize("usage", HELP)
def test_every_command_of_the_help_exists(session: Session, usage: str) -> None:
    told: list[str] = []
    converse(session, [usage.split()[0]], lambda report: told.append(str(report.get("error", ""))))
    assert not any("there is no command" in each for each in told)


def lines_until_the_end() -> Iterator[str]:
    yield FIRST
    raise BadInput("standard input is not UTF-8")


def test_input_that_breaks_is_told(session: Session) -> None:
    with pytest.raises(BadInput):
        converse(session, lines_until_the_end(), lambda _: None)
    assert len(session.turns) == 1
