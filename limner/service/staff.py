"""The workers of a server: processes here, or actors on a Ray cluster, replaced when they die."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from limner.cluster import (
    Needs,
    connected,
    library,
    planned,
)
from limner.config import Settings
from limner.service.queue import JobQueue
from limner.service.watch import Bell
from limner.service.worker import AT_ONCE, Terms, begin, main
from limner.types import LimnerError

_PATIENCE_S = 2.0
"""How long a worker that is to stop may take to give its jobs back."""

_LOOK_S = 0.2
PAUSES_S = (0.2, 0.2, 1.0, 5.0, 15.0, 30.0)
"""Before a worker is replaced: longer with each that died soon after it had begun."""

_SOON_S = 60.0


class Hand(Protocol):
    """A worker as its server sees it, by the name that its leases have."""

    name: str

    @property
    def alive(self) -> bool:
        """Whether it works."""
        ...

    def ring(self) -> None:
        """Tell it that there is something to do, or to leave."""
        ...

    def dismiss(self) -> None:
        """Ask it to give back what it has and to end."""
        ...

    def end(self) -> None:
        """Wait for its end, and force it when it takes too long."""
        ...


@dataclass(slots=True)
class _Post:
    """A place for one worker: who has it, since when, how many died in it soon, and when it may be given again."""

    hand: Hand
    since: float
    deaths: int = 0
    free_at: float | None = None


class Staff:
    """The workers of one server, to be closed when it ends.

    `name` is the server's: it must be the same when the server is started again, and no other server's that uses the
    database (host and port are), for jobs of dead workers are taken back by it.
    """

    def __init__(
        self,
        queue: JobQueue,
        name: str,
        number: int,
        hire: Callable[[str], Hand],
        *,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self.queue, self.name, self.number, self.hire = queue, f"{name}/", number, hire
        self.pauses_s = pauses_s
        self._posts: list[_Post] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._look_after, daemon=True, name="staff")

    @property
    def alive(self) -> int:
        """How many workers there are."""
        return sum(post.hand.alive for post in self._posts)

    def start(self) -> None:
        """Take back what the workers of an earlier run had, and hire."""
        self.queue.recover(self.name)
        self._posts = [_Post(self._hired(), time.monotonic()) for _ in range(self.number)]
        self.queue.on_change.append(self.poke)
        atexit.register(self.close)
        self._watch.start()

    def poke(self) -> None:
        """Wake the workers: there is a job, or one is to be left."""
        for post in self._posts:
            post.hand.ring()

    def close(self) -> None:
        """Stop the workers; what they have not finished goes back into the queue. A second time it does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        atexit.unregister(self.close)
        with suppress(ValueError):
            self.queue.on_change.remove(self.poke)
        with self._lock:
            for post in self._posts:
                post.hand.dismiss()
            for post in self._posts:
                post.hand.end()
        with suppress(LimnerError):  # then the leases run out
            self.queue.recover(self.name)

    def _hired(self) -> Hand:
        return self.hire(f"{self.name}{secrets.token_hex(4)}")

    def _look_after(self) -> None:
        while not self._closed.wait(_LOOK_S):
            with self._lock:
                for post in self._posts:
                    if not self._closed.is_set() and not post.hand.alive:
                        self._replace(post)

    def _replace(self, post: _Post) -> None:
        """Take back what a dead worker had, at once, and hire another one when it is time."""
        now = time.monotonic()
        with suppress(LimnerError):  # a database that is locked or away is asked again
            if post.free_at is None:
                self.queue.recover(post.hand.name)
                post.deaths = post.deaths + 1 if now - post.since < _SOON_S else 0
                post.free_at = now + self.pauses_s[min(post.deaths, len(self.pauses_s) - 1)]
            if now >= post.free_at:
                post.hand, post.since, post.free_at = self._hired(), now, None


@dataclass(slots=True, eq=False)
class _Process:
    """A worker that is a process here."""

    name: str
    process: BaseProcess
    bell: Bell

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def ring(self) -> None:
        self.bell.ring()

    def dismiss(self) -> None:
        self.process.terminate()

    def end(self) -> None:
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def in_processes(
    queue: JobQueue,
    settings: Settings,
    name: str,
    *,
    workers: int = 1,
    at_once: int = AT_ONCE,
    server: Bell | None = None,
    life: Callable[..., None] = main,
    pauses_s: Sequence[float] = PAUSES_S,
) -> Staff:
    """A server's workers as processes on this machine; `server` is rung when they have told anything.

    `life` is what each process does, with the arguments of `worker.main`.
    """
    context = multiprocessing.get_context("spawn")
    terms = Terms(at_once, queue.lease_s, queue.tries)

    def hire(worker: str) -> _Process:
        bell = Bell()
        # No daemon: a job may begin processes of its own. They end with their parent by themselves.
        process = context.Process(target=life, args=(settings, worker, terms, bell, server), name=worker, daemon=False)
        process.start()
        return _Process(worker, process, bell)

    return Staff(queue, name, workers, hire, pauses_s=pauses_s)


class _Actor:
    """What runs on the cluster, in two threads: one works, the other hears when it is to stop."""

    def __init__(self, settings: Settings, name: str, terms: Terms) -> None:
        logging.basicConfig(format="%(message)s", level=logging.INFO)
        self.worker = begin(settings, name, terms, Bell())

    def work(self) -> None:
        self.worker.work()

    def stop(self) -> None:
        self.worker.stop.set()

    def ring(self) -> None:
        self.worker.bell.ring()


@dataclass(slots=True, eq=False)
class _Remote:
    """A worker that is an actor."""

    name: str
    ray: Any
    actor: Any
    life: Any

    @property
    def alive(self) -> bool:
        return not self.ray.wait([self.life], timeout=0)[0]

    def ring(self) -> None:
        self.actor.ring.remote()

    def dismiss(self) -> None:
        self.actor.stop.remote()

    def end(self) -> None:
        self.ray.wait([self.life], timeout=_PATIENCE_S)
        self.ray.kill(self.actor)


@dataclass(slots=True)
class RayStaff:
    """A Staff of actors, and the connection to their cluster that is closed with it."""

    staff: Staff
    connection: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Stop the actors and leave Ray as it was found."""
        self.staff.close()
        self.connection.close()


def on_ray(
    queue: JobQueue, settings: Settings, name: str, address: str, needs: Needs, *, at_once: int = AT_ONCE
) -> RayStaff:
    """A server's workers as Ray actors around the same database, which every machine of the cluster must reach.

    `address` is as in limner.cluster.on_ray. Raises LimnerError where Ray is not installed or does not answer,
    BadInput where the workers do not fit into the cluster, which Ray would wait for without an end.
    """
    ray = library()
    with ExitStack() as kept:
        kept.enter_context(connected(ray, address))
        workers = planned(ray.cluster_resources(), needs)
        connection = kept.pop_all()
    actor = ray.remote(_Actor).options(num_cpus=needs.cpus, num_gpus=needs.gpus, max_concurrency=3)
    terms = Terms(at_once, queue.lease_s, queue.tries)

    def hire(worker: str) -> _Remote:
        made = actor.remote(settings, worker, terms)
        return _Remote(worker, ray, made, made.work.remote())

    return RayStaff(Staff(queue, name, workers, hire), connection)
