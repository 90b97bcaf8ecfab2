"""A session in the painter's world, where everything is exact: what its tests talk to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.backends.language import RulesModel
from limner.blobs import Blobs
from limner.draw import DrawOptions
from limner.perform import Bench
from limner.protocols import EditModels, Eyes, LanguageModel, Models
from limner.session import Session
from limner.store import Store
from limner.turn import Turn
from limner.types import Event
from tests import retoucher
from tests.painter import Painter


@dataclass(frozen=True)
class PaintersTools:
    """The models of a session that draws, finds and changes shapes."""

    language: LanguageModel = field(default_factory=RulesModel)
    models: Models = field(init=False)
    edit_models: EditModels = field(default_factory=retoucher.models)
    sees: bool = True
    versions: Mapping[str, str] = field(default_factory=lambda: {"painter": "1"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", Models(Painter(), self.edit_models.scorer, RulesModel()))

    @property
    def eyes(self) -> Eyes:
        return self.edit_models.eyes


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
