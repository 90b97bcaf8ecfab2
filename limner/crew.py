"""Who makes what, when several work on a job: numbers handed out, results put into order, the dead replaced.

A `Crew` hands out item numbers to workers of any kind: processes in `limner.workers`, actors in `limner.cluster`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from limner.shards import Made, Outcome, SetAside
from limner.types import LimnerError

Make = Callable[[int], Made]

TRIES = 3
"""What fails so often will fail again."""

HANGS_S = 3600.0
"""A worker that needs so long for one item, or for its models, hangs."""

_AHEAD = 4
"""How many items a worker may be ahead of the oldest unfinished one; they wait in memory."""

_ERROR_CHARS = 500


def attempt(make: Make, index: int, tries: int) -> Outcome:
    """What came of one item, or why it is set aside after so many tries."""
    error = "not tried"
    for _ in range(tries):
        try:
            return make(index)
        except Exception as failure:  # whatever it is, it is this item's, and the others go on
            error = _told(failure)
    return SetAside(index, error)


def _told(error: Exception) -> str:
    said = str(error) if isinstance(error, LimnerError) else f"{type(error).__name__}: {error}"
    return said[:_ERROR_CHARS].encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Broken:
    """The models could not be loaded."""

    message: str
    hint: str


def broken(error: Exception) -> Broken:
    """What went wrong, as it can be told by the parent."""
    ours = isinstance(error, LimnerError)
    return Broken(error.message if ours else _told(error), error.hint if ours else "")


Said = Outcome | Broken | Literal["ready"] | None
"""What is heard of a worker: an item is done, its models are loaded or cannot be, or (None) it is dead."""


class Worker(Protocol):
    """Who makes one item at a time. It loads its models first; `index` is the item that it has."""

    ready: bool
    index: int | None

    def tell(self, index: int) -> None:
        """Ask for an item."""
        ...

    def dismiss(self) -> None:
        """End it, whatever it is doing."""
        ...


_W = TypeVar("_W", bound=Worker)


class Crew(Generic[_W]):
    """The workers at work, and which item each has.

    `hire` begins a worker; `hear` waits for what any of the busy ones says, each with the time since when it is silent,
    and ends those that hang. A worker that dies is replaced and its item tried again; an item with which `tries`
    workers died is set aside.
    """

    def __init__(
        self,
        workers: int,
        tries: int,
        hire: Callable[[], _W],
        hear: Callable[[Sequence[tuple[_W, float]]], Sequence[tuple[_W, Said]]],
    ) -> None:
        self.tries, self.hire, self.hear = tries, hire, hear
        self.again, self.deaths = deque[int](), Counter[int]()
        self.done: dict[int, Outcome] = {}
        self.since: dict[int, float] = {}
        self.workers = [hire() for _ in range(workers)]

    def outcomes(self, indices: Iterator[int]) -> Generator[Outcome]:
        """Hand out numbers, no further ahead than the window, and yield what comes back in their order.

        Raises LimnerError when the models cannot be loaded. All workers are dismissed at the end.
        """
        order: deque[int] = deque()
        try:
            while True:
                self._hand_out(indices, order)
                if not order:
                    return
                while order and order[0] in self.done:
                    yield self.done.pop(order.popleft())
                busy = [(w, self.since[w.index]) for w in self.workers if w.index is not None]
                if order and order[0] not in self.done and busy:
                    for worker, said in self.hear(busy):
                        self._heard(worker, said)
        finally:
            for worker in self.workers:
                worker.dismiss()

    def _hand_out(self, indices: Iterator[int], order: deque[int]) -> None:
        for worker in self.workers:
            if worker.index is not None:
                continue
            if self.again:
                index: int | None = self.again.popleft()
            elif len(order) < _AHEAD * len(self.workers) and (index := next(indices, None)) is not None:
                order.append(index)
            else:
                return
            worker.index, self.since[index] = index, time.monotonic()
            worker.tell(index)

    def _heard(self, worker: _W, said: Said) -> None:
        assert worker.index is not None
        if isinstance(said, Broken):
            raise LimnerError(said.message, said.hint)
        if said is None:
            self._bury(worker, worker.index)
        elif said == "ready":
            worker.ready, self.since[worker.index] = True, time.monotonic()
        else:
            self.done[said.index], worker.index = said, None
            del self.since[said.index]

    def _bury(self, worker: _W, index: int) -> None:
        """Replace a dead worker and see to its item."""
        if not worker.ready:
            raise LimnerError(
                "a worker died while it loaded the models", "there may be too little memory: fewer --workers"
            )
        self.deaths[index] += 1
        if self.deaths[index] >= self.tries:
            self.done[index] = SetAside(index, "the process that worked on it died or hung")
            del self.since[index]
        else:
            self.again.append(index)
        worker.dismiss()
        self.workers[self.workers.index(worker)] = self.hire()
