"""Sessions and their turns in a database, and whether all of it is as it was written.

A change is one transaction: all of it is there, or nothing. A session that another process changed in the meantime is
refused, never overwritten. A turn's picture is in `Blobs` before the turn is saved, so that what was acknowledged is
whole after a kill at any instant.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from limner.store.database import Database, damage
from limner.store.jobs import pictures_named
from limner.store.schema import SESSIONS, TURNS, migrate
from limner.turn import Turn, canonical
from limner.types import BadInput, LimnerError

if TYPE_CHECKING:
    from limner.blobs import Blobs

GRACE_SECONDS = 3600
"""A picture that no turn names is left alone for so long: another process may be about to save the turn."""

_NAME = re.compile(r"[\w-][\w.-]{0,63}")
_Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session but for its turns.

    `settings` holds JSON values, `tip` is the id of the current turn (None before the first), `redo` the turns that
    redo goes to, the next one last, `branches` names turns by id. `version` counts the changes, 0 for a session that
    is not stored yet; `created` is Unix time.
    """

    name: str
    settings: Mapping[str, Any]
    tip: str | None = None
    redo: tuple[str, ...] = ()
    branches: Mapping[str, str] = field(default_factory=dict[str, str])
    version: int = 0
    created: float = 0.0


class Store:
    """Sessions and turns in a database, their pictures in `blobs`.

    Every method raises LimnerError, in one line, when the database is locked, read-only, full, damaged or away;
    nothing that was stored is lost then.
    """

    def __init__(self, url: str, blobs: Blobs) -> None:
        """Open the database and bring it to this version's form; SQLite's file and its folder are made.

        `url` is sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME. Raises BadInput for another, LimnerError
        where psycopg is missing and for a database of a newer Limner.
        """
        self.blobs = blobs
        self._database = Database(url)
        try:
            migrate(self._database)
        except BaseException:
            self.close()
            raise

    @property
    def database(self) -> Database:
        """Where the other tables of this package are, too."""
        return self._database

    def close(self) -> None:
        """Close the connections. A process that ends without it loses nothing."""
        self._database.close()

    def sessions(self) -> list[SessionState]:
        """All sessions, the one that was changed last first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(SESSIONS).order_by(SESSIONS.c.changed.desc(), SESSIONS.c.name)).all()
        return [_state(row) for row in rows]

    def create(self, name: str, settings: Mapping[str, Any]) -> SessionState:
        """Begin a session without turns. Raises BadInput for a name that is taken or is none."""
        return self.save(SessionState(name, settings, created=time.time()))

    def check_free(self, name: str) -> None:
        """Raise BadInput for a name that is taken or is none, before work is done for it."""
        with self._database.reading() as connection:
            _check_version(connection, SessionState(name, {}))

    def load(self, name: str) -> SessionState:
        """A session's state. Raises BadInput, naming those that exist, where there is none of that name."""
        with self._database.reading() as connection:
            return _load(connection, name)

    def turns(self, name: str) -> list[Turn]:
        """A session's turns, in the order they were added. Raises BadInput like `load`."""
        with self._database.reading() as connection:
            _load(connection, name)
            return [_turn(row) for row in _turn_rows(connection, name)]

    def save(self, state: SessionState, turns: Sequence[Turn] = ()) -> SessionState:
        """Store a state and add turns to its session, in one transaction; returns the state with version + 1.

        A turn whose id is there is left alone. A state of version 0 begins a session: BadInput when its name is taken
        or is none. Raises LimnerError when another process changed or removed the session since `state` was read, or
        removed a new turn's picture; ValueError for a parent, tip, redo or branch that is not a turn of the session.
        """
        with self._database.writing() as connection:
            _check_version(connection, state)
            query = sa.select(TURNS.c.id).where(TURNS.c.session == state.name)
            known = set(connection.execute(query).scalars())
            new = {turn.id: turn for turn in turns if turn.id not in known}
            _check_tree(state, known, new)
            self._check_pictures(new.values())
            saved = replace(state, version=state.version + 1)
            _write_state(connection, saved)
            rows = [_turn_values(state.name, place, turn) for place, turn in enumerate(new.values(), len(known))]
            if rows:
                connection.execute(sa.insert(TURNS), rows)
        return saved

    def remove(self, name: str) -> None:
        """Remove a session, its turns, and its pictures that nothing else names; BadInput like `load`.

        All other pictures that nothing names go too, as `tidy` does it.
        """
        with self._database.writing() as connection:
            _load(connection, name)
            query = sa.select(TURNS.c.picture).where(TURNS.c.session == name)
            mine = set(connection.execute(query).scalars())
            connection.execute(sa.delete(TURNS).where(TURNS.c.session == name))
            connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.name == name))
        # After the commit: a kill in between leaves pictures without turns, never turns without pictures.
        self.tidy(mine)

    def tidy(self, mine: Collection[str | None] = ()) -> None:
        """Remove the pictures that no turn and no job names: those in `mine`, and all older than GRACE_SECONDS.

        A process that was killed leaves such pictures, and so do jobs that were removed.
        """
        # While nobody else writes: a turn that is saved beside this would lose its picture.
        with self._database.writing() as connection:
            for sha256 in set(self.blobs) - _pictures(connection):
                if sha256 in mine or self.blobs.age(sha256) > GRACE_SECONDS:
                    self.blobs.remove(sha256)

    def check(self) -> list[str]:
        """Every problem in words, [] when all is well: turns' hashes, where their ids lead, pictures' bytes."""
        with self._database.reading() as connection:
            problems = damage(connection)
            for row in connection.execute(sa.select(SESSIONS).order_by(SESSIONS.c.name)).all():
                problems += _session_problems(row, _turn_rows(connection, row.name))
            used = _pictures(connection)
        return problems + self._picture_problems(used)

    def _picture_problems(self, used: set[str]) -> list[str]:
        """Pictures that are missing or altered, and files that were left half-written."""
        problems: list[str] = []
        for sha256 in sorted(used.union(self.blobs)):
            try:
                self.blobs.get(sha256)
            except LimnerError as error:
                problems.append(error.message)
        return problems + [f"{part} was left half-written" for part in self.blobs.leftovers()]

    def _check_pictures(self, turns: Collection[Turn]) -> None:
        for turn in turns:
            if turn.kept is not None and not self.blobs.has(turn.kept):
                raise LimnerError(f"picture {turn.kept} of a new turn is not in the store", "do that step again")


