"""Who makes a job's items: this process, or several that are replaced when they die.

An `Executor` is a lazy `map` over item numbers; whatever else can be one (`limner.cluster`) fits in the same place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from limner.crew import HANGS_S, TRIES, Crew, Make, Said, attempt, broken
from limner.shards import Outcome
from limner.types import BadInput

Executor = Callable[[Iterator[int]], Generator[Outcome]]
"""Makes the items of these numbers and yields what came of each, in their order. It pulls numbers only as it goes on,
and is closed when no more is wanted."""

_PATIENCE_S = 5.0


def in_process(make: Make, tries: int = TRIES) -> Executor:
    """Do the work here, one item after the other."""

    def execute(indices: Iterator[int]) -> Generator[Outcome]:
        for index in indices:
            yield attempt(make, index, tries)

    return execute


def in_processes(factory: Callable[[], Make], workers: int, tries: int = TRIES, hangs_s: float = HANGS_S) -> Executor:
    """Do the work in so many processes; in each, `factory` (it can be pickled) loads the models once.

    A process that dies, or needs `hangs_s` seconds for one item, is replaced, and its item tried again; an item with
    which that happens `tries` times is set aside. Raises LimnerError when the models cannot be loaded, BadInput for
    fewer than 1 worker.
    """
    if workers < 1:
        raise BadInput(f"{workers} workers", "at least one must do the work")

    def execute(indices: Iterator[int]) -> Generator[Outcome]:
        def hear(busy: Sequence[tuple[_Process, float]]) -> list[tuple[_Process, Said]]:
            return _listen(busy, hangs_s)

        yield from Crew(workers, tries, lambda: _hire(factory, tries), hear).outcomes(indices)

    return execute


@dataclass(slots=True, eq=False)
class _Process:
    """A Worker that is a process here."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    index: int | None = None

    def tell(self, index: int) -> None:
        with suppress(OSError):  # It is dead; listening sees that.
            self.pipe.send(index)

    def dismiss(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _hire(factory: Callable[[], Make], tries: int) -> _Process:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(factory, theirs, tries), daemon=True)
    process.start()
    theirs.close()  # so that its death is seen as the end of what it says
    return _Process(process, ours)


def _listen(busy: Sequence[tuple[_Process, float]], hangs_s: float) -> list[tuple[_Process, Said]]:
    """Wait until a process says something, dies or hangs."""
    workers = {worker.pipe: worker for worker, _ in busy}
    left = hangs_s - (time.monotonic() - min(since for _, since in busy))
    ready = [pipe for pipe in wait(list(workers), max(0.0, left)) if isinstance(pipe, Connection)]
    heard: list[tuple[_Process, Said]] = [(workers[pipe], _said(pipe)) for pipe in ready]
    if not heard:
        worker, _ = min(busy, key=lambda each: each[1])
        worker.process.kill()  # its pipe says so when it is gone
    return heard


def _said(pipe: Connection) -> Said:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


def _serve(factory: Callable[[], Make], pipe: Connection, tries: int) -> None:
    """A worker's life: load, then make what is asked for until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends us.
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        make = factory()
    except Exception as error:  # whatever went wrong, it is told by the parent
        pipe.send(broken(error))
        return
    with suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            pipe.send(attempt(make, pipe.recv(), tries))


def _follow_parent() -> None:
    """End with the parent, however that ends: nobody wants the work of an orphan."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
