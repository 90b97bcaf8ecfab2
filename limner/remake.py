"""Turns made again from their records: what forgetting leaves, and what a replay compares."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from limner import history, perform
from limner.exchange import Exchange, Recorder
from limner.history import now_at
from limner.perform import INPUTS, Bench
from limner.turn import Turn, path_to
from limner.types import BadInput, Event, LimnerError


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of forgetting: the turns whose influence is gone, those made again, and those that no longer apply."""

    removed: tuple[Turn, ...]
    remade: tuple[Turn, ...]
    dropped: tuple[tuple[Turn, str], ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One turn made again: whether its picture has the same bytes, and all else is the same; `reason` if not."""

    number: int
    turn: Turn
    same_picture: bool
    same: bool
    reason: str = ""


def again(bench: Bench, path: Sequence[Turn], turn: Turn) -> Generator[Event, None, Turn]:
    """A turn made once more after `path`, with the replies that the language model gave the first time."""
    known: Sequence[Exchange] = turn.content.get("exchanges", ())
    exchanges = Recorder(bench.tools.language, known)
    started = time.monotonic()
    content = yield from perform.again(bench, now_at(path), turn, exchanges)
    inputs = {name: turn.content[name] for name in INPUTS if name in turn.content}
    parent = path[-1].id if path else None
    return Turn(parent, turn.kind, {**inputs, **content}, round(time.monotonic() - started, 3), time.time())


def remade(
    bench: Bench, kept: Sequence[Turn], later: Sequence[Turn]
) -> Generator[Event, None, tuple[list[Turn], list[tuple[Turn, str]]]]:
    """`later` made again after `kept`, each on those before it; and those that no longer apply, with the reason."""
    made, dropped = list[Turn](), list[tuple[Turn, str]]()
    for number, turn in enumerate(later):
        yield Event("again", history.headline(turn), number, len(later))
        try:
            made.append((yield from again(bench, [*kept, *made], turn)))
        except BadInput as error:
            dropped.append((turn, str(error)))
            yield Event("dropped", f"no longer applies: {history.headline(turn)} ({error.message})")
    return made, dropped


def replayed(bench: Bench, turns: Mapping[str, Turn]) -> Generator[Event, None, list[Replayed]]:
    """Every turn, by id in the order they were made, made again in its own place and compared."""
    found = list[Replayed]()
    for number, turn in enumerate(turns.values(), 1):
        yield Event("replay", history.headline(turn), number - 1, len(turns))
        try:
            new = yield from again(bench, path_to(turn.parent, turns), turn)
        except LimnerError as error:
            found.append(Replayed(number, turn, same_picture=False, same=False, reason=str(error)))
            continue
        same_picture, same = new.picture == turn.picture, new.id == turn.id
        found.append(Replayed(number, turn, same_picture, same, "" if same else _what_differs(turn, new)))
    return found


def _what_differs(old: Turn, new: Turn) -> str:
    names = sorted(n for n in {*old.content, *new.content} if old.content.get(n) != new.content.get(n))
    return f"differs in {', '.join(names)}"
