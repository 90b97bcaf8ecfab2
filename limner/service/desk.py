"""What a job works with: the models of its process, loaded once and shared, as one job may use them.

Drawing is shared (see company); every other model is used by one thread at a time, under a lock of its own, so that a
job never waits for a model that it does not need. Before each use, and at each step of one that has steps, the job may
be called off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, TypeVar, cast

from limner.backends import hardware
from limner.blobs import Blobs
from limner.config import Profile, Settings
from limner.conversations import Conversations
from limner.factory import Factory
from limner.lessons import Lessons
from limner.protocols import (
    Captioner,
    Detector,
    EditModels,
    Eyes,
    Hands,
    ImageTextScorer,
    Inpainter,
    LanguageModel,
    Models,
    Segmenter,
)
from limner.service.company import Company, Painter
from limner.service.ticket import Ticket
from limner.session import Session
from limner.toolbox import Toolbox, is_here

_STOCKS = 2
"""For so many choices of models those of a process stay loaded: the server's own, and what a session began with."""

_Model = TypeVar("_Model")


class Stock:
    """The models of one choice, each loaded once, and who may use them when. All jobs share the painter."""

    def __init__(self, tools: Toolbox) -> None:
        self.tools, self.loading = tools, threading.RLock()
        self.painting, self.scoring, self.looking, self.editing, self.talking = (threading.Lock() for _ in range(5))
        self.company = Company(self._painter, self.painting)

    def _painter(self) -> Painter:
        with self.loading:
            return self.tools.painter


class _InTurn:
    """A model whose methods are called by one thread at a time; `stepping` is the one that can tell its steps."""

    def __init__(self, model: Any, lock: threading.Lock, ticket: Ticket, stepping: str) -> None:
        self._model, self._lock, self._ticket, self._stepping = model, lock, ticket, stepping

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if not callable(found):
            return found
        return partial(self._alone, partial(found, on_step=self._ticket.step) if name == self._stepping else found)

    def _alone(self, method: Callable[..., Any], *args: Any, **given: Any) -> Any:
        with self._ticket.holding(self._lock):
            return method(*args, **given)


def in_turn(model: _Model, lock: threading.Lock, ticket: Ticket, stepping: str = "") -> _Model:
    """A model as one of several jobs may use it: when no other one does, and as long as the job is wanted."""
    return cast(_Model, _InTurn(model, lock, ticket, stepping))


class JobTools(Toolbox):
    """A Toolbox whose models are those of a stock."""

    def __init__(self, settings: Settings, stock: Stock, ticket: Ticket) -> None:
        super().__init__(settings)
        self.stock, self.ticket = stock, ticket

    def pause(self) -> None:
        """Raise Cancelled where the job was called off."""
        self.ticket.check()

    @cached_property
    def plan(self) -> hardware.Plan:
        """Device, threads and precision of the process."""
        with self.stock.loading:
            return self.stock.tools.plan

    @cached_property
    def profile(self) -> Profile:
        """The profile of the stock, read once for all jobs. It waits for no model that another job loads."""
        return self.stock.tools.profile

    @cached_property
    def language(self) -> LanguageModel:
        """The language model. One that is elsewhere may be asked by several jobs at once."""
        with self.stock.loading:
            model = self.stock.tools.language
        elsewhere = self.settings.llm.startswith("openai:")
        return in_turn(model, threading.Lock() if elsewhere else self.stock.talking, self.ticket)

    @cached_property
    def scorer(self) -> ImageTextScorer:
        """The model that says how well texts fit pictures."""
        with self.stock.loading:
            return in_turn(self.stock.tools.scorer, self.stock.scoring, self.ticket)

    @cached_property
    def detector(self) -> Detector:
        """The model that finds what words name."""
        with self.stock.loading:
            return in_turn(self.stock.tools.detector, self.stock.looking, self.ticket)

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model that cuts out what stands in a box."""
        with self.stock.loading:
            return in_turn(self.stock.tools.segmenter, self.stock.looking, self.ticket)

    @cached_property
    def captioner(self) -> Captioner:
        """The model that says what a picture shows."""
        with self.stock.loading:
            return in_turn(self.stock.tools.captioner, self.stock.looking, self.ticket)

    @cached_property
    def models(self) -> Models:
        """All that drawing needs."""
        detector = self.detector if is_here(self.profile.detector.source) else None
        seat = self.stock.company.seat(self.ticket)
        return Models(seat, self.scorer, self.language, detector, self.mender)

    @cached_property
    def eyes(self) -> Eyes:
        """All that looking needs."""
        return Eyes(self.detector, self.segmenter, self.captioner)

    @cached_property
    def inpainter(self) -> Inpainter:
        """The model that fills parts of a picture; it has the painter's weights, so they take turns."""
        with self.stock.loading:
            return in_turn(self.stock.tools.inpainter, self.stock.painting, self.ticket, "fill")

    @cached_property
    def hands(self) -> Hands:
        """All that changing a picture needs."""
        with self.stock.loading:
            editor = self.stock.tools.hands.editor
        return Hands(in_turn(editor, self.stock.editing, self.ticket, "edit"), self.inpainter)

    @cached_property
    def edit_models(self) -> EditModels:
        """All that editing needs."""
        return EditModels(self.eyes, self.scorer, self.hands)


class Shop:
    """A process's models, sessions and pictures. Nothing is loaded before a job needs it; `toolbox` loads."""

    def __init__(self, settings: Settings, toolbox: Callable[[Settings], Toolbox] = Toolbox) -> None:
        self.settings, self._toolbox = settings, toolbox
        self.conversations = Conversations(settings)
        self._stocks: dict[tuple[str | None, ...], Stock] = {}
        self._lock = threading.Lock()

    def stock(self, settings: Settings) -> Stock:
        """The models that some settings name; those that were asked for least lately make room."""
        key = (settings.model, settings.scorer, settings.llm)
        with self._lock:
            found = self._stocks.pop(key, None) or Stock(self._toolbox(settings))
            self._stocks[key] = found
            while len(self._stocks) > _STOCKS:
                del self._stocks[next(iter(self._stocks))]
            return found


class Desk:
    """What one job works with, to be closed when it ends."""

    def __init__(self, shop: Shop, ticket: Ticket) -> None:
        self.shop, self.settings, self.ticket = shop, shop.settings, ticket
        self.tools = self._tools_for(self.settings)
        self.tools.stock.company.join()

    def close(self) -> None:
        """Let nobody wait for this job any more."""
        self.tools.stock.company.leave()

    @property
    def blobs(self) -> Blobs:
        """The pictures."""
        return self.shop.conversations.store.blobs

    @cached_property
    def lessons(self) -> Lessons:
        """The concepts, and how they are learned."""
        return Lessons(self.settings, self.tools)

    def factory_of(self, seed: int | None) -> Factory:
        """The annotated datasets, and how they are made: with the server's seed, unless another is given."""
        given = {} if seed is None else {"seed": seed}
        return Factory(self.settings.model_copy(update=given), self.tools)

    def session(self, name: str, *, begin: bool = False) -> Session:
        """The session of a name, with the models that it was begun with. Raises BadInput where there is none."""
        conversations = Conversations(self.settings, self._tools_for)
        conversations.store = self.shop.conversations.store
        return conversations.open(name) if begin else conversations.existing(name)

    def _tools_for(self, settings: Settings) -> JobTools:
        return JobTools(settings, self.shop.stock(settings), self.ticket)
