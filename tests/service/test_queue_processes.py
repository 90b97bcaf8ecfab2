"""Several processes at one queue, and processes that are killed at instants that nobody chose."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limner.service.queue import JobQueue
from tests.service.queues import draw, problems, queue_at

pytest_plugins = ["tests.postgres"]

ROOT = Path(__file__).parent.parent.parent


def child(database: str, blobs: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.service.killable_worker", database, blobs, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def drain(process: subprocess.Popen[str]) -> list[str]:
    """All the jobs that a worker says it did, until there are no more."""
    done: list[str] = []
    while (said := line(process)) != "idle":
        assert said, "the worker died"
        done.append(said)
    return done


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Kill a worker; returns what it said since it was last heard."""
    process.kill()
    with process:
        assert process.stdout is not None
        lines = process.stdout.readlines()
    assert process.returncode == -9
    return [said.strip() for said in lines if said.endswith("\n")]


def submit(queue: JobQueue, count: int) -> set[str]:
    """Jobs of a few users and shapes."""
    return {draw(queue, f"user{n % 3}", random.choice(["", "a", "b"])).id for n in range(count)}


def check_done(queue: JobQueue, jobs: set[str]) -> None:
    found = queue.list(limit=10_000)
    assert {job.id for job in found if job.state == "done"} == jobs
    assert problems(queue) == []
    for job in found:
        assert job.result is not None
        assert queue.store.blobs.get(job.result["picture"]) == job.id.encode()


def share(database: str, blobs: Path, count: int) -> None:
    with queue_at(database, blobs, bound=10_000) as queue:
        workers = [child(database, blobs, name) for name in "ab"]
        assert [line(worker) for worker in workers] == ["open", "open"]
        assert [line(worker) for worker in workers] == ["idle", "idle"]
        jobs = submit(queue, count)
        deadline = time.monotonic() + 120
        while len(queue.list(states=["done"], limit=10_000)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        done = [[said for said in finish(worker) if said not in ("idle", "")] for worker in workers]
        assert all(done)
        assert sorted(done[0] + done[1]) == sorted(jobs)  # Each by one worker, once.
        check_done(queue, jobs)


def kill_often(database: str, blobs: Path, instants: int) -> None:
    """Kill workers one after the other; what one acknowledged is done, and the next one does the rest."""
    with queue_at(database, blobs, bound=10_000, tries=1000) as queue:
        jobs: set[str] = set()
        safe: list[str] = []
        for instant in range(instants):
            jobs |= submit(queue, 12)
            worker = child(database, blobs, "killed")
            assert line(worker) == "open"
            safe += [line(worker) for _ in range(instant % 3)]
            time.sleep(random.uniform(0, 0.15))
            safe += finish(worker)
            acknowledged = {said for said in safe if said != "idle"}
            assert acknowledged <= {job.id for job in queue.list(states=["done"], limit=10_000)}
            assert problems(queue) == []
            queue.recover("killed/")
            assert queue.list(states=["running"]) == []
        last = child(database, blobs, "last")
        assert line(last) == "open"
        acknowledged = [said for said in safe if said != "idle"] + drain(last)
        finish(last)
        assert len(acknowledged) == len(set(acknowledged))
        check_done(queue, jobs)
        assert queue.store.check() == []


def test_two_processes_do_each_job_once(tmp_path: Path) -> None:
    share(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", 60)


def test_two_processes_do_each_job_once_in_postgresql(postgres: str, tmp_path: Path) -> None:
    share(postgres, tmp_path / "blobs", 40)


def test_a_kill_loses_no_job(tmp_path: Path) -> None:
    kill_often(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", 3)


def test_a_kill_loses_no_job_in_postgresql(postgres: str, tmp_path: Path) -> None:
    kill_often(postgres, tmp_path / "blobs", 1)


@pytest.mark.slow
@pytest.mark.long
def test_thirty_kills_lose_no_job(tmp_path: Path) -> None:
    kill_often(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", 30)


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_do_two_hundred_jobs_once(tmp_path: Path) -> None:
    share(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", 200)
