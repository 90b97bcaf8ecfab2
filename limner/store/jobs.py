"""Jobs and their events in the store's database: the SQL, and nothing of what it is for (limner.service.queue).

A record is a job's row as a dict: the columns of `schema.JOBS`, with `params`, `result` and `error` read from JSON.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from limner.store.database import Database
from limner.store.schema import JOB_EVENTS, JOBS
from limner.turn import canonical
from limner.types import LimnerError

Record = dict[str, Any]
Content = Mapping[str, Any]
"""An event's message, done, total and data."""

_JSON = ("params", "result", "error")
_LIGHT = [column for column in JOBS.c if column.name not in _JSON]
_NAMING = ("picture", "mask", "open")
_PICTURE = re.compile(rf'"(?:{"|".join(_NAMING)})":"([0-9a-f]{{64}})"')
"""How canonical JSON names a picture of the store; within a string, its quotes would have backslashes."""


@contextmanager
def reading(database: Database) -> Generator[Jobs]:
    """The jobs as they are at one instant."""
    with database.reading() as connection:
        yield Jobs(connection)


@contextmanager
def writing(database: Database, *, lasting: bool = True) -> Generator[Jobs]:
    """The jobs, which nobody else changes in the block; what the block changed is there as a whole or not at all."""
    with database.writing(lasting=lasting) as connection:
        yield Jobs(connection)


def pictures_in(value: object) -> set[str]:
    """The pictures of the store that a JSON value names: each sha256 under a key picture, mask or open."""
    return set(_PICTURE.findall(canonical(value).decode()))


def pictures_named(connection: sa.Connection) -> set[str]:
    """The pictures that any job or event names."""
    found: set[str] = set()
    for column in (JOBS.c.params, JOBS.c.result, JOB_EVENTS.c.content):
        names_one = sa.or_(*(column.like(f'%"{key}":"%') for key in _NAMING))
        for text in connection.execute(sa.select(column).where(names_one)).scalars():
            found.update(_PICTURE.findall(text))
    return found


