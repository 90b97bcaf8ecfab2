"""A session as the page sees it: read from the store alone, so that it can be looked at while a job changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limner import history
from limner.rewrite import word_diff
from limner.store import SessionState
from limner.turn import Turn, by_id, path_to

_SHOWN = (
    "picture", "prompt", "instruction", "scores", "threshold", "passed", "checks", "question", "choices", "reply",
    "writer", "drawn", "scorer", "llm", "name",
)  # fmt: skip
"""What is shown of a turn's content under its own name."""


def session_json(name: str, state: SessionState, turns: Sequence[Turn], job: str | None) -> dict[str, Any]:
    """The whole session; `name` is the user's own for it, `job` the id of the one that changes it."""
    ids = {id(turn): turn.id for turn in turns}  # an id is the hash of all content: taken once a turn
    known = {ids[id(turn)]: turn for turn in turns}
    path = path_to(state.tip, known)
    on_path = {ids[id(turn)] for turn in path}
    rows = [
        {**turn_json(turn, ids[id(turn)]), "number": number, "on_path": ids[id(turn)] in on_path}
        for number, turn in enumerate(turns, 1)
    ]
    return {
        "name": name,
        "tip": state.tip,
        "mode": state.settings.get("mode", "auto"),
        "ask": state.settings.get("ask", "needed"),
        "created": state.created,
        "branches": dict(state.branches),
        "question": _question(path),
        "can_undo": bool(path),
        "can_redo": bool(state.redo),
        "now": _now(path),
        "turns": rows,
        "job": job,
    }


def turn_json(turn: Turn, turn_id: str) -> dict[str, Any]:
    """One turn but for its place in the session."""
    content = turn.content
    shown: dict[str, Any] = {field: content[field] for field in _SHOWN if content.get(field) is not None}
    if turn.kind == "rewrite":
        shown["diff"] = word_diff(content["before"], content["prompt"])
    recipe: Mapping[str, Any] = content.get("recipe") or {}
    return {
        "id": turn_id,
        "parent": turn.parent,
        "kind": turn.kind,
        "headline": history.headline(turn),
        "said": str(content.get("about") or content.get("said") or ""),
        **shown,
        "seed": recipe.get("seed"),
        "drawn_with": recipe.get("prompt"),
        "warnings": list(content.get("warnings", ())),
        "created": turn.created,
        "seconds": turn.seconds,
    }


def _question(path: Sequence[Turn]) -> dict[str, Any] | None:
    if not path or path[-1].kind != "ask":
        return None
    content = path[-1].content
    return {"turn": path[-1].id, "text": content["question"], "choices": list(content.get("choices", ()))}


def _now(path: Sequence[Turn]) -> dict[str, Any] | None:
    """Where it stands; None before the first picture. An edit has checks and no scores."""
    shown = next((turn for turn in reversed(path) if turn.picture), None)
    if shown is None:
        return None
    fields = ("prompt", "picture", "passed", "scores", "threshold")
    return {field: shown.content.get(field) for field in fields}


def row(name: str, state: SessionState, turns: Sequence[Turn]) -> dict[str, Any]:
    """A session in a list."""
    now = history.now_at(path_to(state.tip, by_id(turns)))
    return {
        "name": name,
        "turns": len(turns),
        "shows": now.prompt,
        "picture": now.picture,
        "created": state.created,
    }
