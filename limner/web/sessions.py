"""Sessions of the user who asks: what is said in them becomes jobs; what only moves the tip is done at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from limner import archive, history
from limner.service.values import NotFound
from limner.session import Session
from limner.store import SessionState
from limner.turn import Turn, by_id, path_to
from limner.types import BadInput, LimnerError
from limner.web import jobs
from limner.web.answers import DiffAnswer, JobAnswer, SessionAnswer, SessionRow, errors_of, file_of
from limner.web.errors import Refused
from limner.web.params import Forget, Prompt, Say, SessionName, Sha256
from limner.web.security import MAX_JSON
from limner.web.service import Here, Service, User
from limner.web.session_json import row, session_json

router = APIRouter(prefix="/api/sessions", tags=["sessions"], max_body_size=MAX_JSON)
Name = Annotated[str, Path(min_length=1, max_length=64, examples=["main"])]
TurnName = Annotated[str, Field(min_length=1, max_length=64, examples=["2"])]


class _Body(BaseModel, extra="forbid", strict=True):
    """A request's body: nothing unknown is taken."""


class NewSession(_Body):
    """A session to begin."""

    name: SessionName


class Sentence(_Body):
    """What to say; `mask`, a picture that is bright where it may be changed, is for an edit."""

    text: Prompt
    mask: Sha256 | None = None


class Opened(_Body):
    """A picture to go on from."""

    picture: Sha256


class Turned(_Body):
    """A turn by its number, its branch, or the beginning of its id."""

    turn: TurnName


class Branched(_Body):
    """What to call the place where the session is."""

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["night"])]


class Changed(_Body):
    """Settings of a session: how changes are made, and how readily it asks back."""

    mode: Literal["rewrite", "edit", "auto"] | None = None
    ask: Literal["never", "needed", "often"] | None = None


