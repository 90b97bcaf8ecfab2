"""What is said of a job and of what happens in it: frozen values, their JSON, and the errors that the queue raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from limner.types import BadInput, LimnerError

Kind = Literal["draw", "edit", "look", "say", "forget", "learn", "synth"]
"""What a job does: a verb of the command line, or of a session."""

State = Literal["queued", "running", "done", "failed", "cancelled"]
"""A job goes from the first to the last in this order, but back to the queue when its worker died; the last three are
ends, and a job that has ended never changes."""

KINDS: tuple[Kind, ...] = get_args(Kind)
STATES: tuple[State, ...] = get_args(State)
ENDS: tuple[State, ...] = ("done", "failed", "cancelled")
"""The states in which a job has ended. The last event of a job, and no other, has one of them as its kind."""

PASSING = ("progress", "preview", "step", "item", "learn")
"""Kinds of events that the next of their kind makes worthless: the queue keeps the newest PASSING_KEPT of a job."""

PASSING_KEPT = 200
PARAMS_BYTES = 100_000
"""How long the JSON of a job's params may be."""

_NAMED: Mapping[Kind, tuple[str, str]] = {
    "say": ("session", "session"),
    "forget": ("session", "session"),
    "learn": ("concept", "name"),
    "synth": ("dataset", "name"),
}
"""Kinds that change something that has a name: what it is, and the param that has its name."""


class NotFound(BadInput):
    """There is no such job, or it is another user's, which is not told apart."""


class Lost(LimnerError):
    """A worker spoke of a job that is not, or no longer, its own: it must leave it."""


class Full(LimnerError):
    """The queue takes no more jobs. `retry_after` is in how many seconds there may be room, at least 1."""

    def __init__(self, message: str, hint: str, retry_after: int) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work and how far it is.

    `id` is 32 hex digits. `params`, `result` (of a job that is done) and `error` ({"message", "hint"} of one that
    failed) hold JSON values. `created`, `started` (the newest attempt) and `finished` are Unix time, None for what has
    not happened. `attempts` counts how often a worker began it. `cancel`: its end was asked for. Jobs of equal `shape`
    may be drawn in one batch; "" fits no other.
    """

    id: str
    user: str
    kind: Kind
    params: Mapping[str, Any]
    state: State
    created: float
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None
    cancel: bool = False
    shape: str = ""

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in ENDS


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something happened in a job: the `seq`-th event of it, counted from 1 (some of PASSING are missing later).

    `kind`, `message`, `done`, `total` and `data` are those of limner.types.Event, with JSON values only in `data`.
    The queue adds «queued» (data: position, attempts), «started» (data: attempts) and one last: «done» (data: result),
    «failed» (data: error) or «cancelled». `created` is Unix time.
    """

    job: str
    seq: int
    kind: str
    message: str = ""
    done: int = 0
    total: int = 0
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    created: float = 0.0

    @property
    def last(self) -> bool:
        """True when no event of the job follows."""
        return self.kind in ENDS


def key(job: Job) -> str:
    """What a job changes: «session:NAME», «concept:NAME», «dataset:NAME», or "" for a job that changes nothing named.

    Jobs of one key run one after the other, in the order they were submitted. A lesson within a session changes that.
    """
    if job.kind not in _NAMED:
        return ""
    what, param = _NAMED["say"] if job.params.get("session") else _NAMED[job.kind]
    return f"{what}:{job.params.get(param, '')}"


def job_json(job: Job, position: int = 0) -> dict[str, Any]:
    """A job as the API shows it; `position` is how many jobs are before it in the queue."""
    here = f"/api/jobs/{job.id}"
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "position": position,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "attempts": job.attempts,
        "cancel": job.cancel,
        "result": job.result,
        "error": job.error,
        "params": job.params,
        "links": {"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"},
    }


def event_json(event: JobEvent) -> dict[str, Any]:
    """An event as the API shows it."""
    return {
        "job": event.job,
        "seq": event.seq,
        "kind": event.kind,
        "message": event.message,
        "done": event.done,
        "total": event.total,
        "data": event.data,
        "created": event.created,
    }
