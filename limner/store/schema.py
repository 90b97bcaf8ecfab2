"""The tables, and the steps that bring a database of any earlier version to them."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from limner.store.database import Database
from limner.types import LimnerError

_TABLES = sa.MetaData()
_APPLIED = sa.Table("limner_migrations", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True))

SESSIONS = sa.Table(
    "limner_sessions",
    _TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("tip", sa.Text),
    sa.Column("redo", sa.Text, nullable=False),
    sa.Column("branches", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("changed", sa.Double, nullable=False),
)
"""`settings`, `redo` and `branches` are JSON."""

# JSON stays text: a turn's id is the hash of its text, and PostgreSQL's own type does not take every string.
TURNS = sa.Table(
    "limner_turns",
    _TABLES,
    sa.Column("session", sa.Text, sa.ForeignKey(SESSIONS.c.name), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("parent", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("picture", sa.Text, index=True),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.UniqueConstraint("session", "place"),
)
"""`place` counts a session's turns from 0 in the order they were added; `content` is JSON; `picture`, which the
store keeps for the turn, is in it too."""

_JOB_TABLES = sa.MetaData()

JOBS = sa.Table(
    "limner_jobs",
    _JOB_TABLES,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("started", sa.Double),
    sa.Column("finished", sa.Double),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("cancel", sa.Boolean, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("lease", sa.Double),
    sa.Column("last", sa.Integer, nullable=False),
)
"""`place` counts the jobs in the order they were submitted; `params`, `result` and `error` are JSON; `worker` has a
running job until `lease` (the database's clock); `last` is the number of the newest event."""

JOB_EVENTS = sa.Table(
    "limner_job_events",
    _JOB_TABLES,
    sa.Column("job", sa.Text, sa.ForeignKey(JOBS.c.id), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
"""`content` is the JSON of message, done, total and data."""

Migration = Callable[[sa.Connection], None]
MIGRATIONS: list[Migration] = []
"""In the order they are applied. One that was released is never changed, renamed or removed."""


def migration(step: Migration) -> Migration:
    """Add a step to the next form of the database, which remembers it by its function's name."""
    MIGRATIONS.append(step)
    return step


@migration
def m001_sessions_and_turns(connection: sa.Connection) -> None:
    """The first tables. The first later migration that changes one leaves a copy of them, as they are now, in here."""
    _TABLES.create_all(connection)


@migration
def m002_jobs(connection: sa.Connection) -> None:
    """The queue of jobs. The first later migration that changes it leaves a copy of its tables in here."""
    _JOB_TABLES.create_all(connection)


def migrate(database: Database) -> None:
    """Apply the steps that the database has not seen, each in its own transaction; several processes may do so at once.

    Raises LimnerError for a database that has seen steps which this version does not know.
    """
    with database.reading() as connection:
        done = _applied(connection)
    if unknown := done.difference(step.__name__ for step in MIGRATIONS):
        raise LimnerError(f"{database.shown} was made by a newer Limner ({min(unknown)})", "update Limner to open it")
    for step in MIGRATIONS:
        if step.__name__ not in done:
            _apply(database, step)


def _apply(database: Database, step: Migration) -> None:
    with database.writing() as connection:
        _APPLIED.create(connection, checkfirst=True)
        if step.__name__ not in _applied(connection):
            step(connection)
            connection.execute(sa.insert(_APPLIED).values(name=step.__name__))


def _applied(connection: sa.Connection) -> set[str]:
    if not sa.inspect(connection).has_table(_APPLIED.name):
        return set()
    return set(connection.execute(sa.select(_APPLIED.c.name)).scalars())
