"""What the routers share: the settings, the queue of jobs and who waits for it, the sessions, the pictures, the users.

A user's sessions are stored as «USER--NAME», those of «local» under their plain names, which are the command line's.
Jobs and sessions are each user's own. Concepts and datasets are everybody's, as files of one folder are. A picture is
had by whoever knows its sha256, which cannot be guessed: it is as good as a key.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

from fastapi import Depends, Request

from limner.config import Settings
from limner.service.queue import JobQueue
from limner.service.values import Job, Kind, NotFound, key
from limner.service.watch import Watcher
from limner.studio import Studio
from limner.types import BadInput
from limner.web.errors import Refused
from limner.web.metrics import Metrics
from limner.web.tokens import LOCAL

if TYPE_CHECKING:
    from limner.blobs import Blobs
    from limner.conversations import Conversations
    from limner.store import Store

LOG = logging.getLogger("limner.web")
KEEP_DAYS = 30
"""How long jobs that have ended are kept, with their events; pictures stay while a session has them."""

_DAY_S = 86_400
_SPLIT = "--"
_NAME = re.compile(r"[\w-][\w.-]{0,63}")
_LONGEST = 64
_LISTED = 10_000
_UPLOADS = 8
_UNHEARD = 1.0
"""Seconds between two looks at what became of the jobs."""


class Workers(Protocol):
    """Whoever carries out the jobs."""

    @property
    def alive(self) -> int:
        """How many of them there are."""
        ...


class Nobody:
    """No workers: the jobs wait for those of another process."""

    alive = 0


class Service:
    """One server's share in everything. Making one opens the store and loads no model."""

    def __init__(
        self, settings: Settings, *, workers: Workers | None = None, log_prompts: bool = False, shared: bool = False
    ) -> None:
        """`shared`: several users have the queue, of which none may take it all. Raises LimnerError where the store
        cannot be opened."""
        self.settings, self.studio = settings, Studio(settings)
        self.workers: Workers = workers or Nobody()
        self.log_prompts = log_prompts
        self.queue = JobQueue(self.store, bound=settings.queue, shared=shared)
        self.watcher = Watcher(self.queue)
        self.metrics = Metrics()
        self.closing, self.uploading = asyncio.Event(), asyncio.Semaphore(_UPLOADS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._followed: set[str] = set()

    @property
    def conversations(self) -> Conversations:
        """The sessions, by the names they are stored under."""
        return self.studio.conversations

    @property
    def store(self) -> Store:
        """Sessions and turns."""
        return self.studio.conversations.store

    @property
    def blobs(self) -> Blobs:
        """Pictures by the sha256 of their files."""
        return self.store.blobs

    @cached_property
    def knows(self) -> Mapping[str, list[str]] | None:
        """The words of a model that knows only some; None for one that knows all."""
        from limner.toolbox import vocabulary

        return vocabulary(self.studio.tools.profile) or None

    def close_streams(self) -> None:
        """Have every stream of events end; from any thread, and from a signal's handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.closing.set)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """What goes on beside the requests, for as long as the block: within the event loop that serves them."""
        self._loop = asyncio.get_running_loop()
        self.closing, self.uploading = asyncio.Event(), asyncio.Semaphore(_UPLOADS)
        observing = asyncio.create_task(self._observe())
        try:
            yield
        finally:
            self.closing.set()
            observing.cancel()
            with suppress(asyncio.CancelledError):
                await observing
            self._loop = None
            await self.watcher.close()

    def submit(self, user: str, kind: Kind, params: Mapping[str, Any]) -> Job:
        """Accept a job, which is safe when this returns. Raises Full, and BadInput for a picture that is not here."""
        job = self.queue.submit(user, kind, params, shape_of(kind, params))
        self._followed.add(job.id)
        self.metrics.submitted(job)
        self._say(job)
        return job

    def check_idle(self, user: str, name: str) -> str:
        """The stored name of a session that no job is about to change. Raises Refused (409) for one that is."""
        stored = self.stored(user, name)
        busy = self.running(stored)
        if busy:
            raise Refused(409, f"the session «{name}» is being changed", "wait until it is done, or cancel that first")
        return stored

    def running(self, stored: str) -> Job | None:
        """The job that changes a stored session now or next; None for a session at rest."""
        active = self.queue.list(states=("running", "queued"), limit=_LISTED)
        mine = [job for job in active if key(job) == f"session:{stored}"]
        return next((job for job in mine if job.state == "running"), mine[-1] if mine else None)

    def stored(self, user: str, name: str) -> str:
        """What a user's session is stored as. Raises BadInput for what is no name."""
        stored = name if user == LOCAL else f"{user}{_SPLIT}{name}"
        if not _NAME.fullmatch(name) or _SPLIT in name or len(stored) > _LONGEST:
            hint = f"1 to {_LONGEST - len(stored) + len(name)} letters, digits, - _ . (not first), and no {_SPLIT}"
            raise BadInput(f"{name[:64]!r} is no name for a session", hint)
        return stored

    def plain(self, user: str, stored: str) -> str | None:
        """A stored session's name as its user knows it; None for another's."""
        whose, split, name = stored.partition(_SPLIT)
        if user == LOCAL:
            return None if split else stored
        return name if split and whose == user else None

    def told(self, job: Job) -> Job:
        """A job as its user may see it: sessions have the names that the user gave them."""
        if "session" not in job.params:
            return job
        params = self._unstored(job.user, job.params)
        return replace(job, params=params, result=job.result and self._unstored(job.user, job.result))

    def _unstored(self, user: str, values: Mapping[str, Any]) -> dict[str, Any]:
        name = values.get("session")
        return {**values, **({"session": self.plain(user, name) or name} if isinstance(name, str) else {})}

    async def _observe(self) -> None:
        """Count and log what becomes of the jobs of this server, and remove old ones, for as long as it runs."""
        swept = -math.inf
        while True:
            try:
                if time.monotonic() - swept > _DAY_S:
                    swept = time.monotonic()
                    await asyncio.to_thread(self.queue.sweep, KEEP_DAYS)
                await asyncio.to_thread(self.look)
            except Exception:
                LOG.exception("failed", extra={"said": {"where": "the queue could not be looked at"}})
            await asyncio.sleep(_UNHEARD)

    def look(self) -> None:
        """Look once at what became of the jobs."""
        active = self.queue.list(states=("queued", "running"), limit=_LISTED)
        self.metrics.now(active, self.workers.alive)
        for job_id in self._followed - {job.id for job in active}:
            try:
                job = self.queue.get(job_id)
            except NotFound:  # removed since
                self._followed.discard(job_id)
                continue
            if job.ended:
                self._followed.discard(job_id)
                self.metrics.ended(job)
                self._say(job)

    def _say(self, job: Job) -> None:
        """One line of the log for a job's new state; what was said only where that was asked for."""
        said: dict[str, Any] = {"job": job.id, "user": job.user, "kind": job.kind, "state": job.state}
        if job.error:
            said["error"] = job.error.get("message", "")
        if self.log_prompts:
            said["params"] = dict(job.params)
        LOG.info("job", extra={"said": said})


def shape_of(kind: Kind, params: Mapping[str, Any]) -> str:
    """Jobs of equal shape may be drawn in one batch: pictures of one size, whatever they show."""
    if kind != "draw":
        return ""
    return f"draw:{params.get('width') or ''}x{params.get('height') or ''}"


async def service_of(request: Request) -> Service:
    """The service of the app that a request came to.

    A coroutine, as the other dependencies: FastAPI has each plain function run in a thread, which wants a core first.
    """
    return cast(Service, request.app.state.service)


async def user_of(request: Request) -> str:
    """The user who asks, as the guard found."""
    return cast(str, request.state.user)


Here = Annotated[Service, Depends(service_of)]
User = Annotated[str, Depends(user_of)]
