"""A session's tree, read: where a conversation stands, what its turns are called, and what two of them differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limner import rules
from limner.perform import Now
from limner.rewrite import DiffKind, word_diff
from limner.turn import Turn, by_id, path_to
from limner.types import BadInput
from limner.world.dialogue import EDIT, Utterance

_LEAST_PREFIX = 4
"""So many characters of an id name a turn, where only one begins with them."""


@dataclass(frozen=True, slots=True)
class Node:
    """A turn in the tree: its number (from 1, as they were made), the branches that end at it, its children."""

    number: int
    turn: Turn
    names: tuple[str, ...]
    current: bool
    children: tuple[Node, ...]


def now_at(path: Sequence[Turn]) -> Now:
    """Where the conversation stands after these turns."""
    now = Now(depth=len(path))
    drawn = [turn for turn in path if turn.kind in ("draw", "rewrite")]
    pictured = [turn for turn in path if turn.picture]
    if not pictured:
        return now
    last = pictured[-1]
    return Now(
        prompt=last.content["prompt"],
        picture=last.picture,
        seed=drawn[-1].content["recipe"]["seed"] if drawn else 0,
        edited=last.kind in ("edit", "open"),
        original=last.content.get("from"),
        kind=str(last.content["change"]["kind"]) if last.kind == "edit" else "",
        depth=len(path),
    )


def utterances(path: Sequence[Turn]) -> list[Utterance]:
    """What was said since the last picture was drawn anew, in the form that clarifying reads."""
    said: list[Utterance] = []
    for before, turn in zip((None, *path), path, strict=False):
        words = Utterance("user", str(turn.content.get("about", turn.content.get("said", ""))))
        if turn.kind in ("draw", "open"):
            said.clear()
        elif turn.kind == "ask":
            said += [words, Utterance("system", turn.content["question"])]
        elif turn.kind == "answer":
            said.append(words)
        elif turn.kind in ("edit", "rewrite"):
            answered = before is not None and before.kind == "answer"
            said += [*([] if answered else [words]), Utterance("system", f"{EDIT} {turn.content['instruction']}")]
    return said


def group_at(path: Sequence[Turn], index: int) -> range:
    """The places in a path of the turns that belong together with one: question, answer, and what came of it."""
    start = end = index
    while start > 0 and _go_together(path[start - 1], path[start]):
        start -= 1
    while end + 1 < len(path) and _go_together(path[end], path[end + 1]):
        end += 1
    return range(start, end + 1)


def _go_together(before: Turn, after: Turn) -> bool:
    """A question with its answer or with its next wording, an answer with what was done then."""
    if before.kind == "ask":
        return after.kind in ("ask", "answer")
    return before.kind == "answer" and after.kind in ("edit", "rewrite")


def find(turns: Sequence[Turn], branches: Mapping[str, str], named: str) -> Turn:
    """The turn that a number, a branch or the beginning of an id names. Raises BadInput for none or several."""
    if named in branches:
        return by_id(turns)[branches[named]]
    if named.isdecimal() and 1 <= int(named) <= len(turns):
        return turns[int(named) - 1]
    found = [turn for turn in turns if len(named) >= _LEAST_PREFIX and turn.id.startswith(named)]
    if len(found) == 1:
        return found[0]
    raise BadInput(
        f"{len(found) or 'no'} turns are called «{named}»", "give a number of /history, a branch, or more of an id"
    )


def spoken_of(path: Sequence[Turn], words: str) -> Turn:
    """The last turn of a path that was about these words; the last of all for «that».

    What was done counts before how it was said, for one sentence may have asked for several things. Raises BadInput for
    none, and for the first picture: without that nothing would be left.
    """
    wanted = rules.content_words(words)
    acting = [turn for turn in reversed(path) if turn.kind in ("draw", "rewrite", "edit")]
    about = (turn for wording in (_done, _said) for turn in acting if wanted <= rules.content_words(wording(turn)))
    found = next(about, None)
    if found is None:
        raise BadInput(f"nothing was said of «{words}» here", "name a turn of /history by its number")
    if found is acting[-1] and found.kind == "draw":
        raise BadInput(f"«{words}» belongs to the first picture", "say what to remove from it, or start over")
    return found


def _done(turn: Turn) -> str:
    return str(turn.content["prompt" if turn.kind == "draw" else "instruction"])


def _said(turn: Turn) -> str:
    return str(turn.content.get("said", ""))


def tree(turns: Sequence[Turn], tip: str | None, branches: Mapping[str, str]) -> tuple[Node, ...]:
    """The first turns, each with what came of it."""
    numbers = {turn.id: number for number, turn in enumerate(turns, 1)}
    names = {turn_id: tuple(n for n, t in branches.items() if t == turn_id) for turn_id in branches.values()}
    below: dict[str | None, list[Turn]] = {}
    for turn in turns:
        below.setdefault(turn.parent, []).append(turn)

    nodes: dict[str, Node] = {}
    for turn in reversed(turns):  # children are made after their parents; a long talk is deeper than Python recurses
        children = tuple(nodes[child.id] for child in below.get(turn.id, []))
        nodes[turn.id] = Node(numbers[turn.id], turn, names.get(turn.id, ()), turn.id == tip, children)
    return tuple(nodes[turn.id] for turn in below.get(None, []))


def headline(turn: Turn) -> str:
    """One line that says what a turn was."""
    content = turn.content
    match turn.kind:
        case "draw":
            return f"draw: {content['prompt']}"
        case "open":
            return f"opened {content['source']}: {content['prompt']}"
        case "rewrite" | "edit":
            return f"{turn.kind}: {content['instruction']}{'' if content.get('passed', True) else ' (not quite)'}"
        case "ask":
            return f"asked: {content['question']}"
        case "answer":
            return f"answered: {content['said']}"
        case "learn":
            like = f", like {content['like']}" if content.get("like") else ""
            return f"learned <{content['name']}> from {content['source']}{like}"
        case _:
            return f"{turn.kind}: {content.get('said', '')}"


def stays(left: Sequence[Turn]) -> str:
    """What is to be said of turns that were left: a concept is a file of its own, which stays; "" for none."""
    names = dict.fromkeys(f"<{turn.content['name']}>" for turn in left if turn.kind == "learn")
    return f"{', '.join(names)} stays on the shelf; limner concepts rm takes it off" if names else ""


def prompt_difference(turns: Sequence[Turn], first: Turn, second: Turn) -> list[tuple[DiffKind, str]]:
    """The word diff of the prompts that describe the pictures at two turns."""
    known = by_id(turns)
    prompts = [now_at(path_to(turn.id, known)).prompt or "" for turn in (first, second)]
    return word_diff(prompts[0], prompts[1])


def turn_report(turn: Turn, parent: int | None = None) -> dict[str, Any]:
    """A turn as `limner chat --json` prints it: all of it, its id, and the number of its parent where that is known."""
    row: dict[str, Any] = {"id": turn.id, "kind": turn.kind, "headline": headline(turn)}
    return {**row, "parent": parent, "seconds": turn.seconds, "created": turn.created, "content": dict(turn.content)}
