"""A session in the painter's world, where everything is exact: what its tests talk to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.backends.language import RulesModel
from limner.blobs import Blobs
from limner.concept import uses
from limner.draw import DrawOptions
from limner.perform import Bench, Work
from limner.protocols import EditModels, Eyes, LanguageModel, Models
from limner.session import Session
from limner.store import Store
from limner.turn import Turn
from limner.types import BadInput, Event, Picture
from tests import retoucher
from tests.painter import Painter


@dataclass(frozen=True)
class PaintersTools:
    """The models of a session that draws, finds and changes shapes."""

    language: LanguageModel = field(default_factory=RulesModel)
    models: Models = field(init=False)
    edit_models: EditModels = None  # pyright: ignore[reportAssignmentType]
    sees: bool = True
    versions: Mapping[str, str] = field(default_factory=lambda: {"painter": "1"})
    shelf: dict[str, str] = field(default_factory=dict[str, str])
    lessons: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        object.__setattr__(self, "edit_models", self.edit_models or retoucher.models(likes=self.shelf))
        painter = Painter(likes=self.shelf)
        object.__setattr__(self, "models", Models(painter, self.edit_models.scorer, RulesModel()))

    @property
    def eyes(self) -> Eyes:
        return self.edit_models.eyes

    def likes(self, text: str) -> Mapping[str, str]:
        return {use.name: self.shelf[use.name] for use in uses(text) if use.name in self.shelf}

    def concept_file(self, name: str) -> str:
        return _file(name, self.shelf[name]) if name in self.shelf else ""

    def learn(self, picture: Picture, name: str, chosen: Mapping[str, Any]) -> Work:
        """A concept is the first thing of a picture; `lessons` counts how often one was learned."""
        if name in self.shelf:
            raise BadInput(f"<{name}> is known already")
        yield Event("learn", "looking", 1, 2)
        things = [region.label for region in retoucher.found_in(picture)]
        like = str(chosen.get("like") or next(iter(things), ""))
        yield Event("learn", "looking", 2, 2)
        self.shelf[name] = like
        self.lessons.append(name)
        settings = {"name": name, "like": like, "steps": chosen.get("steps", 2), "method": "naming"}
        told: dict[str, Any] = {"name": name, "like": like, "method": "naming", "steps": settings["steps"]}
        return told | {"settings": settings, "reference": picture.sha256, "concept": _file(name, like)}


def _file(name: str, like: str) -> str:
    """What stands for the sha256 of a concept's file."""
    return hashlib.sha256(f"{name}:{like}".encode()).hexdigest()


def bench(folder: Path, tools: PaintersTools | None = None, seed: int = 3) -> Bench:
    return Bench(
        tools or PaintersTools(), Blobs(str(folder / "pictures")), DrawOptions("-", 8, 2), {"attempts": 4}, seed
    )


def open_session(folder: Path, name: str = "test", tools: PaintersTools | None = None, **settings: Any) -> Session:
    """The session of that name in `folder`, begun where there is none."""
    made = bench(folder, tools)
    store = Store(f"sqlite:///{folder / 'limner.db'}", made.blobs)
    known = {state.name: state for state in store.sessions()}
    return Session(store, known.get(name) or store.create(name, settings), made)


def say(session: Session, sentence: str) -> tuple[list[Event], tuple[Turn, ...]]:
    """A sentence's events and turns."""
    events: list[Event] = []
    work = session.say(sentence)
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def shown(session: Session) -> set[str]:
    """The shapes in the picture where the session stands."""
    now = session.now
    assert now.picture is not None
    return {region.label for region in retoucher.found_in(session.bench.picture(now.picture))}
