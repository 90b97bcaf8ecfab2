"""A database to read from and to write to, one writer at a time, whose failures are told in one line.

SQLite keeps a write-ahead log and syncs it at every commit; a commit that returned outlives a kill and a power cut.
One that is not `lasting` is not synced: it outlives a kill, and a power cut once a later commit was synced.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError

from limner.types import BadInput, LimnerError

BUSY_SECONDS = 10
"""How long a writer waits for another one's end; a URL of SQLite's may say otherwise: `?timeout=`."""

_WRITERS = 0x6C696D6E6572
"""The key of PostgreSQL's advisory lock: «limner» in ASCII."""

_DIALECTS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_ADDRESSES = "give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
_LOCKED = ("is locked by another process", "wait for it to finish and try again; nothing was lost")
_READ_ONLY = ("cannot be written to", "see that its file and folder are yours; nothing was lost")
_FULL = ("could not be written: its disk is full or fails", "free some space and try again; nothing was lost")
# What the beginning of SQLite's error names and of PostgreSQL's SQLSTATE means to a user.
_FAILURES: dict[str, tuple[str, str]] = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": ("cannot be opened", "see that its file and folder are yours"),
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR": _FULL,
    "SQLITE_NOTADB": ("is a file of another kind, or damaged", "name another file, or bring it back from a copy"),
    "SQLITE_CORRUPT": ("is damaged", "bring it back from a copy"),
    "25006": _READ_ONLY,
    "53": _FULL,
    "55P03": _LOCKED,
}


class Database:
    """Connections to one database. Every method raises LimnerError, in one line, when it fails; see `_FAILURES`."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet; the folder of SQLite's file is made.

        Raises BadInput for a URL that is neither SQLite's nor PostgreSQL's, LimnerError where psycopg is missing.
        """
        self._url = _read_url(url)
        self._engine = _engine(self._url)
        self._writers = threading.Lock()  # SQLite's own waiting is not fair: threads of one process queue up here

    @property
    def shown(self) -> str:
        """What messages call it: never with user or password."""
        return f"the database {self._url.database}" + (f" on {self._url.host}" if self._url.host else "")

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A transaction that sees one state of the database throughout."""
        isolation = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self._told(), self._engine.connect() as plain:
            connection = plain.execution_options(**isolation)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, *, lasting: bool = True) -> Generator[sa.Connection]:
        """A transaction that no other one writes beside; committed when the block ends well, else undone."""
        with self._writers, self._told(), self._engine.connect() as plain:
            connection = plain.execution_options(limner_writes="lasting" if lasting else "for now")
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(sa.text(f"SET LOCAL synchronous_commit = {'on' if lasting else 'off'}"))
                    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'"))
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS)))
                yield connection

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            what, hint = _failure(error, self._url)
            raise LimnerError(f"{self.shown} {what}", hint) from error


def damage(connection: sa.Connection) -> list[str]:
    """What SQLite finds wrong with its own file; PostgreSQL looks after itself."""
    if connection.dialect.name != "sqlite":
        return []
    found = connection.execute(sa.text("PRAGMA integrity_check")).scalars().all()
    return [f"the database is damaged: {line}" for line in found if line != "ok"]


def _read_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # Not even a part of it is shown: a password may stand anywhere in what cannot be read.
        raise BadInput("the address of the database cannot be read", _ADDRESSES) from None
    if parsed.drivername not in _DIALECTS or not parsed.database:
        raise BadInput(f"no database can be opened at {parsed.drivername}://", _ADDRESSES)
    return parsed.set(drivername=_DIALECTS[parsed.drivername])


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    wait = {} if "connect_timeout" in url.query else {"connect_timeout": BUSY_SECONDS}
    try:
        return sa.create_engine(url, connect_args=wait, hide_parameters=True, pool_pre_ping=True)
    except ImportError as error:
        raise LimnerError("the driver for PostgreSQL is missing", "pip install 'limner[postgres]'") from error


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    folder = Path(str(url.database).removeprefix("file:")).parent  # a database may be named by an address of SQLite's
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LimnerError(f"cannot make the folder {folder}: {error.strerror}", "name another database") from error
    wait = {} if "timeout" in url.query else {"timeout": BUSY_SECONDS}
    engine = sa.create_engine(url, connect_args=wait, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Transactions are begun by `_begin_sqlite` and not by the driver, which would leave some statements outside."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes its lock at once: one that had begun to read could not wait for it."""
    writes = connection.get_execution_options().get("limner_writes")
    if writes:
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if writes == 'lasting' else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _failure(error: DBAPIError, url: sa.URL) -> tuple[str, str]:
    """What to tell about a driver's error: message and hint, without the password."""
    code = str(getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or "")
    for beginning, told in _FAILURES.items():
        if code.startswith(beginning):
            return told
    reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
    for secret in (url.password, url.query.get("password")):
        reason = reason.replace(secret, "***") if isinstance(secret, str) and secret else reason
    return f"failed: {reason}", "see that it is there and lets you in"
