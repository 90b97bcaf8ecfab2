"""What goes between a job's thread and whoever watches over it: its end is asked for, its steps are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from limner.types import Picture

_LOOK_S = 0.05
"""How often a job that waits for a model looks whether it is still wanted."""


class Cancelled(BaseException):
    """The job's end was asked for. No Exception, so that nobody on the way takes it for a failure of their own."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One job among those that run at the same time.

    `on_step(done, total)` counts denoising steps of one call of a model, `on_preview` gets small pictures of what is
    being drawn, at most `previews` a call. Both may be called by other threads than the job's, and must not raise.
    """

    on_step: Callable[[int, int], None] = lambda done, total: None
    on_preview: Callable[[Picture], None] = lambda picture: None
    previews: int = 0
    _off: threading.Event = field(default_factory=threading.Event)
    _bell: threading.Event = field(default_factory=threading.Event)

    @property
    def off(self) -> bool:
        """Whether its end was asked for."""
        return self._off.is_set()

    def cancel(self) -> None:
        """Ask for its end; the job's thread leaves whatever it waits for."""
        self._off.set()
        self.ring()

    def check(self) -> None:
        """Raise Cancelled where its end was asked for."""
        if self.off:
            raise Cancelled

    def ring(self) -> None:
        """Wake the job's thread, if it waits."""
        self._bell.set()

    def wait(self) -> None:
        """Wait until it rings, which it may do for nothing. Raises Cancelled."""
        self._bell.wait()
        self._bell.clear()
        self.check()

    def step(self, done: int, total: int) -> None:
        """Tell a step of a model that works in the job's own thread. Raises Cancelled."""
        self.check()
        self.on_step(done, total)

    @contextmanager
    def holding(self, lock: threading.Lock) -> Generator[None]:
        """Have a lock to oneself within the block. Raises Cancelled, also while it waits for it."""
        self.check()
        while not lock.acquire(timeout=_LOOK_S):
            self.check()
        try:
            yield
        finally:
            lock.release()
