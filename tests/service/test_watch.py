from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
import tracemalloc
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from limner.service.queue import JobQueue
from limner.service.values import JobEvent, NotFound
from limner.service.watch import RECENT, Bell, Watcher
from limner.types import Event
from tests.service.queues import draw, queue_at

NEVER = 600.0
"""Seconds between polls, in tests where only a bell can wake."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/limner.db"


@pytest.fixture
def queue(url: str, tmp_path: Path) -> Generator[JobQueue]:
    with queue_at(url, tmp_path / "blobs", bound=10_000) as queue:
        yield queue


def run(work: Coroutine[Any, Any, None]) -> None:
    """To its end, which must not take long."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(bounded())


async def all_events(watcher: Watcher, job_id: str, after: int = 0) -> list[JobEvent]:
    return [event async for event in watcher.events(job_id, after)]


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.005)


@contextmanager
def selects() -> Generator[list[str]]:
    """The queries that were made within the block."""
    made: list[str] = []

    def heard(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            made.append(statement)

    sa_event.listen(sa.Engine, "before_cursor_execute", heard)
    yield made
    sa_event.remove(sa.Engine, "before_cursor_execute", heard)


def carry_out(queue: JobQueue, steps: int = 5) -> None:
    """What a worker does."""
    (job,) = queue.lease("w", 1)
    for step in range(steps):
        queue.append(job.id, "w", [Event("progress", done=step)])
    queue.finish(job.id, "w", {})


def test_events_are_replayed_and_followed_to_the_last(queue: JobQueue) -> None:
    job = draw(queue)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        following = asyncio.create_task(all_events(watcher, job.id))
        await asyncio.to_thread(carry_out, queue)
        events = await following
        assert events == queue.events(job.id)
        assert [event.seq for event in events] == list(range(1, 9))
        assert events[-1].kind == "done"
        assert await all_events(watcher, job.id, 6) == events[6:]
        # One who has them all, or claims to have more, is not kept waiting.
        for after in (8, 2**31, 10**30):
            assert await all_events(watcher, job.id, after) == []
        assert await all_events(watcher, job.id, -(10**30)) == events
        await watcher.close()

    run(follow())


def test_without_a_bell_they_are_found(queue: JobQueue, url: str, tmp_path: Path) -> None:
    job = draw(queue)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=0.05)
        following = asyncio.create_task(all_events(watcher, job.id))
        await watcher.changed(job.id)
        with queue_at(url, tmp_path / "blobs") as other:  # Which does not ring here.
            await asyncio.to_thread(carry_out, other)
        assert [event.kind for event in await following][-1] == "done"
        await watcher.close()

    run(follow())


def carry_out_and_ring(url: str, blobs: str, bell: Bell) -> None:
    with queue_at(url, Path(blobs)) as queue:
        queue.on_change.append(bell.ring)
        carry_out(queue)


def test_another_process_rings(queue: JobQueue, url: str, tmp_path: Path) -> None:
    job = draw(queue)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        following = asyncio.create_task(all_events(watcher, job.id))
        await watcher.changed(job.id)
        context = multiprocessing.get_context("spawn")
        worker = context.Process(target=carry_out_and_ring, args=(url, str(tmp_path / "blobs"), watcher.bell))
        worker.start()
        assert len(await following) == 8
        worker.join()
        await watcher.close()

    run(follow())


def test_an_unknown_job_is_not_found(queue: JobQueue) -> None:
    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        for waiting in (all_events(watcher, "0" * 32), watcher.changed("0" * 32)):
            with pytest.raises(NotFound, match="there is no job"):
                await waiting
        assert not watcher.followed("0" * 32)
        await watcher.close()

    run(follow())


def test_one_who_is_far_behind_gets_all(queue: JobQueue) -> None:
    job = draw(queue)
    queue.lease("w", 1)
    many = [Event("turn", done=number) for number in range(2 * RECENT)]
    queue.append(job.id, "w", many)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        behind = watcher.events(job.id)
        seen = [await anext(behind) for _ in range(5)]  # And then it is slow, while others are not.
        quick = asyncio.create_task(all_events(watcher, job.id, 2 * RECENT))
        await asyncio.to_thread(queue.append, job.id, "w", many)
        await asyncio.to_thread(queue.finish, job.id, "w", {})
        assert len(await quick) == 2 * RECENT + 3
        seen += [event async for event in behind]
        assert [event.seq for event in seen] == list(range(1, 4 * RECENT + 4))
        await watcher.close()

    run(follow())


