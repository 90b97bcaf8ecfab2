"""A real PostgreSQL for tests: a server of its own in a temporary folder, heard on a Unix socket only.

A test module says `pytest_plugins = ["tests.postgres"]` and asks for `postgres`. Skipped where Debian's package, or
another that brings `initdb`, is not installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

SECONDS_TO_START = 60


def programs() -> Path | None:
    """The folder with initdb and postgres: the newest of Debian's, or the one on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def account() -> int | None:
    """The user to run as when we are root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return known.get("postgres", known.get("nobody"))


@contextmanager
def server(folder: Path, bin_folder: Path, user: int | None) -> Generator[str]:
    """Run a server whose files and socket lie in `folder`; yields a URL of its database."""
    initdb = [bin_folder / "initdb", "-D", "data", "-U", "limner", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    groups: list[int] | None = None if user is None else []
    with (folder / "log").open("w") as log:
        subprocess.run(initdb, cwd=folder, user=user, extra_groups=groups, stdout=log, stderr=log, check=True)
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=20"]
        command = [bin_folder / "postgres", "-D", "data", "-k", folder, *options]
        process = subprocess.Popen(command, cwd=folder, user=user, extra_groups=groups, stdout=log, stderr=log)
    try:
        wait_for(f"host={folder} user=limner dbname=postgres", process, folder / "log")
        yield f"postgresql+psycopg://limner@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    """The URL of a running server's database."""
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = account()
    # Not pytest's own folder, which another user may not enter; and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="limner-pg-") as name:
        if user is not None:
            os.chown(name, user, -1)
        with server(Path(name), bin_folder, user) as url:
            yield url


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database."""
    with psycopg.connect(postgres_server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_server
