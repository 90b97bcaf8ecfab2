"""What can happen to a job, each within one transaction of the queue: it begins, tells, waits again, ends."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from limner.service.values import (
    ENDS,
    KINDS,
    PARAMS_BYTES,
    PASSING,
    PASSING_KEPT,
    Full,
    Job,
    Lost,
    NotFound,
    State,
    key,
)
from limner.store.jobs import Content, Jobs, Record
from limner.turn import canonical
from limner.types import BadInput, Event

RATE_SECONDS = 600
"""The jobs that were done within so many seconds tell when there will be room for another one."""

LONGEST_RETRY = 120
"""Seconds: the most that anybody is asked to wait before trying again."""

_USUAL_RETRY = 10
_THIN_EVERY = 100
_NAME_LENGTH = 200
_SINGLE = [name for name in Job.__slots__ if name != "user"]
Told = tuple[str, Content]
"""An event as its kind and content."""


def new(user: str, kind: str, params: Mapping[str, Any], shape: str) -> Record:
    """The columns of a new job but for its time. Raises BadInput for what no job can have."""
    if kind not in KINDS:
        raise BadInput(f"there is no kind of job {kind[:40]!r}", f"choose {', '.join(KINDS)}")
    made = Job(uuid.uuid4().hex, user, kind, params, "queued", 0.0, shape=shape)
    try:
        length = len(canonical(params))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput("the params of a job are no JSON", "text, finite numbers, lists and objects are") from error
    if length > PARAMS_BYTES:
        raise BadInput(f"the params of a job are {length} bytes long", f"at most {PARAMS_BYTES} are taken")
    for text in (user, key(made), shape):  # PostgreSQL, for one, does not take every string.
        if len(text) > _NAME_LENGTH or not text.isprintable():
            raise BadInput(f"{text[:80]!r} is no name", "it is too long, or has characters that cannot be printed")
    return {**{name: getattr(made, name) for name in _SINGLE}, "owner": user, "key": key(made)}


def job(record: Record) -> Job:
    """A record as everybody else knows it."""
    return Job(**{name: record[name] for name in _SINGLE}, user=record["owner"])


def known(jobs: Jobs, job_id: str, user: str | None = None) -> Record:
    """A job's record. Raises NotFound where there is none of that id, or it is another user's."""
    record = jobs.get(job_id) if job_id.isalnum() and job_id.isascii() else None
    if record is None or user not in (None, record["owner"]):
        raise NotFound(f"there is no job {job_id[:40]!r}", "it may have been removed; see the list of your jobs")
    return record


def owned(jobs: Jobs, job_id: str, worker: str) -> Record:
    """The record of a worker's job. Raises Lost when it is not the worker's."""
    record = jobs.get(job_id)
    if record is None or not is_of(record, worker):
        raise lost(job_id)
    return record


def is_of(record: Record | None, worker: str) -> bool:
    """Whether a worker has the job."""
    return record is not None and record["state"] == "running" and record["worker"] == worker


def lost(job_id: str) -> Lost:
    """The error for a worker that speaks of a job which it has not."""
    return Lost(f"job {job_id[:40]} is not this worker's", "leave it; another worker may have it")


def expired(record: Record, now: float) -> bool:
    """Whether a job runs, but its worker has not renewed the lease."""
    return record["state"] == "running" and record["lease"] < now


def position(jobs: Jobs, record: Record) -> int:
    """How many jobs are before it in the queue; 0 for one that does not wait."""
    return jobs.before(record["place"]) if record["state"] == "queued" else 0


def seconds_a_job(jobs: Jobs) -> int:
    """How long it takes until a job ends, by those that lately did: 1 to LONGEST_RETRY seconds."""
    ends = jobs.ends(jobs.now - RATE_SECONDS, 16)
    seconds = (jobs.now - ends[-1]) / len(ends) if ends else _USUAL_RETRY
    return max(1, min(LONGEST_RETRY, math.ceil(seconds)))


def full(jobs: Jobs, why: str) -> Full:
    """The error for a job that there is no room for."""
    seconds = seconds_a_job(jobs)
    return Full(why, f"try again in {seconds} seconds", seconds)


def begin(jobs: Jobs, record: Record, worker: str, lease_s: float) -> Job:
    """Give a job to a worker."""
    attempts, until = record["attempts"] + 1, jobs.now + lease_s
    values = {"state": "running", "worker": worker, "started": jobs.now, "attempts": attempts, "lease": until}
    jobs.tell(record["id"], [("started", _content({"attempts": attempts}))], record["last"], **values)
    return job(known(jobs, record["id"]))


def add(jobs: Jobs, record: Record, events: Sequence[Told]) -> None:
    """Add events to a job; now and then the oldest of those that pass are removed."""
    if not events:
        return
    last = jobs.tell(record["id"], events, record["last"])
    if last // _THIN_EVERY > record["last"] // _THIN_EVERY:
        jobs.thin(record["id"], PASSING, PASSING_KEPT)


def told(event: Event) -> Told:
    """An event as the queue keeps it. Raises ValueError for a kind that only the queue tells."""
    if event.kind in ENDS:
        raise ValueError(f"«{event.kind}» ends a job: call finish, fail or cancelled")
    return event.kind, _content(event.data, event.message, event.done, event.total)


def reclaim(jobs: Jobs, records: Iterable[Record], tries: int, why: str = "its worker died") -> None:
    """Take jobs from their workers: they wait again, or end where that was asked for or happened `tries` times."""
    for record in records:
        if record["cancel"]:
            end(jobs, record, "cancelled", {})
        elif record["attempts"] >= tries:
            often = f"{record['attempts']} times" if record["attempts"] > 1 else "at it"
            end(jobs, record, "failed", {"error": {"message": f"the worker died {often}", "hint": "ask for less"}})
        else:
            requeue(jobs, record, why)


def requeue(jobs: Jobs, record: Record, why: str) -> None:
    """Put a job back to its place in the queue."""
    jobs.change(record["id"], state="queued", worker=None, lease=None, attempts=record["attempts"])
    tell_position(jobs, known(jobs, record["id"]), why)


def tell_position(jobs: Jobs, record: Record, why: str = "") -> None:
    """Tell where a job stands that has come into the queue."""
    data = {"position": position(jobs, record), "attempts": record["attempts"]}
    jobs.tell(record["id"], [("queued", _content(data, why))], record["last"])


def end(jobs: Jobs, record: Record, state: State, outcome: Mapping[str, Any], events: Sequence[Told] = ()) -> None:
    """End a job after the last of its own events; `outcome` are its result or its error, which its last event has too.

    `record` must be the job's newest: what is written goes behind the last event that it knows.
    """
    values = {"state": state, "worker": None, "lease": None, "finished": jobs.now, **outcome}
    message = outcome["error"]["message"] if "error" in outcome else ""
    last = jobs.tell(record["id"], [*events, (state, _content(outcome, message))], record["last"], **values)
    if last > PASSING_KEPT:
        jobs.thin(record["id"], PASSING, PASSING_KEPT)


def _content(data: Mapping[str, Any], message: str = "", done: int = 0, total: int = 0) -> Content:
    return {"message": message, "done": done, "total": total, "data": data}
