"""Queues for tests: a new one on SQLite or PostgreSQL, what is wrong with one, and time that passes at once."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from limner.blobs import Blobs
from limner.service.queue import JobQueue
from limner.service.values import ENDS, STATES, Job
from limner.store import Store
from limner.store.jobs import reading
from limner.store.schema import JOBS


@contextmanager
def queue_at(
    url: str, blobs: Path, *, bound: int = 64, lease_s: float = 30, tries: int = 2, shared: bool = False
) -> Generator[JobQueue]:
    """A queue of its own connections."""
    store = Store(url, Blobs(str(blobs)))
    try:
        yield JobQueue(store, bound=bound, lease_s=lease_s, tries=tries, shared=shared)
    finally:
        store.close()


def draw(queue: JobQueue, user: str = "local", shape: str = "", prompt: str = "a fox") -> Job:
    return queue.submit(user, "draw", {"prompt": prompt}, shape)


def say(queue: JobQueue, session: str, user: str = "local") -> Job:
    return queue.submit(user, "say", {"session": session, "text": "a fox"})


def expire(queue: JobQueue, worker: str) -> None:
    """Let the leases of a worker run out, as when it does not renew them."""
    with queue.store.database.writing() as connection:
        connection.execute(sa.update(JOBS).where(JOBS.c.worker == worker).values(lease=1.0))


def age(queue: JobQueue, days: float) -> None:
    """Let what ended have ended so many days earlier."""
    with queue.store.database.writing() as connection:
        connection.execute(sa.update(JOBS).values(finished=JOBS.c.finished - days * 86400))


def problems(queue: JobQueue) -> list[str]:
    """What must never be, of any job: a state without its event, two ends, numbers out of order."""
    found: list[str] = []
    for job in queue.list(limit=10_000):
        events = queue.events(job.id)
        with reading(queue.store.database) as jobs:
            record = jobs.get(job.id)
        assert record is not None
        ends = [event.kind for event in events if event.last]
        claims = {
            "its state is none": job.state not in STATES,
            "its last event is not its end": ends != ([job.state] if job.state in ENDS else []),
            "something follows its end": bool(ends) and not events[-1].last,
            "its numbers are out of order": [e.seq for e in events] != sorted({e.seq for e in events}),
            "its newest number is not kept": events[-1].seq != record["last"],
            "it has a result and is not done": (job.result is not None) != (job.state == "done"),
            "it has an error and has not failed": (job.error is not None) != (job.state == "failed"),
            "its end has no time": (job.finished is not None) != (job.state in ENDS),
            "its worker is not told": (record["worker"] is not None) != (job.state == "running"),
            "it began too often": job.attempts > queue.tries,
        }
        found += [f"{job.id}: {claim}" for claim, holds in claims.items() if holds]
    return found
