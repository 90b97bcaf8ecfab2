"""Two `limner serve` over one PostgreSQL and one folder of pictures: they share the queue, one outlives the other."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.web.processes import Served, followed, pictures, serving, submitted

pytest_plugins = ["tests.postgres"]
pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def tiny(checkpoints: Path) -> list[str]:
    return ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]


@contextmanager
def two(folder: Path, database: str, models: list[str]) -> Generator[tuple[Served, Served]]:
    """Two servers, as on two machines: only the database and the pictures are common."""
    shared = {"LIMNER_DATABASE_URL": database, "LIMNER_BLOBS_URL": str(folder / "pictures")}
    shared |= {"LIMNER_PRECISION": "float32", "XDG_CONFIG_HOME": str(folder / "config")}
    own = [{"LIMNER_DATA": str(folder / name), "LIMNER_CACHE": str(folder / "cache")} for name in "ab"]
    with serving(*models, variables=shared | own[0]) as a, serving(*models, variables=shared | own[1]) as b:
        yield a, b


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def steps_of(server: Served, job: dict[str, Any]) -> list[str]:
    """The kinds of a job's events, in order, without those that tell how far it is."""
    return [kind for kind in followed(server.client, job) if kind in ("queued", "started", "done", "failed")]


def test_two_servers_share_the_jobs_and_each_tells_of_all(postgres: str, tmp_path: Path, tiny: list[str]) -> None:
    with two(tmp_path, postgres, tiny) as (a, b):
        jobs = [submitted((a, b)[n % 2].client, seed=n, steps=4) for n in range(16)]
        with ThreadPoolExecutor(8) as pool:
            told = [list(pool.map(partial(steps_of, server), jobs)) for server in (a, b)]
        assert told == [[["queued", "started", "done"]] * len(jobs)] * 2
        begun = a.begun(), b.begun()
        assert all(begun)
        assert sorted(begun[0] + begun[1]) == sorted(job["id"] for job in jobs)  # Each by one worker, once.
        foreign = [job for n, job in enumerate(jobs) if job["id"] in begun[1 - n % 2]]
        assert foreign  # Done by the other server than the one that accepted them.
        for n, job in enumerate(jobs):
            here, there = pictures(a.client, job), pictures(b.client, job)
            assert here == there, n
            assert [each[:4] for each in here] == [b"\x89PNG"]


def leased(database: str, server: Served) -> set[str]:
    """The jobs that a server's worker has, by the database."""
    query = "SELECT id FROM limner_jobs WHERE state = 'running' AND worker LIKE %s"
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        return {row[0] for row in connection.execute(query, (f"%:{server.port}/%",))}


def test_what_a_killed_server_had_the_other_one_does(postgres: str, tmp_path: Path, tiny: list[str]) -> None:
    with two(tmp_path, postgres, tiny) as (a, b):
        jobs = [submitted((a, b)[n % 2].client, seed=n, steps=24) for n in range(12)]
        wait_until(lambda: len(a.begun()) > 0, 120)
        time.sleep(random.uniform(0, 1))
        a.kill()
        had = leased(postgres, a)
        assert had
        with ThreadPoolExecutor(len(jobs)) as pool:
            told = list(pool.map(partial(steps_of, b), jobs))
        again = ["queued", "started", "queued", "started", "done"]
        assert told == [again if job["id"] in had else ["queued", "started", "done"] for job in jobs]
        assert had <= set(b.begun())
        for job in jobs:
            assert [each[:4] for each in pictures(b.client, job)] == [b"\x89PNG"]
        assert b.client.get("/healthz").json() == {"store": True, "workers": 1}
