"""The command line of conversations: `limner chat`, and `limner sessions` for what becomes of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from limner import terminal
from limner.flags import Json, Llm, Model, Report, Scorer, Seed, Writer, studio_of, tell
from limner.types import BadInput, LimnerError

if TYPE_CHECKING:
    from limner.blobs import Blobs
    from limner.conversations import Conversations

sessions_app = typer.Typer(help="The conversations there are, and what becomes of them.")
Name = Annotated[str, typer.Argument(help="The session's name; see `limner sessions list`.")]


def chat(
    session: Annotated[str, typer.Option(help="Its name; a new one begins, an old one goes on.")] = "main",
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
    ask: Annotated[
        Literal["never", "needed", "often"] | None, typer.Option(help="How readily to ask back (needed).")
    ] = None,
    mode: Annotated[
        Literal["rewrite", "edit", "auto"] | None, typer.Option(help="Change the prompt or the picture (auto).")
    ] = None,
    writer: Writer = None,
    seed: Seed = None,
    count: Annotated[int | None, typer.Option("-n", "--count", help="Pictures a round; attempts of an edit.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each thing that happens.")] = False,
) -> None:
    """Talk: say what you want, change it by talking, undo, branch, and go on tomorrow.

    From a pipe, every line is one sentence.
    """
    from limner.chat import GREETING, as_json, converse, piped, typed

    flags = {"model": model, "scorer": scorer, "llm": llm, "ask": ask, "mode": mode, "writer": writer}
    studio = studio_of(**flags, seed=seed, count=count)
    opened = studio.conversations.open(session)
    interactive = sys.stdin.isatty() and not json
    lines: Iterable[str] = typed(studio.settings.data / "history", session) if interactive else piped()
    if interactive:
        terminal.say(GREETING)
    failed = converse(opened, lines, as_json if json else _plainly(opened.store.blobs, studio.settings.term_program))
    if failed and not interactive:
        raise typer.Exit(LimnerError.exit_code)


def _plainly(blobs: Blobs, program: str) -> Callable[[Report], None]:
    from limner.chat import Plainly
    from limner.inline import shower

    draw = shower(program)
    return Plainly(blobs.where, (lambda sha256: draw(blobs.get(sha256))) if draw else None)


def _conversations() -> Conversations:
    return studio_of().conversations


@sessions_app.command("list")
def sessions_list(json: Json = False) -> None:
    """List the sessions, the one changed last first."""
    tell({"sessions": _conversations().list()}, json, terminal.sessions)


@sessions_app.command("show")
def sessions_show(name: Name, json: Json = False) -> None:
    """Show a session: its settings and its turns."""
    tell(_conversations().show(name), json, terminal.session)


@sessions_app.command("export")
def sessions_export(
    name: Name, file: Annotated[Path, typer.Argument(help="The zip to write.")], json: Json = False
) -> None:
    """Write a session with its pictures as one zip."""
    tell(_conversations().export(name, file), json)


@sessions_app.command("import")
def sessions_import(
    file: Annotated[Path, typer.Argument(help="A zip that `limner sessions export` wrote.")],
    name: Annotated[str | None, typer.Option(help="Call it so; the name inside unless given.")] = None,
    json: Json = False,
) -> None:
    """Take in a session from a zip, after checking every hash in it."""
    tell(_conversations().take_in(file, name), json)


@sessions_app.command("replay")
def sessions_replay(name: Name, json: Json = False) -> None:
    """Make every turn again from its record, and say which came out the same, byte for byte."""
    made = terminal.follow(_conversations().replay(name))
    columns: list[dict[str, Any]] = [
        {
            "turn": each.number,
            "kind": each.turn.kind,
            "same picture": each.same_picture if each.turn.picture else None,
            "same": each.same,
            "why not": each.reason,
        }
        for each in made
    ]
    tell({"session": name, "rows": columns}, json, terminal.rows_or("the session has no turns"))
    if not all(each.same for each in made):
        raise LimnerError("not every turn came out the same", "docs/sessions.md says what breaks it")


@sessions_app.command("forget")
def sessions_forget(
    name: Name,
    turn: Annotated[str, typer.Argument(help="Its number, branch, or the beginning of its id.")],
    json: Json = False,
) -> None:
    """Remove a turn's influence: what came after it is made again without it."""
    done = terminal.follow(_conversations().forget(name, turn))
    dropped = [{"turn": each.id, "reason": reason} for each, reason in done.dropped]
    removed, remade = ([each.id for each in turns] for turns in (done.removed, done.remade))
    tell({"session": name, "removed": removed, "remade": remade, "dropped": dropped}, json)


@sessions_app.command("rm")
def sessions_rm(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False) -> None:
    """Delete a session for good, and the pictures that no other session has."""
    if not yes and not sys.stdin.isatty():
        raise BadInput(f"«{name}» would be deleted for good", "say --yes")
    if not yes:
        typer.confirm(f"Delete the session «{name}» for good?", abort=True)
    _conversations().remove(name)
