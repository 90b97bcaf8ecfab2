"""The terminal of a conversation: lines in, what was done out; a calm prompt for people, JSON lines for programs.

Ctrl-C stops the running step and not the session; at the prompt it clears the line. Whatever fails is one line, and the
conversation goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from limner import commands, terminal
from limner.history import turn_report
from limner.session import Session
from limner.turn import Turn
from limner.types import BadInput, Event, LimnerError

Say = Callable[[Mapping[str, Any]], None]
"""Shows one report: of a command, of a turn, of an error, or of something worth knowing."""

GREETING = "Say what to draw, then what to change. /help lists the commands, /quit leaves; nothing is lost."
_SHOWN = ("plan", "instruction", "rewrite", "warning", "dropped", "undo")


def converse(session: Session, lines: Iterable[str], say: Say) -> int:
    """Do what each line says, showing reports by `say`, until the lines end or say /quit; returns how many failed."""
    failures = 0
    for line in lines:
        words = line.strip()
        if not words:
            continue
        try:
            if not _done(session, words, say):
                break
        except LimnerError as error:
            failures += 1
            say({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
        except KeyboardInterrupt:
            say({"stopped": words, "text": "stopped; nothing half-made was kept"})
    return failures


def _done(session: Session, words: str, say: Say) -> bool:
    """Carry out one line; False after /quit."""
    work = commands.run(session, words) if commands.is_command(words) else _sentence(session, words)

    def turn(event: Event) -> None:
        made: Turn = event.data["turn"]
        say({"event": "turn", "number": _number(session, made), **turn_report(made)})

    def other(event: Event) -> None:
        say({"event": event.kind, "message": event.message, **_plain(event.data)})

    report = terminal.follow(work, {"turn": turn, **dict.fromkeys(_SHOWN, other)})
    if report:
        say(report)
    return not report.get("quit")


def _sentence(session: Session, words: str) -> Generator[Event, None, dict[str, Any]]:
    yield from session.say(words)
    return {}


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if isinstance(value, str | list | int | float | bool)}


def _number(session: Session, turn: Turn) -> int:
    return next(number for number, each in enumerate(session.turns, 1) if each.id == turn.id)


def as_json(report: Mapping[str, Any]) -> None:
    """A report as one line of JSON."""
    terminal.say(json.dumps(report, ensure_ascii=False, allow_nan=False))


class Plainly:
    """Reports for people: a line or a small table each, and the picture where the terminal can show one."""

    def __init__(self, where: Callable[[str], str], show: Callable[[str], None] | None = None) -> None:
        """`where` says where the picture of a sha256 lies; `show` draws it, None where the terminal cannot."""
        self._where, self._show = where, show

    def __call__(self, report: Mapping[str, Any]) -> None:
        """Show one report."""
        if "number" in report:
            self._turn(report)
        elif "error" in report:
            terminal.complain(f"{report['error']}{f' ({hint})' if (hint := report['hint']) else ''}")
        elif "event" in report:
            self._event(report)
        else:
            terminal.say(str(report["text"]))
            self._picture(report.get("picture"))

    def _event(self, report: Mapping[str, Any]) -> None:
        if report["event"] == "warning":
            terminal.complain(report["message"])
        elif report["event"] != "plan":  # what is planned shows in what is done
            terminal.say(f"  {report['message']}")

    def _turn(self, turn: Mapping[str, Any]) -> None:
        content: Mapping[str, Any] = turn["content"]
        match turn["kind"]:
            case "ask":
                terminal.say(content["question"])
            case "note":
                terminal.say(content["reply"])
            case "learn":
                terminal.say(turn["headline"])
            case "draw" | "rewrite":
                terminal.scorecard(content["scores"], content["threshold"])
            case "edit":
                terminal.checks(content["checks"], content["warnings"], content["drift"])
            case _:
                return
        self._picture(content.get("picture"), f"{turn['number']}. ")

    def _picture(self, sha256: str | None, before: str = "") -> None:
        if sha256:
            if self._show:
                self._show(sha256)
            terminal.say(f"{before}{self._where(sha256)}")


def typed(history: Path, name: str) -> Iterator[str]:
    """What a person types, line by line: with the arrows through what was typed before, Esc Enter for a new line.

    Ends with Ctrl-D; Ctrl-C clears the line.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    history.parent.mkdir(parents=True, exist_ok=True)
    prompt: PromptSession[str] = PromptSession(history=FileHistory(str(history)), key_bindings=_keys())
    while True:
        try:
            yield prompt.prompt(f"{name}> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _keys() -> Any:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    keys.add("escape", "enter")(new_line)
    return keys


def piped() -> Iterator[str]:
    """The lines of standard input. Raises BadInput for what is no text."""
    try:
        yield from sys.stdin
    except UnicodeDecodeError:
        raise BadInput("standard input is not UTF-8", "send one sentence a line") from None
