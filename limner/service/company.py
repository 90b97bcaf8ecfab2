"""One painter for several jobs at once: what they ask for at the same time is drawn in one batch.

The painter itself makes sure that a picture does not depend on its batch (see backends.diffusion), so that a job's
pictures are the same alone and in company, whoever joins or leaves. It draws in a thread of its own: a job that is
called off leaves at once, its mates go on; when all have left, the drawing ends within one step.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from limner.concept import uses
from limner.protocols import DrawRequest, Learned, TextToImage
from limner.service.ticket import Ticket
from limner.types import Picture

WINDOW_S = 0.02
"""How long the painter waits for the others before it begins; not at all where there are none."""


class Painter(TextToImage, Protocol):
    """A TextToImage that shows what it draws."""

    def draw(
        self,
        requests: Sequence[DrawRequest],
        *,
        on_step: Callable[[int, int], None] | None = None,
        on_preview: Callable[[int, Picture], None] | None = None,
    ) -> list[Picture]:
        """As TextToImage does; `on_preview(place, picture)` gets small pictures of a request on the way."""
        ...


class _Deserted(Exception):
    """All whose pictures are being drawn have left."""


@dataclass(slots=True, eq=False)
class _Call:
    """What one job asked for in one call, and what came of it."""

    ticket: Ticket
    requests: Sequence[DrawRequest]
    on_step: Callable[[int, int], None] | None
    pictures: list[Picture] | None = None
    error: Exception | None = None
    shown: int = 0

    @property
    def steps(self) -> int:
        return sum(request.steps for request in self.requests)

    @property
    def look(self) -> tuple[object, ...]:
        """What calls have in common that are worth drawing together."""
        return tuple(sorted({(r.width, r.height, r.steps, r.guidance) for r in self.requests}))

    def stepped(self, done: int, total: int) -> None:
        """Tell its share of the steps of the whole batch."""
        for tell in (self.ticket.on_step, self.on_step):
            if tell:
                tell(done * self.steps // total, self.steps)

    def show(self, picture: Picture) -> None:
        self.shown += 1
        if self.shown <= self.ticket.previews:
            self.ticket.on_preview(picture)


class Company:
    """The painter, the jobs that are here, and what they wait for, the oldest first.

    The painter is loaded by `load` for the first who takes a seat. `alone` is held while it draws: by it, or by others
    who use its weights.
    """

    def __init__(
        self, load: Callable[[], Painter], alone: threading.Lock | None = None, window_s: float = WINDOW_S
    ) -> None:
        self.load, self.alone, self.window_s = load, alone or threading.Lock(), window_s
        self._calls = deque[_Call]()
        self._here = 0
        self._changed = threading.Condition()
        self._loading = threading.Lock()
        self._painter: Painter | None = None

    @property
    def painter(self) -> Painter:
        """The painter, loaded once."""
        with self._loading:
            if self._painter is None:
                self._painter = self.load()
                threading.Thread(target=self._work, args=(self._painter,), daemon=True, name="painter").start()
            return self._painter

    def join(self) -> None:
        """Come in: from now on the painter waits a moment for this job when another one asks for something."""
        with self._changed:
            self._here += 1

    def leave(self) -> None:
        """Go for good."""
        with self._changed:
            self._here -= 1
            self._changed.notify_all()

    def seat(self, ticket: Ticket) -> Seat:
        """The painter as one job sees it."""
        return Seat(self, self.painter, ticket)

    def draw(self, call: _Call) -> list[Picture]:
        """Have a call drawn, with others or alone. Raises Cancelled, and whatever the painter raises for this call."""
        call.ticket.check()
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
        while call.pictures is None and call.error is None:
            call.ticket.wait()
        if call.error is not None:
            raise call.error
        assert call.pictures is not None
        return call.pictures

    def _work(self, painter: Painter) -> None:
        while True:
            group = self._gathered(painter.max_batch)
            if group:
                self._draw(painter, group)

    def _gathered(self, room: int) -> list[_Call]:
        """The oldest call and those that fit to it, after a moment for the others who may want to come along."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._calls) > 0)
            until = time.monotonic() + self.window_s
            while len(self._calls) < self._here and self._asked() < room and time.monotonic() < until:
                self._changed.wait(until - time.monotonic())
            wanted = [call for call in self._calls if not call.ticket.off]
            group = _fitting(wanted, room)
            self._calls = deque(call for call in wanted if call not in group)
            return group

    def _asked(self) -> int:
        return sum(len(call.requests) for call in self._calls)

    def _draw(self, painter: Painter, group: list[_Call]) -> None:
        """Draw calls together; where that fails each alone, so that nobody suffers for another one's."""
        try:
            pictures = self._drawn(painter, group)
        except _Deserted:
            return
        except Exception as error:  # whatever it is, it is told by the job
            if len(group) > 1:
                for call in (call for call in group if not call.ticket.off):
                    self._draw(painter, [call])
                return
            group[0].error = error
        else:
            for call in group:
                call.pictures, pictures = pictures[: len(call.requests)], pictures[len(call.requests) :]
        for call in group:
            call.ticket.ring()

    def _drawn(self, painter: Painter, group: list[_Call]) -> list[Picture]:
        requests = [request for call in group for request in call.requests]
        shown = _first_places(group)

        def on_step(done: int, total: int) -> None:
            present = [call for call in group if not call.ticket.off]
            if not present:
                raise _Deserted
            for call in present:
                call.stepped(done, total)

        def on_preview(place: int, picture: Picture) -> None:
            if place in shown:
                shown[place].show(picture)

        with self.alone:
            on_step(0, sum(call.steps for call in group))  # they may have left while others had the weights
            return painter.draw(requests, on_step=on_step, on_preview=on_preview if shown else None)


def _fitting(calls: Sequence[_Call], room: int) -> list[_Call]:
    """The first call, and those of the others that look like it and find room beside it."""
    group = list(calls[:1])
    for call in calls[1:]:
        taken = sum(len(each.requests) for each in group)
        if call.look == group[0].look and taken + len(call.requests) <= room:
            group.append(call)
    return group


def _first_places(group: Sequence[_Call]) -> dict[int, _Call]:
    """Where in the batch the first picture of each call is that wants to be shown: one of a call is enough to see."""
    places, place = dict[int, _Call](), 0
    for call in group:
        if call.ticket.previews:
            places[place] = call
        place += len(call.requests)
    return places


class Seat:
    """A TextToImage for one job: its requests are drawn with those of the others."""

    def __init__(self, company: Company, painter: Painter, ticket: Ticket) -> None:
        self.company, self.painter, self.ticket = company, painter, ticket
        self.name, self.model_hash, self.sampler = painter.name, painter.model_hash, painter.sampler
        self.default_size, self.default_steps = painter.default_size, painter.default_steps
        self.default_guidance, self.max_batch = painter.default_guidance, painter.max_batch

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Draw one picture per request, in order. Raises as the painter does, and Cancelled."""
        return self.company.draw(_Call(self.ticket, requests, on_step)) if requests else []

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of `prompt` that the painter never learned."""
        return self.painter.unknown_words(prompt)

    def unwanted(self, prompt: str) -> str:
        """The negative prompt when nobody gives one."""
        return self.painter.unwanted(prompt)

    def concepts(self, prompt: str) -> list[Learned]:
        """The learned concepts that `prompt` names, made ready. Raises as the painter does."""
        if not uses(prompt):  # most prompts: nobody has to wait for the weights
            return []
        with self.ticket.holding(self.company.alone):
            return self.painter.concepts(prompt)
