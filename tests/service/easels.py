"""A painter that works step by step, as slowly as a test wants, and threads that ask it for pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from limner.protocols import DrawRequest
from limner.types import BadInput, Picture
from tests.painter import Painter

PATIENCE_S = 60.0


class StepPainter(Painter):
    """The painter of shapes in steps. `calls` are the seeds of each call, `steps` how many steps each one did.

    With `gate` it waits before each step until it is let through. It refuses the seeds in `bad` as a model does.
    """

    def __init__(self, *, gate: bool = False, bad: Sequence[int] = (), max_batch: int = 8) -> None:
        super().__init__(max_batch)
        self.gate = threading.Semaphore(0) if gate else None
        self.bad = bad
        self.calls: list[list[int]] = []
        self.steps: list[int] = []
        self.begun = threading.Semaphore(0)

    def draw(
        self,
        requests: Sequence[DrawRequest],
        *,
        on_step: Callable[[int, int], None] | None = None,
        on_preview: Callable[[int, Picture], None] | None = None,
    ) -> list[Picture]:
        for request in requests:
            if request.seed in self.bad:
                raise BadInput(f"seed {request.seed}")
        self.calls.append([request.seed for request in requests])
        self.steps.append(0)
        self.begun.release()
        pictures = super().draw(requests)
        for step in range(1, requests[0].steps + 1):
            if self.gate:
                assert self.gate.acquire(timeout=PATIENCE_S)
            self.steps[-1] += 1
            if on_step:
                on_step(step * len(requests), requests[0].steps * len(requests))
            if on_preview and step < requests[0].steps:
                for place, picture in enumerate(pictures):
                    on_preview(place, picture)
        return pictures

    def let(self, steps: int) -> None:
        """Let it do so many steps."""
        assert self.gate is not None
        self.gate.release(steps)


class Asked(threading.Thread):
    """What a function returns or raises in a thread of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.function, self.result, self.error = function, None, None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # looked at by the test
            self.error = error

    def wait(self) -> Any:
        """Its result, raising what it raised."""
        self.join(PATIENCE_S)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self.result


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def ask(seed: int, *, prompt: str = "a red circle and a blue square", steps: int = 4, side: int = 48) -> DrawRequest:
    return DrawRequest(prompt, seed, steps, 1.0, side, side)