def test_changed_waits_for_the_next_event_or_the_end(queue: JobQueue) -> None:
    job = draw(queue)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        assert await watcher.changed(job.id)
        assert not await watcher.changed(job.id, 1, timeout=0.1)
        waiting = asyncio.create_task(watcher.changed(job.id, 1, timeout=20))
        await until(lambda: watcher.followed(job.id))
        queue.lease("w", 1)
        assert await waiting
        queue.finish(job.id, "w", {})
        assert await watcher.changed(job.id, 100)  # There will never be as many.
        await watcher.close()

    run(follow())


def test_who_is_cancelled_leaves_nothing_behind(queue: JobQueue) -> None:
    job = draw(queue)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        waiting = [asyncio.create_task(all_events(watcher, job.id)) for _ in range(3)]
        await watcher.changed(job.id)
        for task in waiting[:2]:
            task.cancel()
        await asyncio.wait(waiting[:2])
        assert watcher.followed(job.id)
        waiting[2].cancel()
        await asyncio.wait(waiting)
        assert not watcher.followed(job.id)
        await until(lambda: len(asyncio.all_tasks()) == 1)  # The poller has gone home.
        await watcher.close()

    run(follow())


def test_closing_cancels_who_waits(queue: JobQueue) -> None:
    job = draw(queue)

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=NEVER)
        waiting = asyncio.create_task(all_events(watcher, job.id))
        await watcher.changed(job.id)
        await watcher.close()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.cancelled()
        draw(queue)  # Which rings no more.

    run(follow())


def test_one_event_loop_after_another(queue: JobQueue) -> None:
    job, watcher = draw(queue), Watcher(queue, poll_s=NEVER)

    async def abandon() -> None:
        waiting = asyncio.create_task(all_events(watcher, job.id))
        await watcher.changed(job.id)
        assert not waiting.done()

    async def follow() -> None:
        following = asyncio.create_task(all_events(watcher, job.id))
        await asyncio.to_thread(carry_out, queue)
        assert len(await following) == 8
        await watcher.close()

    run(abandon())
    run(follow())


def test_a_database_that_fails_is_asked_again(queue: JobQueue) -> None:
    job = draw(queue)

    def rename(before: str, after: str) -> None:
        with queue.store.database.writing() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=0.02)
        following = asyncio.create_task(all_events(watcher, job.id))
        await watcher.changed(job.id)
        rename("limner_jobs", "away")
        await asyncio.sleep(0.2)
        rename("away", "limner_jobs")
        await asyncio.to_thread(carry_out, queue)
        assert len(await following) == 8
        await watcher.close()

    run(follow())


def test_a_thousand_who_wait_cost_one_poller(queue: JobQueue) -> None:
    jobs = [draw(queue) for _ in range(10)]

    async def follow() -> None:
        watcher = Watcher(queue, poll_s=0.1)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        with selects() as made:
            following = [asyncio.create_task(all_events(watcher, jobs[n % 10].id)) for n in range(1000)]
            await until(lambda: len(made) >= 11)
            assert len(made) < 100  # One for all, and one for each job's events: not one for each who waits.
            made.clear()
            start = time.monotonic()
            await asyncio.sleep(1)
            assert 1 <= len(made) <= (time.monotonic() - start) / 0.1 + 2
            after, _ = tracemalloc.get_traced_memory()
            assert (after - before) / 1000 < 10_000  # Bytes for each.
            tracemalloc.stop()
        await asyncio.to_thread(lambda: [carry_out(queue, 1) for _ in jobs])
        assert {len(events) for events in await asyncio.gather(*following)} == {4}
        await watcher.close()

    run(follow())


def test_a_bell_is_heard_once_and_never_makes_a_ringer_wait() -> None:
    bell = Bell()
    assert not bell.wait(0)
    ringing = threading.Thread(target=lambda: [bell.ring() for _ in range(100_000)])
    ringing.start()
    ringing.join(20)
    assert not ringing.is_alive()
    assert bell.wait(0)
    assert not bell.wait(0)
    threading.Timer(0.1, bell.ring).start()
    start = time.monotonic()
    assert bell.wait(20)
    assert time.monotonic() - start < 10
    bell.close()
    with suppress(OSError):
        bell.ring()