def _load(connection: sa.Connection, name: str) -> SessionState:
    # A name that is none is not looked for: PostgreSQL, for one, does not take every string.
    query = sa.select(SESSIONS).where(SESSIONS.c.name == name)
    row = connection.execute(query).one_or_none() if _NAME.fullmatch(name) else None
    if row is not None:
        return _state(row)
    names = ", ".join(connection.execute(sa.select(SESSIONS.c.name).order_by(SESSIONS.c.name)).scalars())
    raise BadInput(f"there is no session «{name[:64]}»", f"there are: {names}" if names else "there are none yet")


def _turn_rows(connection: sa.Connection, name: str) -> Sequence[_Row]:
    return connection.execute(sa.select(TURNS).where(TURNS.c.session == name).order_by(TURNS.c.place)).all()


def _pictures(connection: sa.Connection) -> set[str]:
    """The pictures that any turn or job names."""
    turns = connection.execute(sa.select(TURNS.c.picture).where(TURNS.c.picture.is_not(None))).scalars()
    return {*turns, *pictures_named(connection)}


def _check_version(connection: sa.Connection, state: SessionState) -> None:
    if not _NAME.fullmatch(state.name):
        raise BadInput(f"{state.name[:64]!r} is no name for a session", "1 to 64 letters, digits, - _ . (not first)")
    version = connection.execute(sa.select(SESSIONS.c.version).where(SESSIONS.c.name == state.name)).scalar()
    if version is not None and state.version == 0:
        raise BadInput(f"there is a session «{state.name}» already", "choose another name")
    if (version or 0) != state.version:
        happened = "removed" if version is None else "changed"
        raise LimnerError(f"the session «{state.name}» was {happened} by another process", "open it again")


def _check_tree(state: SessionState, known: set[str], new: Mapping[str, Turn]) -> None:
    seen = set(known)
    for turn_id, turn in new.items():
        if turn.parent is not None and turn.parent not in seen:
            raise ValueError(f"turn {turn_id} comes before its parent {turn.parent}")
        seen.add(turn_id)
    for what, turn_id in _named(state):
        if turn_id not in seen:
            raise ValueError(f"the {what} is no turn of the session: {turn_id}")


def _named(state: SessionState) -> list[tuple[str, str]]:
    """The turns that a state names, and what as."""
    tip = [] if state.tip is None else [("tip", state.tip)]
    return [*tip, *(("redo", i) for i in state.redo), *((f"branch «{n}»", i) for n, i in state.branches.items())]


def _session_problems(row: _Row, turn_rows: Sequence[_Row]) -> list[str]:
    problems: list[str] = []
    seen: set[str] = set()
    for turn_row in turn_rows:
        whose = f"turn {turn_row.id[:12]} of session «{row.name}»"
        seen.add(turn_row.id)
        if turn_row.parent is not None and turn_row.parent not in seen:
            problems.append(f"the parent of {whose} is missing: {turn_row.parent[:12]}")
        if not _is_whole(turn_row):
            problems.append(f"{whose} was altered: its content does not fit its id")
    try:
        named = _named(_state(row))
    except LimnerError as error:
        return [*problems, error.message]
    return problems + [f"the {w} of session «{row.name}» leads nowhere: {i[:12]}" for w, i in named if i not in seen]


def _is_whole(row: _Row) -> bool:
    try:
        turn = _turn(row)
        return turn.id == row.id and turn.kept == row.picture
    except (LimnerError, ValueError, RecursionError):
        return False


def _state(row: _Row) -> SessionState:
    try:
        settings, redo, branches = (json.loads(text) for text in (row.settings, row.redo, row.branches))
        return SessionState(row.name, settings, row.tip, tuple(redo), dict(branches), row.version, row.created)
    except (ValueError, TypeError, RecursionError) as error:
        raise LimnerError(f"the record of session «{row.name}» is damaged", "limner doctor looks it over") from error


def _turn(row: _Row) -> Turn:
    try:
        return Turn(row.parent, row.kind, json.loads(row.content), row.seconds, row.created)
    except (ValueError, RecursionError) as error:
        raise LimnerError(f"the record of turn {row.id[:12]} is damaged", "limner doctor looks it over") from error


def _write_state(connection: sa.Connection, state: SessionState) -> None:
    values: dict[str, Any] = {
        "settings": canonical(state.settings).decode(),
        "tip": state.tip,
        "redo": canonical(state.redo).decode(),
        "branches": canonical(state.branches).decode(),
        "version": state.version,
        "changed": time.time(),
    }
    if state.version == 1:
        connection.execute(sa.insert(SESSIONS).values(name=state.name, created=state.created, **values))
    else:
        connection.execute(sa.update(SESSIONS).where(SESSIONS.c.name == state.name).values(**values))


def _turn_values(session: str, place: int, turn: Turn) -> dict[str, Any]:
    return {
        "session": session,
        "id": turn.id,
        "place": place,
        "parent": turn.parent,
        "kind": turn.kind,
        "content": canonical(turn.content).decode(),
        "picture": turn.kept,
        "seconds": turn.seconds,
        "created": turn.created,
    }
