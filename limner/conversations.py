"""Sessions as a user has them: opened by name with the settings they had, listed, taken elsewhere, made again.

What decides a picture (model, language model, seeds, scales) is kept with the session when it begins, so that tomorrow
it goes on as it was; what is said on the command line since then counts and is kept as well.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from limner import archive, history
from limner.blobs import Blobs
from limner.concept import uses
from limner.concept_file import fingerprint
from limner.config import Settings
from limner.draw import DrawOptions
from limner.lessons import Lessons
from limner.perform import Bench, Work
from limner.protocols import EditModels, Eyes, LanguageModel, Models
from limner.refine import SEEDS
from limner.remake import Forgotten, Replayed
from limner.session import Session
from limner.store import SessionState, Store
from limner.toolbox import Toolbox
from limner.turn import by_id, path_to
from limner.types import BadInput, Event, Picture

KEPT = (
    "model", "scorer", "llm", "seed", "count", "rounds", "threshold", "steps", "guidance", "size", "text_guidance",
    "image_guidance", "ask", "mode", "writer",
)  # fmt: skip
"""The settings that a session keeps."""


class Conversations:
    """The sessions of one store, their models from `toolbox`; nothing is opened before it is asked for."""

    def __init__(self, settings: Settings, toolbox: Callable[[Settings], Toolbox] = Toolbox) -> None:
        self.settings, self._toolbox = settings, toolbox

    @cached_property
    def store(self) -> Store:
        """The store: SQLite and a folder of pictures under `data`, unless the settings name others."""
        named, data = self.settings.database_url, self.settings.data
        url = named.get_secret_value() if named else f"sqlite:///{data / 'limner.db'}"
        return Store(url, Blobs(self.settings.blobs_url or str(data / "pictures")))

    @property
    def is_there(self) -> bool:
        """Whether there is a store yet; asking it makes none."""
        return self.settings.database_url is not None or (self.settings.data / "limner.db").is_file()

    def open(self, name: str) -> Session:
        """The session of this name, begun where there is none. Raises BadInput for a bad name or unknown models."""
        state = self._found(name) or self.store.create(name, self._begun())
        kept = {field: getattr(self.settings, field) for field in KEPT if field in self.settings.model_fields_set}
        settings = Settings.model_validate(self.settings.model_dump() | dict(state.settings) | kept)
        now = _stored(settings)
        if now != state.settings:
            state = self.store.save(replace(state, settings=now))
        return Session(self.store, state, _bench(self._toolbox(settings), self.store.blobs))

    def existing(self, name: str) -> Session:
        """The session of this name. Raises BadInput, naming those that exist, where there is none."""
        self.store.load(name)
        return self.open(name)

    def list(self) -> list[dict[str, Any]]:
        """Every session, the one changed last first: name, turns, what it shows now, when it was begun."""
        return [self._told(state) for state in self.store.sessions()] if self.is_there else []

    def show(self, name: str) -> dict[str, Any]:
        """One session: its settings, its branches, and its turns in order with their parents' numbers."""
        state, turns = self.store.load(name), self.store.turns(name)
        numbers: dict[str | None, int] = {turn.id: number for number, turn in enumerate(turns, 1)}
        rows = [history.turn_report(turn, numbers.get(turn.parent)) for turn in turns]
        branches = {branch: numbers[turn] for branch, turn in state.branches.items()}
        return {**self._told(state), "settings": dict(state.settings), "branches": branches, "rows": rows}

    def export(self, name: str, target: Path) -> dict[str, Any]:
        """Write a session as one zip; returns what is in it. Raises BadInput for a file that is there already."""
        if target.exists():
            raise BadInput(f"{target} already exists", "name a new file")
        return archive.export_session(self.store, name, target)

    def take_in(self, file: Path, name: str | None) -> dict[str, Any]:
        """Import a zip as a new session. Raises BadInput for one that is unsafe or damaged, and for a taken name."""
        return self._told(archive.import_session(self.store, file, name))

    def replay(self, name: str) -> Generator[Event, None, list[Replayed]]:
        """Make every turn again from its record, in this process; nothing is recorded."""
        return (yield from self.existing(name).replay())

    def forget(self, name: str, turn: str) -> Generator[Event, None, Forgotten]:
        """Remove a turn's influence from the way to the tip."""
        session = self.existing(name)
        return (yield from session.forget(session.find(turn).id))

    def remove(self, name: str) -> None:
        """Delete a session with its turns, and its pictures where no other session has them."""
        self.store.remove(name)

    def problems(self) -> list[str]:
        """Every fault of the store in words, after checking every hash; none without a store."""
        return self.store.check() if self.is_there else []

    def _found(self, name: str) -> SessionState | None:
        return next((state for state in self.store.sessions() if state.name == name), None)

    def _begun(self) -> Mapping[str, Any]:
        seed = secrets.randbelow(SEEDS) if self.settings.seed is None else self.settings.seed
        return _stored(self.settings.model_copy(update={"seed": seed}))

    def _told(self, state: SessionState) -> dict[str, Any]:
        turns = self.store.turns(state.name)
        now = history.now_at(path_to(state.tip, by_id(turns)))
        return {"session": state.name, "turns": len(turns), "shows": now.prompt, "created": state.created}


@dataclass(frozen=True, slots=True)
class _Tools:
    """A toolbox as sessions see it: what is loaded when it is first asked for looks like what is there."""

    box: Toolbox

    @property
    def models(self) -> Models:
        return self.box.models

    @property
    def edit_models(self) -> EditModels:
        return self.box.edit_models

    @property
    def eyes(self) -> Eyes:
        return self.box.eyes

    @property
    def sees(self) -> bool:
        return self.box.sees

    @property
    def language(self) -> LanguageModel:
        return self.box.language

    @property
    def versions(self) -> Mapping[str, str]:
        return self.box.versions

    def likes(self, text: str) -> Mapping[str, str]:
        shelf = self.box.shelf
        found: dict[str, str] = {}
        for use in uses(text):
            with suppress(BadInput):  # whoever draws with it says what is wrong
                found[use.name] = shelf.get(use.name).about.like
        return found

    def concept_file(self, name: str) -> str:
        path = self.box.shelf.path(name)
        return fingerprint(path) if path.is_file() else ""

    def learn(self, picture: Picture, name: str, chosen: Mapping[str, Any]) -> Work:
        return Lessons(self.box.settings, self.box).learn_picture(picture, name, chosen)


def _stored(settings: Settings) -> dict[str, Any]:
    """The settings that a session keeps, as JSON values."""
    return settings.model_dump(mode="json", include=set(KEPT), exclude_none=True)


def _bench(tools: Toolbox, blobs: Blobs) -> Bench:
    settings = tools.settings
    width, height = settings.size or (None, None)
    least = tools.profile.scorer.threshold if settings.threshold is None else settings.threshold
    drawing = DrawOptions(
        "-", settings.count, settings.rounds, least, None, settings.steps, settings.guidance, width, height
    )
    editing = settings.model_dump(include={"steps", "text_guidance", "image_guidance"}, exclude_none=True)
    attempts = {} if settings.count is None else {"attempts": settings.count}
    return Bench(_Tools(tools), blobs, drawing, {**editing, **attempts}, settings.seed or 0)
