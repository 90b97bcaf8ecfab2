"""A process is killed at instants that nobody chose; what it acknowledged is there, and nothing is half there."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limner.blobs import Blobs
from limner.store import Store
from limner.turn import by_id, path_to

pytest_plugins = ["tests.postgres"]

SESSION = "killed"
ROOT = Path(__file__).parent.parent


def killed(database: str, blobs: Path, acknowledged: int, seconds: float) -> list[str]:
    """Run a child until it acknowledged so many turns, and some seconds more; returns all that it acknowledged."""
    command = [sys.executable, "-m", "tests.killable", database, blobs, SESSION]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(1 + acknowledged)]
        time.sleep(seconds)
        child.kill()
        lines += child.stdout.readlines()
    assert child.returncode == -9
    assert lines[0] == "open\n"
    return [line.strip() for line in lines[1:] if line.endswith("\n")]


def kill_often(database: str, blobs: Path, instants: int) -> None:
    """Kill children one after the other in the same session, looking at the store after each."""
    safe: list[str] = []
    for instant in range(instants):
        safe += killed(database, blobs, acknowledged=instant % 4, seconds=random.uniform(0, 0.05))
        look_over(database, blobs, safe)


def look_over(database: str, blobs: Path, safe: list[str]) -> None:
    # Opening removes what a picture that was being written left behind; the database undoes its own last change.
    store = Store(database, Blobs(str(blobs)))
    assert store.check() == []
    if safe:
        turns = store.turns(SESSION)
        path = [turn.id for turn in path_to(store.load(SESSION).tip, by_id(turns))]
        assert [turn_id for turn_id in path if turn_id in safe] == safe
        assert len(path) == len(turns)
        assert len(path) % 2 == 0  # A save adds two turns or none.
    store.close()


def test_a_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    kill_often(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", 5)


def test_a_kill_loses_nothing_acknowledged_in_postgresql(postgres: str, tmp_path: Path) -> None:
    kill_often(postgres, tmp_path / "blobs", 2)


@pytest.mark.slow
@pytest.mark.long
def test_fifty_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    kill_often(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", 50)
