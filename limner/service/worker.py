"""A worker: takes jobs from the queue and runs several of one shape at once, in threads around one set of models.

Its loop writes what the jobs tell, sees which are to be left, and renews the leases. Whatever ends the process, no job
is lost: its leases are given back, or run out, and another worker does them again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from limner import rules
from limner.backends import hardware
from limner.config import Settings
from limner.service.desk import Shop
from limner.service.queue import JobQueue
from limner.service.running import Running
from limner.service.watch import Bell
from limner.types import LimnerError

AT_ONCE = 8
"""So many jobs of one shape are run at once: more would not make drawing any faster (see backends.diffusion)."""

_LOOK_S = 0.25
"""How often what jobs tell is written, and the queue asked for jobs and for what was called off, where nobody rings.

More often would cost the drawing more than it tells: each time takes both processes some milliseconds.
"""

_ORPHAN_S = 2.0
"""How long a process goes on without its parent, to give its jobs back."""

_LOG = logging.getLogger("limner.service")


@dataclass(frozen=True, slots=True)
class Terms:
    """How a worker works: jobs at once, seconds a lease lasts, and how often a job is begun."""

    at_once: int = AT_ONCE
    lease_s: float = 30.0
    tries: int = 2


@dataclass(slots=True, eq=False)
class Worker:
    """One worker, by a name that no other ever had. `bell` wakes it."""

    name: str
    queue: JobQueue
    shop: Shop
    bell: Bell
    at_once: int = AT_ONCE
    stop: threading.Event = field(default_factory=threading.Event)
    _running: list[Running] = field(default_factory=list[Running])
    _renewed: float = 0.0

    def work(self) -> None:
        """Work until `stop` is set; then give back what is not finished."""
        while not self.stop.is_set():
            try:
                self._look_after()
                self._take()
            except LimnerError as error:  # a database that is locked or away is asked again
                _LOG.warning("worker %s: %s", self.name, error.message)
                time.sleep(_LOOK_S)
            self.bell.wait(_LOOK_S)
        for running in self._running:
            running.leave()
        self.queue.give_back(self.name)

    def _look_after(self) -> None:
        """Write what the jobs tell, and see which of them are over or to be left."""
        self._running = [running for running in self._running if not running.over.is_set()]
        if not self._running:
            return
        lost, now = self._write(), time.monotonic()
        lost |= {job.id for job in self.queue.list(None, ("running",), 1000) if job.cancel}
        if now - self._renewed >= self.queue.lease_s / 3:
            lost |= self.queue.renew(self.name, [running.job.id for running in self._running])
            self._renewed = now
        for running in (running for running in self._running if running.job.id in lost):
            running.leave()

    def _write(self) -> set[str]:
        """Write the new events of all jobs in one transaction; returns those that are another worker's by now."""
        with ExitStack() as telling:
            for running in self._running:
                telling.enter_context(running.telling)
            told = {running: running.told() for running in self._running if not running.over.is_set()}
            try:
                events = {running.job.id: events for running, events in told.items() if events}
                return self.queue.append_all(self.name, events) if events else set()
            except LimnerError:
                for running, events in told.items():
                    running.untold(events)
                raise

    def _take(self) -> None:
        """Begin as many jobs as there is room for."""
        room = self.at_once - len(self._running)
        beside = self._running[0].job if self._running else None
        for job in self.queue.lease(self.name, room, wait_for=beside) if room else []:
            running = Running(job, self.name, self.queue)
            self._running.append(running)
            self._renewed = self._renewed if beside else time.monotonic()
            running.start(self.shop)


def begin(settings: Settings, name: str, terms: Terms, bell: Bell, server: Bell | None = None) -> Worker:
    """A worker under the server's settings; `server` is rung when it has told anything."""
    hardware.prepare_threads()
    _read_up()
    shop = Shop(settings)
    queue = JobQueue(shop.conversations.store, lease_s=terms.lease_s, tries=terms.tries)
    if server is not None:
        queue.on_change.append(server.ring)
    return Worker(name, queue, shop, bell, terms.at_once)


def _read_up() -> None:
    """Load the data about words, which takes a second or more: the first job need not wait for them."""
    words = "two red foxes"
    for reading in (rules.extract_keywords, rules.content_words, rules.singular):
        reading(words)


def main(settings: Settings, name: str, terms: Terms, bell: Bell, server: Bell | None = None) -> None:
    """The life of a worker process: until SIGTERM, or until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends us.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    worker = begin(settings, name, terms, bell, server)

    def stop(*_: object) -> None:
        worker.stop.set()
        bell.ring()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_follow_parent, args=(worker,), daemon=True).start()
    try:
        worker.work()
    except Exception:  # its jobs are taken back by the parent, who hires another one
        _LOG.exception("worker %s", name)
        os._exit(1)
    finally:
        logging.shutdown()
        os._exit(0)  # Threads that are in the middle of a model end with the process; nobody waits for them.


def _follow_parent(worker: Worker) -> None:
    """End with the parent, however that ends: nobody can ask an orphan to stop."""
    if parent := multiprocessing.parent_process():
        parent.join()
        worker.stop.set()
        worker.bell.ring()
        time.sleep(_ORPHAN_S)
        os._exit(1)
