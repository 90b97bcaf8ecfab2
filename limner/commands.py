"""The slash commands of a conversation: a line like «/goto 3» in, what it did and says out.

A command changes the session at once or reads it; those that draw (`/forget`) are generators of Events like sentences.
Every answer is one JSON object with a line for people under "text".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from limner import history
from limner.concept import check_name, in_words
from limner.history import Node
from limner.image import open_picture, png_bytes, save_png
from limner.image.metadata import Metadata
from limner.perform import marked
from limner.session import Session
from limner.sight import found
from limner.turn import Turn
from limner.types import BadInput, Event

Report = dict[str, Any]
Work = Generator[Event, None, Report]

HELP = {
    "/help": "this list",
    "/undo": "take the last step back; also «undo» in words",
    "/redo": "take an undo back",
    "/branch [NAME]": "give this place a name; without one, list the names",
    "/goto TURN": "go to a turn by its number, its branch, or the beginning of its id",
    "/history": "draw the tree of all turns",
    "/diff [TURN [TURN]]": "prompts and pictures of two turns side by side: the last two, or one and where you are",
    "/forget TURN": "remove a turn's influence: the later ones are made again without it",
    "/mode [rewrite|edit|auto]": "change the prompt, the picture, or let Limner choose",
    "/ask [never|needed|often]": "how readily Limner asks back",
    "/look [THINGS]": "what is in the picture",
    "/learn NAME [PICTURE] [like WORDS]": "learn what a picture file shows, or the picture here, to be said as <NAME>",
    "/open FILE": "go on from a picture file",
    "/save FILE": "save the picture with its recipe inside",
    "/quit": "leave; the session stays",
}


def is_command(line: str) -> bool:
    """Whether a line is a command rather than a sentence."""
    return line.startswith("/")


def run(session: Session, line: str) -> Work:
    """Carry out a command. Raises BadInput for one that there is not, or that does not apply."""
    name, *arguments = line.split(maxsplit=1)
    rest = arguments[0].strip() if arguments else ""
    if name in _LONG:
        return {"command": name, **(yield from _LONG[name](session, rest))}
    if name not in _COMMANDS:
        raise BadInput(f"there is no command {name}", f"there are {', '.join(each.split()[0] for each in HELP)}")
    return {"command": name, **_COMMANDS[name](session, rest)}


def _help(session: Session, rest: str) -> Report:
    width = max(map(len, HELP))
    return {"text": "\n".join(f"{usage:<{width}}  {what}" for usage, what in HELP.items())}


def _undo(session: Session, rest: str) -> Report:
    before = session.path
    report = _at(session, session.undo(), "back at the beginning")
    left = history.stays(before[len(session.path) :])
    return report | {"text": "\n".join(filter(None, (report["text"], left)))}


def _redo(session: Session, rest: str) -> Report:
    return _at(session, session.redo())


def _goto(session: Session, rest: str) -> Report:
    return _at(session, session.goto(_needed(rest, "/goto TURN")))


def _branch(session: Session, rest: str) -> Report:
    if rest:
        session.branch(rest)
    numbers = {turn.id: number for number, turn in enumerate(session.turns, 1)}
    named = {name: numbers[turn] for name, turn in session.state.branches.items()}
    text = "\n".join(f"{name}: turn {number}" for name, number in named.items())
    return {"text": text or "no branch has a name yet", "branches": named}


def _history(session: Session, rest: str) -> Report:
    nodes = session.tree()
    numbered = enumerate(session.turns, 1)
    tip = session.state.tip
    rows = [{"number": n, "id": t.id, "parent": t.parent, "current": t.id == tip} for n, t in numbered]
    return {"text": "\n".join(tree_lines(nodes)) or "nothing was said yet", "turns": rows}


def _diff(session: Session, rest: str) -> Report:
    first, second = _two(session, rest.split())
    between = session.diff(first, second)
    sheet = None if between.pictures is None else session.bench.blobs.put(png_bytes(between.pictures))
    return {"text": marked(between.prompt) or "neither has a prompt", "diff": between.prompt, "picture": sheet}


def _mode(session: Session, rest: str) -> Report:
    if rest:
        session.set("mode", rest)
    return {"text": f"mode: {session.mode}", "mode": session.mode}


def _ask(session: Session, rest: str) -> Report:
    if rest:
        session.set("ask", rest)
    return {"text": f"ask: {session.asks}", "ask": session.asks}


def _look(session: Session, rest: str) -> Report:
    now = session.now
    if now.picture is None:
        raise BadInput("there is no picture to look at yet", "say what to draw")
    picture, tools = session.bench.picture(now.picture), session.bench.tools
    return found(tools.eyes, picture, in_words(rest, tools.likes(rest)), session.bench.seen(now))


def _save(session: Session, rest: str) -> Report:
    now, target = session.now, Path(_needed(rest, "/save FILE"))
    if now.picture is None:
        raise BadInput("there is no picture to save yet", "say what to draw")
    shown = next(turn for turn in reversed(session.path) if turn.picture)
    target = target if target.suffix else target.with_suffix(".png")
    made = shown.content.get("recipe")  # what was brought along has none
    recipe = Metadata(limner={"recipe": made}).recipe if made else None
    save_png(target, session.bench.picture(now.picture), recipe, _told(shown))
    return {"text": f"saved {target}", "file": str(target)}


def _quit(session: Session, rest: str) -> Report:
    return {"text": f"the session «{session.state.name}» stays", "quit": True}


_COMMANDS: Mapping[str, Callable[[Session, str], Report]] = {
    "/help": _help,
    "/undo": _undo,
    "/redo": _redo,
    "/branch": _branch,
    "/goto": _goto,
    "/history": _history,
    "/diff": _diff,
    "/mode": _mode,
    "/ask": _ask,
    "/look": _look,
    "/save": _save,
    "/quit": _quit,
}


def _forget(session: Session, rest: str) -> Work:
    turn = session.find(_needed(rest, "/forget TURN"))
    done = yield from session.forget(turn.id)
    gone = ", ".join(history.headline(each) for each in done.removed)
    lost = [f"no longer applies: {history.headline(each)} ({why})" for each, why in done.dropped]
    stays = filter(None, [history.stays(done.removed)])
    text = "\n".join([f"forgotten: {gone}", f"made again: {len(done.remade)}", *lost, *stays])
    dropped = [{"id": each.id, "reason": why} for each, why in done.dropped]
    told: Report = {"text": text, "picture": session.now.picture}
    return told | {"removed": [t.id for t in done.removed], "remade": [t.id for t in done.remade], "dropped": dropped}


def _open(session: Session, rest: str) -> Work:
    file = Path(_needed(rest, "/open FILE").strip("'\"")).expanduser()
    [turn] = yield from session.open(open_picture(file), file.name)
    return {"text": history.headline(turn), "turn": turn.id, "picture": turn.picture}


def _learn(session: Session, rest: str) -> Work:
    asked = _LESSON.fullmatch(rest)
    if asked is None:
        raise BadInput("it was not said what to learn it as", "/learn NAME [PICTURE] [like WORDS]")
    name, like = check_name(asked["name"]), asked["like"] or ""
    if asked["file"]:
        file = Path(asked["file"].strip("'\"")).expanduser()
        work = session.learn(name, open_picture(file), source=file.name, like=like)
    else:
        work = session.learn(name, like=like)
    [turn] = yield from work
    return {"text": f"say it: a <{name}> in the snow", "turn": turn.id, "name": name}


_LESSON = re.compile(r"(?P<name>\S+)(?:\s+(?P<file>(?!like\b).+?))??(?:\s+like\s+(?P<like>.+))?")
_LONG: Mapping[str, Callable[[Session, str], Work]] = {"/forget": _forget, "/learn": _learn, "/open": _open}


def _told(turn: Turn) -> dict[str, Any]:
    """What a saved file says besides: the turn, and of an edited picture where it came from."""
    content = turn.content
    if turn.kind == "open":
        return {}
    if turn.kind != "edit":
        return {"turn": turn.id, "scores": content["scores"], "threshold": content["threshold"]}
    return {"turn": turn.id, "lineage": {**content["lineage"], "from": content["from"]}}


def tree_lines(nodes: Sequence[Node], indent: str = "") -> Iterator[str]:
    """The tree as text, a line a turn: number, headline, branch names, and an arrow at where one is.

    A line of turns is drawn straight down; only a fork moves its children in.
    """
    waiting = _placed(nodes, indent)
    while waiting:  # a long talk is deeper than Python recurses
        node, before, below = waiting.pop()
        names = "".join(f" [{name}]" for name in node.names)
        yield f"{before}{node.number}. {history.headline(node.turn)}{names}{'  ← here' if node.current else ''}"
        waiting += _placed(node.children, below)


def _placed(nodes: Sequence[Node], indent: str) -> list[tuple[Node, str, str]]:
    """Nodes, the last first, each with what stands before its line and before those of its children."""
    if len(nodes) == 1:
        return [(nodes[0], indent, indent)]
    *others, last = nodes or (None,)
    rows = [(node, f"{indent}├ ", f"{indent}│ ") for node in others if node]
    return [*([(last, f"{indent}└ ", f"{indent}  ")] if last else []), *rows[::-1]]


def _at(session: Session, turn: Turn | None, otherwise: str = "") -> Report:
    text = f"at: {history.headline(turn)}" if turn else otherwise
    return {"text": text, "turn": turn.id if turn else None, "picture": session.now.picture}


def _two(session: Session, named: Sequence[str]) -> tuple[Turn, Turn]:
    """The turns to compare: those named, the last of them being where one is when it is not."""
    shown = [turn for turn in session.path if turn.picture]
    if len(named) == 2:
        return session.find(named[0]), session.find(named[1])
    if len(named) == 1 and shown:
        return session.find(named[0]), shown[-1]
    if len(named) > 2 or len(shown) < 2:
        raise BadInput("there are no two pictures to compare here", "/diff TURN TURN")
    return shown[-2], shown[-1]


def _needed(rest: str, usage: str) -> str:
    if not rest:
        raise BadInput("the command needs more", usage)
    return rest