class Jobs:
    """The jobs of a database within one transaction, which begins at `now`: Unix time by the database's own clock."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.now = _now(connection)

    def add(self, values: Record) -> None:
        """Add a job behind all others, without events. `values` lacks only place and last."""
        place = sa.select(sa.func.coalesce(sa.func.max(JOBS.c.place), 0) + 1).scalar_subquery()
        self._connection.execute(sa.insert(JOBS).values(**_written(values), place=place, last=0))

    def get(self, job: str) -> Record | None:
        """One job."""
        row = self._connection.execute(sa.select(JOBS).where(JOBS.c.id == job)).mappings().one_or_none()
        return None if row is None else _read(row)

    def find(self, owner: str | None, states: Collection[str], limit: int) -> list[Record]:
        """The newest jobs of an owner and of some states, of all for None and for no states."""
        query = sa.select(JOBS).order_by(JOBS.c.place.desc()).limit(limit)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if states:
            query = query.where(JOBS.c.state.in_(states))
        return [_read(row) for row in self._connection.execute(query).mappings()]

    def of_state(self, state: str) -> list[Record]:
        """The jobs of a state, the oldest first, without what is JSON."""
        query = sa.select(*_LIGHT).where(JOBS.c.state == state).order_by(JOBS.c.place)
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def before(self, place: int | None = None) -> int:
        """How many jobs are queued, or only before a place."""
        query = sa.select(sa.func.count()).select_from(JOBS).where(JOBS.c.state == "queued")
        return self._connection.execute(query if place is None else query.where(JOBS.c.place < place)).scalar_one()

    def waiting(self) -> dict[str, int]:
        """How many jobs of each owner are queued; those who have none are left out."""
        query = sa.select(JOBS.c.owner, sa.func.count().label("jobs")).where(JOBS.c.state == "queued")
        return {row.owner: row.jobs for row in self._connection.execute(query.group_by(JOBS.c.owner))}

    def ends(self, since: float, most: int) -> list[float]:
        """When the jobs that were done since some time ended, the newest first."""
        query = sa.select(JOBS.c.finished).where(JOBS.c.state == "done", JOBS.c.finished > since)
        return list(self._connection.execute(query.order_by(JOBS.c.finished.desc()).limit(most)).scalars())

    def change(self, job: str, **values: Any) -> None:
        """Set some columns of a job."""
        self._connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values(**_written(values)))

    def hold(self, jobs: Collection[str], until: float) -> None:
        """Let leases end at another time."""
        self._connection.execute(sa.update(JOBS).where(JOBS.c.id.in_(jobs)).values(lease=until))

    def tell(self, job: str, events: Iterable[tuple[str, Content]], last: int, **values: Any) -> int:
        """Add events, as kind and content, behind those of a job that is there, and set some columns of it.

        `last` is the number of its newest event until now. Returns that of the newest one then.
        """
        told = [(kind, canonical(content).decode()) for kind, content in events]
        rows = [
            {"job": job, "seq": seq, "kind": kind, "content": content, "created": self.now}
            for seq, (kind, content) in enumerate(told, last + 1)
        ]
        if rows:
            self._connection.execute(sa.insert(JOB_EVENTS), rows)
        if rows or values:
            self.change(job, **values, last=last + len(rows))
        return last + len(rows)

    def events(self, job: str, after: int) -> list[Record]:
        """The events of a job with larger numbers: seq, kind, created, message, done, total, data."""
        query = sa.select(JOB_EVENTS).where(JOB_EVENTS.c.job == job, JOB_EVENTS.c.seq > after)
        rows = self._connection.execute(query.order_by(JOB_EVENTS.c.seq)).all()
        return [{"seq": row.seq, "kind": row.kind, "created": row.created, **_json(row.content)} for row in rows]

    def thin(self, job: str, kinds: Sequence[str], most: int) -> None:
        """Remove all but the newest `most` events of some kinds."""
        mine = (JOB_EVENTS.c.job == job) & JOB_EVENTS.c.kind.in_(kinds)
        query = sa.select(JOB_EVENTS.c.seq).where(mine).order_by(JOB_EVENTS.c.seq.desc()).offset(most).limit(1)
        newest = self._connection.execute(query).scalar()
        if newest is not None:
            self._connection.execute(sa.delete(JOB_EVENTS).where(mine, JOB_EVENTS.c.seq <= newest))

    def latest(self, jobs: Collection[str]) -> dict[str, int]:
        """The number of the newest event of each of some jobs; those that are gone are left out."""
        query = sa.select(JOBS.c.id, JOBS.c.last).where(JOBS.c.id.in_(jobs))
        return {row.id: row.last for row in self._connection.execute(query)}

    def remove(self, states: Collection[str], before: float) -> int:
        """Remove the jobs of some states that finished before some time, with their events; returns how many."""
        old = JOBS.c.state.in_(states) & (JOBS.c.finished < before)
        ids = sa.select(JOBS.c.id).where(old)
        self._connection.execute(sa.delete(JOB_EVENTS).where(JOB_EVENTS.c.job.in_(ids)))
        return self._connection.execute(sa.delete(JOBS).where(old)).rowcount


def _now(connection: sa.Connection) -> float:
    """PostgreSQL's clock, which all its clients share; SQLite's only clock is that of the machine.

    Not the time at which PostgreSQL's transaction began: it may have waited for the writer before it.
    """
    if connection.dialect.name == "sqlite":
        return time.time()
    seconds = sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Double)
    return connection.execute(sa.select(seconds)).scalar_one()


def _written(values: Mapping[str, Any]) -> Record:
    return {n: canonical(v).decode() if n in _JSON and v is not None else v for n, v in values.items()}


def _read(row: Mapping[Any, Any]) -> Record:
    return {name: _json(value) if name in _JSON and value is not None else value for name, value in row.items()}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LimnerError("the record of a job is damaged", "limner doctor looks it over") from error
