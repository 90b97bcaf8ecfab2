"""Who waits for a job's events is told when there are new ones: one poller of the database for all, woken by a bell.

A `Bell` is a pipe: whoever changes a job rings it, from any thread or process; where nobody does (another machine), the
poller finds out by itself within `poll_s` seconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import select
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from limner.service.queue import JobQueue
from limner.service.values import JobEvent, NotFound
from limner.types import LimnerError

RECENT = 256
"""So many of the newest events of a job are at hand for those who follow it; who is further behind asks again."""

_GAP_S = 0.02
"""Between two looks at the database, however often it rings."""


class Bell:
    """Wakes one thread or event loop. It can be given to a process as an argument when that is started.

    What was rung before anybody listened is heard once; the content of the pipe never matters.
    """

    def __init__(self) -> None:
        self._reader, self._writer = multiprocessing.Pipe(duplex=False)
        # A ringer must never wait for a listener that is busy or gone: when the pipe is full, it has been rung.
        os.set_blocking(self._writer.fileno(), False)
        os.set_blocking(self._reader.fileno(), False)

    def ring(self) -> None:
        """Wake the listener. It does nothing when nobody can hear any more."""
        with suppress(OSError):
            os.write(self._writer.fileno(), b".")

    def wait(self, seconds: float) -> bool:
        """Sleep until it rings, `seconds` at most; returns whether it did."""
        rung = bool(select.select([self._reader.fileno()], [], [], max(0.0, seconds))[0])
        self.hush()
        return rung

    def hush(self) -> None:
        """Forget what was rung."""
        with suppress(OSError):
            while len(os.read(self._reader.fileno(), 4096)) == 4096:
                pass

    def fileno(self) -> int:
        """The descriptor that is readable when it rang."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close this process's ends."""
        self._reader.close()
        self._writer.close()


@dataclass(slots=True)
class _Followed:
    """A job that somebody waits for. `last` is its newest event's number, `recent` ends with that event."""

    followers: int = 0
    last: int = 0
    recent: list[JobEvent] = field(default_factory=list[JobEvent])
    gone: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """True when its last event is known."""
        return bool(self.recent) and self.recent[-1].last

    def add(self, new: list[JobEvent]) -> None:
        """Take in what comes after `last`: perhaps more than a look found, which is a little older."""
        self.recent = [*self.recent, *new][-RECENT:]
        self.last = self.recent[-1].seq if self.recent else self.last


class Watcher:
    """Tells the tasks of one event loop what happens in jobs. It polls only while somebody waits.

    `bell` is for other processes and threads to ring; this process's own changes through `queue` ring it already.
    """

    def __init__(self, queue: JobQueue, *, poll_s: float = 0.25) -> None:
        self.bell = Bell()
        self._queue, self._poll_s = queue, poll_s
        self._followed = dict[str, _Followed]()
        self._wake = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        queue.on_change.append(self.bell.ring)

    def poke(self) -> None:
        """Have the database looked at now; from any thread."""
        self.bell.ring()

    def followed(self, job_id: str) -> bool:
        """Whether anybody waits for this job here."""
        return job_id in self._followed

    async def events(self, job_id: str, after: int = 0) -> AsyncIterator[JobEvent]:
        """The events of a job whose number is above `after`: those there are, then each as it comes, to the last.

        Close it (`contextlib.aclosing`) where it is left early. Raises NotFound for a job that is none, LimnerError
        when the database fails for one who is far behind; all others wait until it is well again.
        """
        with self._follow(job_id) as job:
            while True:
                news = job.news
                if job.gone:
                    raise NotFound(f"there is no job {job_id[:40]!r}", "it may have been removed")
                for event in await self._newer(job_id, job, after):
                    after = event.seq
                    yield event
                if job.ended and after >= job.last:
                    return
                await self._wait(news)

    async def changed(self, job_id: str, after: int = 0, timeout: float | None = None) -> bool:
        """Wait until a job has an event numbered above `after`, or has ended; False when `timeout` seconds passed.

        Raises NotFound for a job that is none.
        """
        with self._follow(job_id) as job, suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not (job.last > after or job.ended or job.gone):
                    await self._wait(job.news)
            if job.gone:
                raise NotFound(f"there is no job {job_id[:40]!r}", "it may have been removed")
            return True
        return False

    async def close(self) -> None:
        """Stop looking: who still waits is cancelled. It can be used no more."""
        self._queue.on_change.remove(self.bell.ring)
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])
        self.bell.close()

    @contextmanager
    def _follow(self, job_id: str) -> Generator[_Followed]:
        job = self._followed.setdefault(job_id, _Followed())
        job.followers += 1
        running = asyncio.get_running_loop()
        if self._poller is None or self._poller.done() or self._poller.get_loop() is not running:
            self._wake = asyncio.Event()  # The loop may be another one than that of the last poller.
            self._poller = running.create_task(self._poll())
        if not job.last:
            self._wake.set()
        try:
            yield job
        finally:
            job.followers -= 1
            if not job.followers:
                del self._followed[job_id]
                self._wake.set()

    async def _newer(self, job_id: str, job: _Followed, after: int) -> list[JobEvent]:
        if job.last <= after:
            return []
        if job.recent and job.recent[0].seq <= after + 1:
            return [event for event in job.recent if event.seq > after]
        return await asyncio.to_thread(self._queue.events, job_id, after)

    async def _wait(self, news: asyncio.Event) -> None:
        """Wait for news of a job. Raises what the poller failed with, if it did."""
        await news.wait()
        if self._poller is not None and self._poller.done():
            self._poller.result()

    async def _poll(self) -> None:
        loop, wake = asyncio.get_running_loop(), self._wake
        loop.add_reader(self.bell.fileno(), self._heard, wake)
        try:
            while self._followed:
                wake.clear()
                with suppress(LimnerError):  # A database that is locked or away is asked again.
                    await self._look()
                await asyncio.sleep(_GAP_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await wake.wait()
        finally:
            loop.remove_reader(self.bell.fileno())
            for job in self._followed.values():
                job.news.set()

    def _heard(self, wake: asyncio.Event) -> None:
        self.bell.hush()
        wake.set()

    async def _look(self) -> None:
        """One query for all the jobs, and one more for each that has new events."""
        followed = dict(self._followed)
        latest = await asyncio.to_thread(self._queue.latest, list(followed))
        for job_id, job in followed.items():
            if job_id not in latest:
                job.gone = True
            elif latest[job_id] > job.last:
                job.add(await asyncio.to_thread(self._queue.events, job_id, job.last))
            else:
                continue
            job.news.set()
            job.news = asyncio.Event()