@router.get("", response_model=list[SessionRow], responses=errors_of())
def list_sessions(service: Here, user: User, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> list[dict[str, Any]]:
    """Your sessions, the one that was changed last first."""
    mine = [(name, s) for s in service.store.sessions() if (name := service.plain(user, s.name)) is not None]
    rows: list[dict[str, Any]] = []
    for name, state in mine[:limit]:
        try:
            rows.append(row(name, state, service.store.turns(state.name)))
        except BadInput:
            continue  # removed since
    return rows


@router.post("", status_code=201, response_model=SessionAnswer, responses=errors_of(409))
def begin_session(service: Here, user: User, body: NewSession) -> dict[str, Any]:
    """Begin a session."""
    stored = service.stored(user, body.name)
    if any(state.name == stored for state in service.store.sessions()):
        raise Refused(409, f"there is a session «{body.name}» already", "choose another name")
    service.conversations.open(stored)
    return _shown(service, user, body.name)


@router.get("/{name}", response_model=SessionAnswer, responses=errors_of(404))
def show_session(service: Here, user: User, name: Name) -> dict[str, Any]:
    """One session with all its turns."""
    return _shown(service, user, name)


@router.delete("/{name}", status_code=204, responses=errors_of(404, 409))
def remove_session(service: Here, user: User, name: Name) -> None:
    """Delete a session with its turns, and its pictures where nothing else has them."""
    _known(service, user, name)
    service.conversations.remove(service.check_idle(user, name))


@router.post("/{name}/say", status_code=202, response_model=JobAnswer, responses=errors_of(404))
def say(request: Request, service: Here, user: User, name: Name, body: Sentence) -> dict[str, Any]:
    """Say a sentence: draw, change, ask, answer, undo, whatever it means. What comes of it are turns."""
    _known(service, user, name)
    return jobs.submit(service, request, user, Say(session=name, text=body.text, mask=body.mask))


@router.post("/{name}/open", status_code=202, response_model=JobAnswer, responses=errors_of(404))
def open_picture(request: Request, service: Here, user: User, name: Name, body: Opened) -> dict[str, Any]:
    """Bring an uploaded picture into a session, to be changed there."""
    _known(service, user, name)
    return jobs.submit(service, request, user, Say(session=name, open=body.picture))


@router.post("/{name}/forget", status_code=202, response_model=JobAnswer, responses=errors_of(404))
def forget(request: Request, service: Here, user: User, name: Name, body: Turned) -> dict[str, Any]:
    """Remove a turn's influence: those after it are made again without it."""
    state, turns = _known(service, user, name)
    turn = history.find(turns, state.branches, body.turn)
    return jobs.submit(service, request, user, Forget(session=name, turn=turn.id))


@router.post("/{name}/undo", response_model=SessionAnswer, responses=errors_of(404, 409))
def undo(service: Here, user: User, name: Name) -> dict[str, Any]:
    """Take the last step back."""
    return _changed(service, user, name, lambda session: session.undo())


@router.post("/{name}/redo", response_model=SessionAnswer, responses=errors_of(404, 409))
def redo(service: Here, user: User, name: Name) -> dict[str, Any]:
    """Take an undo back."""
    return _changed(service, user, name, lambda session: session.redo())


@router.post("/{name}/goto", response_model=SessionAnswer, responses=errors_of(404, 409))
def goto(service: Here, user: User, name: Name, body: Turned) -> dict[str, Any]:
    """Go to a turn; what is said next begins there."""
    return _changed(service, user, name, lambda session: session.goto(body.turn))


@router.post("/{name}/branch", response_model=SessionAnswer, responses=errors_of(404, 409))
def branch(service: Here, user: User, name: Name, body: Branched) -> dict[str, Any]:
    """Give the place where the session is a name."""
    return _changed(service, user, name, lambda session: session.branch(body.name))


@router.post("/{name}/set", response_model=SessionAnswer, responses=errors_of(404, 409))
def change_settings(service: Here, user: User, name: Name, body: Changed) -> dict[str, Any]:
    """Change how the session makes changes, and how readily it asks."""

    def change(session: Session) -> None:
        if body.mode:
            session.set("mode", body.mode)
        if body.ask:
            session.set("ask", body.ask)

    return _changed(service, user, name, change)


@router.get("/{name}/diff", response_model=DiffAnswer, responses=errors_of(404))
def diff(
    service: Here,
    user: User,
    name: Name,
    first: Annotated[str, Query(min_length=1, max_length=64, examples=["1"])],
    second: Annotated[str, Query(min_length=1, max_length=64, examples=["2"])],
) -> dict[str, Any]:
    """Two turns side by side: the word diff of their prompts, and their pictures."""
    state, turns = _known(service, user, name)
    known = by_id(turns)
    both = [history.find(turns, state.branches, named) for named in (first, second)]
    nows = [history.now_at(path_to(turn.id, known)) for turn in both]
    sides = [{"turn": t.id, "picture": now.picture, "prompt": now.prompt} for t, now in zip(both, nows, strict=True)]
    words = history.prompt_difference(turns, both[0], both[1])
    return {"prompt": words, "first": sides[0], "second": sides[1]}


@router.get("/{name}/export", response_class=FileResponse, responses=file_of("application/zip"))
def export(service: Here, user: User, name: Name) -> Response:
    """The session with its pictures as one zip, for `limner sessions import`."""
    _known(service, user, name)
    folder = tempfile.TemporaryDirectory(prefix="limner-export-")
    target = FilePath(folder.name) / "session.zip"
    try:
        archive.export_session(service.store, service.stored(user, name), target)
    except BaseException:
        folder.cleanup()
        raise
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    return FileResponse(
        target, media_type="application/zip", filename=f"{plain}.zip", background=BackgroundTask(folder.cleanup)
    )


def _known(service: Service, user: str, name: str) -> tuple[SessionState, list[Turn]]:
    """A session's state and turns. Raises NotFound for one that is not there, whatever its name."""
    try:
        stored = service.stored(user, name)
        return service.store.load(stored), service.store.turns(stored)
    except BadInput:
        raise NotFound(f"there is no session «{name[:64]}»", "GET /api/sessions lists yours") from None


def _shown(service: Service, user: str, name: str) -> dict[str, Any]:
    state, turns = _known(service, user, name)
    job = service.running(service.stored(user, name))
    return session_json(name, state, turns, job.id if job else None)


def _changed(service: Service, user: str, name: str, change: Callable[[Session], object]) -> dict[str, Any]:
    """Change a session at once. Raises Refused (409) while a job changes it, or where somebody else just did."""
    _known(service, user, name)
    session = service.conversations.existing(service.check_idle(user, name))
    try:
        change(session)
    except LimnerError as error:
        if isinstance(error, BadInput) or _version(service, session) == session.state.version:
            raise
        raise Refused(409, f"the session «{name}» was changed meanwhile", "look at it again") from error
    return _shown(service, user, name)


def _version(service: Service, session: Session) -> int:
    return service.store.load(session.state.name).version
