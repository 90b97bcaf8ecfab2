"""Workers as processes that die at instants which nobody chose: no job is lost, none is done without its picture."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from limner.service.queue import JobQueue
from limner.service.staff import Staff
from limner.service.values import Job
from limner.service.watch import Bell
from tests.service.easels import until
from tests.service.serving import begun, killed, processes, staff_for
from tests.service.workplace import ended, queue_in

PROMPT = "a red circle and a blue square"


@contextmanager
def at_work(folder: Path, step_s: str = "0.02", tries: int = 2) -> Generator[tuple[JobQueue, Staff]]:
    queue = queue_in(folder, tries=tries, bound=1000)
    staff = staff_for(queue, folder, step_s)
    staff.start()
    try:
        yield queue, staff
    finally:
        staff.close()


def submit(queue: JobQueue, seed: int, **params: object) -> Job:
    return queue.submit("local", "draw", {"prompt": PROMPT, "seed": seed, "count": 1, "rounds": 1, **params}, "48x48")


def our_workers() -> list[psutil.Process]:
    return processes(psutil.Process().pid)


def kill_a_worker() -> None:
    for process in our_workers():
        process.kill()


def look_over(queue: JobQueue, jobs: list[Job]) -> None:
    """Every accepted job has ended: done, with its picture in the store, or failed, because its worker died."""
    for job in (queue.get(each.id) for each in jobs):
        last = queue.events(job.id)[-1]
        assert last.kind == job.state
        if job.state == "done":
            assert job.result
            assert all(queue.store.blobs.get(each["picture"]) for each in job.result["pictures"])
        else:
            assert (job.state, job.error and job.error["message"]) == ("failed", "the worker died 2 times")


def test_a_job_is_done_and_a_listener_woken_and_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    queue, bell = queue_in(tmp_path), Bell()
    staff = staff_for(queue, tmp_path, server=bell)
    staff.start()
    job = submit(queue, 1)
    assert bell.wait(20)
    assert ended(queue, job)[0].state == "done"
    assert staff.alive == len(our_workers()) == 1
    waiting = submit(queue, 2, steps=200)
    until(lambda: queue.get(waiting.id).state == "running")
    started = time.monotonic()
    staff.close()
    assert time.monotonic() - started < 2
    assert our_workers() == []
    found = queue.get(waiting.id)
    assert (found.state, found.attempts) == ("queued", 0)
    staff.close()


def test_a_worker_that_dies_is_replaced_and_what_kills_it_again_fails(tmp_path: Path) -> None:
    with at_work(tmp_path, "0.1") as (queue, staff):
        job = submit(queue, 1, steps=1000)
        for attempts in (1, 2):
            until(lambda attempts=attempts: queue.get(job.id).attempts == attempts and staff.alive == 1, 20)
            kill_a_worker()
        [failed] = ended(queue, job)
        look_over(queue, [failed])
        assert failed.state == "failed"
        good = submit(queue, 2)
        assert ended(queue, good)[0].state == "done"


def kill_workers_often(folder: Path, kills: int, jobs: int, step_s: str, patience_s: float = 30) -> None:
    """Kill whoever works at random instants, look everything over, and see that a job still comes through."""
    with at_work(folder, step_s) as (queue, _):
        submitted = [submit(queue, seed) for seed in range(jobs)]
        for _ in range(kills):
            until(lambda: any(job.state == "running" for job in queue.list(None, ("running",))), patience_s)
            time.sleep(random.uniform(0, 0.5))
            kill_a_worker()
            submitted.append(submit(queue, 1000 + len(submitted)))
        ended(queue, *submitted, seconds=10 * patience_s)
        look_over(queue, submitted)
        assert ended(queue, submit(queue, 5), seconds=patience_s)[0].state == "done"


def test_a_killed_worker_loses_no_job(tmp_path: Path) -> None:
    kill_workers_often(tmp_path, 3, 8, "0.1")


def test_workers_do_not_outlive_their_server_and_give_their_jobs_back(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    job = submit(queue, 1, steps=1000)
    child = begun(tmp_path, "0.1")
    until(lambda: queue.get(job.id).state == "running", 20)
    workers = processes(child.pid)
    assert workers
    killed(child, group=False)
    until(lambda: not any(each.is_running() for each in workers), 4)
    found = queue.get(job.id)
    assert (found.state, found.attempts) == ("queued", 0)


def kill_servers_often(folder: Path, kills: int, jobs: int, step_s: str, patience_s: float = 30) -> None:
    """Kill servers with all their processes; the next one takes up what was accepted."""
    queue = queue_in(folder)
    submitted = [submit(queue, seed) for seed in range(jobs)]
    for _ in range(kills):
        submitted.append(submit(queue, 1000 + len(submitted)))
        child = begun(folder, step_s)
        until(lambda: bool(queue.list(None, ("running",))), patience_s)
        time.sleep(random.uniform(0, 0.5))
        killed(child, group=True)
    child = begun(folder, step_s)
    child.communicate(timeout=10 * patience_s)
    assert child.returncode == 0
    look_over(queue, submitted)


def test_a_killed_server_loses_no_job(tmp_path: Path) -> None:
    kill_servers_often(tmp_path, 1, 4, "0.1")


@pytest.mark.slow
@pytest.mark.long
def test_thirty_killed_workers_lose_no_job_of_the_embedded_models(tmp_path: Path) -> None:
    kill_workers_often(tmp_path, 30, 20, "embedded", 120)


@pytest.mark.slow
@pytest.mark.long
def test_thirty_killed_servers_lose_no_job(tmp_path: Path) -> None:
    kill_servers_often(tmp_path, 30, 20, "0.1")
