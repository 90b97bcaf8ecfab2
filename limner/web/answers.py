"""What the API answers, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from limner.service.values import Kind, State

_JOB: dict[str, Any] = {
    "id": "0b6a3cf1c3a14a76b3a6a6b0b7a0a6f1",
    "kind": "draw",
    "state": "queued",
    "position": 0,
    "created": 1767225600.0,
    "params": {"prompt": "a red fox in the snow"},
    "links": {
        "self": "/api/jobs/0b6a3cf1c3a14a76b3a6a6b0b7a0a6f1",
        "events": "/api/jobs/0b6a3cf1c3a14a76b3a6a6b0b7a0a6f1/events",
        "cancel": "/api/jobs/0b6a3cf1c3a14a76b3a6a6b0b7a0a6f1/cancel",
    },
}
_WHAT: Mapping[int, str] = {
    400: "what was asked for cannot be carried out",
    401: "a token is needed",
    403: "another host's name, or another site's page",
    404: "there is none, or it is another user's",
    409: "it is being changed, or was changed meanwhile",
    413: "the body is too large",
    415: "another type of content",
    422: "a field is missing, unknown, or out of its bounds",
    429: "too many requests, or the queue is full: see Retry-After",
    503: "the store cannot be read or written now",
}
_ALWAYS = (400, 401, 403, 413, 422, 429, 503)


class Problem(BaseModel):
    """What was wrong and what to do next."""

    message: str
    hint: str
    type: str


class ErrorAnswer(BaseModel):
    """Every error has this form."""

    error: Problem


class JobAnswer(BaseModel):
    """A job and how far it is. Times are Unix time; `position` is how many jobs are before it."""

    model_config = {"json_schema_extra": {"examples": [_JOB]}}
    id: str
    kind: Kind
    state: State
    position: int = 0
    created: float
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    cancel: bool = False
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    params: dict[str, Any]
    links: dict[str, str]


class PictureAnswer(BaseModel):
    """A picture in the store: its name there, its size in pixels, and its recipe where it has one."""

    picture: str = Field(examples=["0" * 64])
    width: int
    height: int
    recipe: dict[str, Any] | None = None


class Choice(BaseModel):
    """The question that waits for an answer."""

    turn: str
    text: str
    choices: list[str]


class Standing(BaseModel):
    """Where a session is: the picture, the prompt that describes it, and how well it shows each word."""

    prompt: str | None
    picture: str | None
    passed: bool | None = None
    scores: dict[str, float] | None = None
    threshold: dict[str, float] | None = None


class TurnAnswer(BaseModel):
    """One turn of a session; a field that says nothing of its kind is null. `number` counts from 1."""

    id: str
    number: int
    parent: str | None
    kind: str
    headline: str
    said: str
    picture: str | None = None
    prompt: str | None = None
    instruction: str | None = None
    scores: dict[str, float] | None = None
    threshold: dict[str, float] | None = None
    passed: bool | None = None
    checks: dict[str, dict[str, Any]] | None = None
    warnings: list[str] = []
    question: str | None = None
    choices: list[str] | None = None
    reply: str | None = None
    writer: str | None = None
    diff: list[tuple[Literal["same", "out", "in"], str]] | None = None
    drawn: int | None = None
    scorer: str | None = None
    llm: str | None = None
    seed: int | None = None
    drawn_with: str | None = None
    name: str | None = None
    on_path: bool
    created: float
    seconds: float


class SessionAnswer(BaseModel):
    """A session: where it is, and its whole tree."""

    name: str
    tip: str | None
    mode: str
    ask: str
    created: float
    branches: dict[str, str]
    question: Choice | None
    can_undo: bool
    can_redo: bool
    now: Standing | None
    turns: list[TurnAnswer]
    job: str | None


class SessionRow(BaseModel):
    """A session in a list: how many turns, and what it shows."""

    name: str
    turns: int
    shows: str | None
    picture: str | None
    created: float


class DiffAnswer(BaseModel):
    """Two turns side by side: what changed in the prompt, word for word, and both pictures."""

    prompt: list[tuple[Literal["same", "out", "in"], str]]
    first: dict[str, str | None]
    second: dict[str, str | None]


class ConceptRow(BaseModel):
    """A concept on the shelf; `problem` says why one cannot be used, "" for a good one."""

    name: str
    word: str
    kind: str
    like: str
    method: str
    base: str
    steps: int | None
    bytes: int
    problem: str
    thumbnail: str | None


class TakenConcept(BaseModel):
    """A concept that was taken in: how much of the file was understood."""

    name: str
    word: str
    matched: int
    of: int
    unknown: list[str]


class DatasetRow(BaseModel):
    """A dataset in a list."""

    name: str
    complete: bool
    accepted: int
    rejected: int
    classes: list[str]
    job: str | None


class DatasetPicture(BaseModel):
    """One picture of a dataset, accepted or rejected. Boxes are x0, y0, x1, y1 in pixels."""

    id: str
    url: str | None
    width: int | None
    height: int | None
    caption: str
    split: str | None
    boxes: list[dict[str, Any]]
    reason: str | None
    detail: str | None
    scores: dict[str, float]


def errors_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for its documentation: those that any route has, and these."""
    every = sorted({*_ALWAYS, *statuses})
    return {status: {"model": ErrorAnswer, "description": _WHAT[status]} for status in every}


def file_of(*types: str, errors: tuple[int, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that sends a file of one of these types."""
    content = {each: {"schema": {"type": "string", "format": "binary"}} for each in types}
    return {200: {"content": content, "description": "the file"}, **errors_of(404, *errors)}
