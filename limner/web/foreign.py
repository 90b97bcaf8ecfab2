"""What the APIs of other programs share: jobs submitted together, and waited for as long as their client waits."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeVar, cast

from anyio import CancelScope, create_task_group, sleep
from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from limner.instruction import parse_instruction
from limner.refine import SEEDS
from limner.service.values import Job, JobEvent
from limner.types import BadInput, LimnerError
from limner.web.answers import errors_of
from limner.web.errors import Refused
from limner.web.files import Size
from limner.web.params import Draw, Edit
from limner.web.service import Service

TRIES = 4
"""So many attempts an edit makes, each with the next seed."""

_CLIENT_GONE = 499
"""nginx's status for a client that hung up: nobody reads it, but the log shows it."""

_LOOK_S = 0.5
"""How often it is looked whether a client is still there."""

Making = Literal["draw", "edit"]
"""The kinds of jobs that make pictures."""

_MODELS: Mapping[Making, type[Draw | Edit]] = {"draw": Draw, "edit": Edit}
_Model = TypeVar("_Model", bound=BaseModel)


class Stopped(Refused):
    """A job that a client waited for was cancelled."""


def refusals(model: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for its documentation, in the form of its own API."""
    return {status: {**told, "model": model} for status, told in errors_of(*statuses).items()}


def submit(service: Service, user: str, kind: Making, several: Sequence[Mapping[str, Any]]) -> list[Job]:
    """Submit jobs of one kind, all of them or none; params that are None are left out.

    Raises RequestValidationError for params out of bounds, and what Service.submit raises.
    """
    asked = [{name: value for name, value in each.items() if value is not None} | {"kind": kind} for each in several]
    params = [validated(_MODELS[kind], each).given() for each in asked]
    jobs: list[Job] = []
    try:
        for each in params:
            job = service.submit(user, kind, each)
            jobs.append(job)
    except LimnerError:
        for job in jobs:
            service.queue.cancel(job.id)
        raise
    return jobs


def validated(model: type[_Model], fields: Mapping[str, Any]) -> _Model:
    """The fields as a model. Raises RequestValidationError, as for a body that FastAPI reads."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


async def results(request: Request, service: Service, jobs: Sequence[Job]) -> list[Mapping[str, Any]]:
    """The results of jobs, in order.

    Raises Refused, in a job's own words, for the first that came to none; and when the client goes away or the server
    closes. The jobs are forsaken then, but those of a server that closes go on when it is started again.
    """
    found: list[Mapping[str, Any]] = []
    failed: list[Refused] = []

    async def follow() -> None:
        try:
            found[:] = [await _result(service, job) for job in jobs]
        except Refused as error:
            failed.append(error)
        group.cancel_scope.cancel()

    async with create_task_group() as group:
        group.start_soon(follow)
        while not service.closing.is_set() and not await request.is_disconnected():
            await sleep(_LOOK_S)
        group.cancel_scope.cancel()
    if len(found) == len(jobs):
        return found
    await left(request, service, jobs)
    if failed:
        raise failed[0]
    if service.closing.is_set():
        raise Refused(503, "the server is closing", "what was asked for goes on when it is started again")
    raise Refused(_CLIENT_GONE, "the client went away")


async def _result(service: Service, job: Job) -> Mapping[str, Any]:
    async with events(service, job) as coming:
        async for event in coming:
            if event.kind == "done":
                return event.data["result"]
            if event.last:
                raise (Stopped if event.kind == "cancelled" else Refused)(422, *why(event))
    raise Refused(503, "the job ended without a result", "ask again")


def events(service: Service, job: Job) -> aclosing[AsyncGenerator[JobEvent]]:
    """All events of a job, to be followed in a block: after it nobody follows them any more."""
    return aclosing(cast(AsyncGenerator[JobEvent], service.watcher.events(job.id)))


def why(event: JobEvent) -> tuple[str, str]:
    """Message and hint of a last event that is not «done»."""
    error = event.data.get("error") or {"message": "the job was cancelled", "hint": "ask again"}
    return str(error["message"]), str(error.get("hint", ""))


async def left(request: Request, service: Service, jobs: Sequence[Job]) -> None:
    """Cancel jobs whose results nobody will have, unless the server closes: all but those that somebody follows."""
    with CancelScope(shield=True):
        for job in jobs if not service.closing.is_set() else ():
            if not service.watcher.followed(job.id):
                await run_sync(service.queue.cancel, job.id)


def instruction_for(prompt: str, *, masked: bool, llm: str) -> str:
    """What an editor is told: the prompt where it is an instruction; else, in a mask, to put there what it says.

    A language model that reads what the grammar cannot is left to it. Raises BadInput for what nobody understands.
    """
    try:
        return parse_instruction(prompt).instruction
    except BadInput:
        if masked:
            return parse_instruction(f"add {prompt}").instruction
        if llm in ("rules", "embedded"):
            raise
    return prompt


def seeds(first: int | None, count: int) -> list[int]:
    """Seeds of so many edits, no attempt of which has another's; by lot where none is given."""
    start = secrets.randbelow(SEEDS) if first is None else first
    return [(start + TRIES * place) % SEEDS for place in range(count)]


def own_size(service: Service) -> Size | None:
    """The size that the model draws at; None where neither settings nor profile say."""
    return service.settings.size or service.studio.tools.profile.text_to_image.size
