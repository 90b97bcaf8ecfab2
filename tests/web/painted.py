"""A whole server on a socket in the painter's world: uvicorn, the queue and a worker are real, the models are exact."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image

from limner.backends.language import RulesModel
from limner.config import Settings
from limner.protocols import DrawRequest, Hands
from limner.service.desk import Shop, Stock
from limner.service.queue import JobQueue
from limner.service.watch import Bell
from limner.service.worker import Worker
from limner.toolbox import Toolbox
from limner.types import Picture
from limner.web.app import create_app
from limner.web.security import Rules
from limner.web.server import Server, address, bind
from limner.web.service import Service
from tests import retoucher
from tests.retoucher import Filler, Retoucher, ShapeScorer
from tests.service.easels import StepPainter
from tests.web.serving import Busy

PATIENCE_S = 120.0
"""The first job loads libraries, beside whatever else the machine does."""


class SizedPainter(StepPainter):
    """The painter of shapes, whose pictures have the size that was asked for."""

    def draw(self, requests: Any, **told: Any) -> list[Picture]:
        return [_sized(picture, each) for picture, each in zip(super().draw(requests, **told), requests, strict=True)]


def _sized(picture: Picture, request: DrawRequest) -> Picture:
    image = Image.fromarray(picture.pixels).resize((request.width, request.height), Image.Resampling.NEAREST)
    return Picture(np.array(image))


class PaintersBox(Toolbox):
    """A toolbox of the painter's models."""

    painter: Any = None
    scorer: Any = ShapeScorer()
    detector: Any = retoucher.EYES.detector
    segmenter: Any = retoucher.EYES.segmenter
    captioner: Any = retoucher.EYES.captioner
    language: Any = RulesModel()
    inpainter: Any = Filler()

    @cached_property
    def hands(self) -> Hands:
        return Hands(Retoucher(noise=0), self.inpainter)


class PaintersShop(Shop):
    """A shop that has nothing but the painter's models."""

    def __init__(self, settings: Settings, painter: StepPainter) -> None:
        super().__init__(settings)
        box = PaintersBox(settings)
        box.painter = painter
        self._one = Stock(box)

    def stock(self, settings: Settings) -> Stock:
        return self._one


@dataclass(frozen=True)
class Painted:
    """A server that runs: its address, and what is behind it."""

    url: str
    service: Service
    painter: StepPainter


@contextmanager
def serving(service: Service, allowed: Rules | None = None) -> Generator[str]:
    """A service on a port of its own; its address without the last slash."""
    with serving_app(create_app(service, allowed), service) as url:
        yield url


@contextmanager
def serving_app(app: FastAPI, service: Service) -> Generator[str]:
    """An app of a service on a port of its own; its address without the last slash."""
    socket = bind("127.0.0.1", 0)
    server = Server(app, service)
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield address("127.0.0.1", socket).rstrip("/")
    finally:
        server.handle_exit(2, None)
        thread.join(PATIENCE_S)
        socket.close()
        assert not thread.is_alive()


@contextmanager
def working(service: Service, painter: StepPainter) -> Generator[Worker]:
    """A worker in a thread, with the painter's models, for the jobs of a service."""
    shop, bell = PaintersShop(service.settings, painter), Bell()
    queue = JobQueue(shop.conversations.store)
    queue.on_change.append(service.watcher.poke)
    service.queue.on_change.append(bell.ring)
    worker = Worker(f"painter-{uuid.uuid4().hex}", queue, shop, bell)
    thread = threading.Thread(target=worker.work, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop.set()
        bell.ring()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        shop.conversations.store.close()


@contextmanager
def painted(folder: Path, *, gate: bool = False, allowed: Rules | None = None, **settings: Any) -> Generator[Painted]:
    """A server and its worker over a new store in `folder`; with `gate` the painter waits before each step."""
    service = Service(Settings(data=folder, cache=folder / "cache", **settings), workers=Busy())
    painter = SizedPainter(gate=gate)
    with serving(service, allowed) as url, working(service, painter):
        try:
            yield Painted(url, service, painter)
        finally:
            if painter.gate:
                painter.gate.release(10_000)


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
