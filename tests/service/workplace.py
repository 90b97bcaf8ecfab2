"""A workplace in the painter's world: where jobs are carried out exactly, and without loading anything heavy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from limner.backends.hardware import Plan
from limner.backends.language import RulesModel
from limner.config import Settings
from limner.image import png_bytes
from limner.protocols import DrawRequest, Hands
from limner.service import worker
from limner.service.desk import Desk, Shop
from limner.service.queue import JobQueue
from limner.service.ticket import Ticket
from limner.service.values import Job, Kind
from limner.service.watch import Bell
from limner.service.worker import Terms
from limner.toolbox import Toolbox
from limner.types import Picture
from tests import retoucher
from tests.painter import PixelScorer
from tests.service.easels import StepPainter, until


class SlowPainter(StepPainter):
    """Takes some seconds for every step."""

    default_steps = 4

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s

    def draw(
        self,
        requests: Sequence[DrawRequest],
        *,
        on_step: Callable[[int, int], None] | None = None,
        on_preview: Callable[[int, Picture], None] | None = None,
    ) -> list[Picture]:
        def step(done: int, total: int) -> None:
            time.sleep(self.step_s)
            if on_step:
                on_step(done, total)

        return super().draw(requests, on_step=step, on_preview=on_preview)


class PaintersBox(Toolbox):
    """The models of the painter's world, where a Toolbox loads others."""

    def __init__(self, settings: Settings, painter: StepPainter | None = None, step_s: float = 0.0) -> None:
        super().__init__(settings)
        made: dict[str, Any] = {
            "painter": painter or SlowPainter(step_s),
            "plan": Plan("cpu", 1, "float32", ""),
            "scorer": PixelScorer(),
            "language": RulesModel(),
            "detector": retoucher.EYES.detector,
            "segmenter": retoucher.EYES.segmenter,
            "captioner": retoucher.EYES.captioner,
            "inpainter": (filler := retoucher.Filler()),
            "hands": Hands(retoucher.Retoucher(), filler),
        }
        self.__dict__.update(made)


def settings_in(folder: Path, **changes: Any) -> Settings:
    return Settings(data=folder, cache=folder / "cache", seed=3, count=4, rounds=3, **changes)


def shop_in(folder: Path, painter: StepPainter | None = None) -> Shop:
    return Shop(settings_in(folder), lambda settings: PaintersBox(settings, painter))


def desk_in(folder: Path, ticket: Ticket | None = None) -> Desk:
    return Desk(shop_in(folder), ticket or Ticket())


def queue_in(folder: Path, **changes: Any) -> JobQueue:
    return JobQueue(shop_in(folder).conversations.store, **changes)


def job(kind: Kind, **params: Any) -> Job:
    return Job("0" * 32, "local", kind, params, "running", 0.0, attempts=1)


def upload(desk: Desk, picture: Picture) -> str:
    """What an upload leaves in the store."""
    return desk.blobs.put(png_bytes(picture))


def ended(queue: JobQueue, *jobs: Job, seconds: float = 20) -> list[Job]:
    """The jobs when all of them have ended."""
    until(lambda: all(queue.get(each.id).ended for each in jobs), seconds)
    return [queue.get(each.id) for each in jobs]


def main(step_s: float, settings: Settings, name: str, terms: Terms, bell: Bell, server: Bell | None = None) -> None:
    """A worker process in the painter's world: `limner.service.worker.main` with other models."""
    worker.Shop = partial(Shop, toolbox=partial(PaintersBox, step_s=step_s))
    worker.main(settings, name, terms, bell, server)
