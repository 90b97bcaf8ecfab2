"""One job while a worker runs it: its thread, what it tells, and how it ends."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from limner.image import png_bytes
from limner.service import kinds
from limner.service.desk import Desk, Shop
from limner.service.queue import JobQueue
from limner.service.ticket import Cancelled, Ticket
from limner.service.values import Job, Lost
from limner.types import Event, LimnerError, Picture

PREVIEWS = 3
"""A draw job that does not say otherwise (`partial_images`) shows so many pictures of each batch on the way."""

_TRIES, _PAUSE_S = 5, 1.0
"""How often the end of a job is told to a database that fails, and the pause in between."""

_LOG = logging.getLogger("limner.service")


@dataclass(slots=True)
class _Steps:
    """Denoising steps of a job so far: those of the calls before, and of the one that is running."""

    before: int = 0
    done: int = 0
    total: int = 0
    since: float = 0.0

    def count(self, done: int, total: int) -> None:
        """Take over what a model tells: it begins again at 0 with every call."""
        if done < self.done or self.done == self.total:
            self.before += self.done
            self.since = time.monotonic()
        self.done, self.total = done, total

    def event(self) -> Event:
        """How far the job is, as far as is known; `eta_s` is None until there is a step to go by."""
        seconds = time.monotonic() - self.since
        left = round(seconds / self.done * (self.total - self.done), 1) if self.done else None
        return Event("progress", "", self.before + self.done, self.before + self.total, {"eta_s": left})


@dataclass(slots=True, eq=False)
class Running:
    """A leased job. `over` is set when its thread has ended; events are written by who holds `telling`."""

    job: Job
    worker: str
    queue: JobQueue
    over: threading.Event = field(default_factory=threading.Event)
    telling: threading.Lock = field(default_factory=threading.Lock)
    ticket: Ticket = field(init=False)
    _events: list[Event] = field(default_factory=list[Event])
    _steps: _Steps = field(default_factory=_Steps)
    _stepped: bool = False
    _preview: Picture | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        previews = self.job.params.get("partial_images")
        self.ticket = Ticket(self._step, self._show, PREVIEWS if previews is None else previews)

    def start(self, shop: Shop) -> None:
        """Begin to work on it, in a thread of its own that nobody waits for when the process ends."""
        desk = Desk(shop, self.ticket)  # here, so that those who begin together wait for each other
        threading.Thread(target=self._run, args=(desk,), daemon=True, name=f"job {self.job.id}").start()

    def leave(self) -> None:
        """Stop working on it: somebody else has it, or it was called off."""
        self.ticket.cancel()

    def flush(self) -> None:
        """Write what was told since the last time. Raises Lost, and LimnerError as the queue does."""
        self._write(lambda events: self.queue.append(self.job.id, self.worker, events) if events else None)

    def _write(self, tell: Callable[[list[Event]], None]) -> None:
        with self.telling:
            events = self.told()
            try:
                tell(events)
            except LimnerError:
                self.untold(events)
                raise

    def told(self) -> list[Event]:
        """What was told since the last time, to be written while `telling` is held. Raises LimnerError as the store."""
        with self._lock:
            events, self._events = self._events, []
            preview, self._preview = self._preview, None
            if self._stepped:
                events, self._stepped = [*events, self._steps.event()], False
        if preview is not None:
            with suppress(LimnerError):  # a disk that is full must not lose what else was told
                sha256 = self.queue.store.blobs.put(png_bytes(preview))
                events.append(Event("preview", data={"picture": sha256}))
        return events

    def untold(self, events: list[Event]) -> None:
        """Keep for the next time what could not be written."""
        with self._lock:
            self._events = [*events, *self._events]

    def _step(self, done: int, total: int) -> None:
        with self._lock:
            self._steps.count(done, total)
            self._stepped = True

    def _show(self, picture: Picture) -> None:
        with self._lock:
            self._preview = picture

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)
        if event.kind == kinds.BEGUN:
            self.flush()

    def _run(self, desk: Desk) -> None:
        """Work to the end, whatever it is, and tell it."""
        started = time.monotonic()
        log("running", self.job, self.worker)
        state = "failed"
        try:
            result = self._worked(desk)
            self._end(partial(self.queue.finish, self.job.id, self.worker, result))
            state = "done"
        except Cancelled:
            state = "cancelled"
            with suppress(LimnerError):  # it is another worker's by now, or its lease will run out
                self._end(partial(self.queue.cancelled, self.job.id, self.worker))
        except Lost:
            state = "lost"
        except Exception as error:  # whatever it is, it is this job's, and the others go on
            self._failed(error)
        finally:
            desk.close()
            log(state, self.job, self.worker, seconds=round(time.monotonic() - started, 2))
            self.over.set()

    def _failed(self, error: Exception) -> None:
        """Tell why: what the user can mend in its own words; a fault of ours as such, and the log says which."""
        ours = isinstance(error, LimnerError)
        message = error.message if ours else f"something went wrong that should not ({type(error).__name__})"
        hint = error.hint if ours else "the server's log says more"
        if not ours:
            _LOG.error("job %s", self.job.id, exc_info=error)
        with suppress(LimnerError):
            self._end(partial(self.queue.fail, self.job.id, self.worker, message, hint, again=not ours))

    def _worked(self, desk: Desk) -> dict[str, object]:
        past = self.queue.events(self.job.id) if self.job.attempts > 1 else []
        work = kinds.run(desk, self.job, past)
        try:
            while True:
                self._tell(next(work))
        except StopIteration as end:
            return end.value
        finally:
            work.close()

    def _end(self, tell: Callable[[list[Event]], None]) -> None:
        """Tell how it ended, with all that came before. Raises Lost, and LimnerError where the queue keeps failing.

        Then nobody knows: the lease runs out, and the job is done again. A look on the way is of no use any more.
        """
        with self._lock:
            if not self.job.params.get("partial_images"):  # who asked for them gets them, however late
                self._preview = None
        for _ in range(_TRIES - 1):
            try:
                return self._write(tell)
            except Lost:
                raise
            except LimnerError:
                time.sleep(_PAUSE_S)
        return self._write(tell)


def log(state: str, job: Job, worker: str, **more: object) -> None:
    """One line of JSON: which job, what became of it; never what was said in it."""
    told = {name: value for name, value in more.items() if value != ""}
    line = {"job": job.id, "kind": job.kind, "user": job.user, "state": state, "worker": worker, **told}
    _LOG.info(json.dumps(line, ensure_ascii=False))
