"""Jobs: submitted, listed, followed, cancelled."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from limner.service.values import Job, State, job_json
from limner.web import sse
from limner.web.answers import JobAnswer, errors_of, file_of
from limner.web.params import JOB_ID, AnyJob, Forget, Learn, Params, Say
from limner.web.security import MAX_JSON
from limner.web.service import Here, Service, User

router = APIRouter(prefix="/api/jobs", tags=["jobs"], max_body_size=MAX_JSON)
JobId = Annotated[str, Path(pattern=JOB_ID, examples=["0" * 32])]


def submit(service: Service, request: Request, user: str, params: Params, **more: Any) -> dict[str, Any]:
    """Accept a job of checked params, whose session is meant by the user's own name for it; its JSON."""
    given = {**params.given(), **more}
    if isinstance(params, Say | Forget | Learn) and params.session is not None:
        given["session"] = service.stored(user, params.session)
    job = service.submit(user, params.kind, given)
    request.state.job = job.id
    return told(service, job)


def told(service: Service, job: Job) -> dict[str, Any]:
    """A job as its user sees it."""
    position = service.queue.position(job.id) if job.state == "queued" else 0
    return job_json(service.told(job), position)


@router.post("", status_code=202, response_model=JobAnswer, responses=errors_of())
def submit_job(request: Request, service: Here, user: User, job: AnyJob, response: Response) -> dict[str, Any]:
    """Submit a job. Its `kind` says which fields it takes; it is safe once this answers."""
    made = submit(service, request, user, job)
    response.headers["Location"] = made["links"]["self"]
    return made


@router.get("", response_model=list[JobAnswer], responses=errors_of())
def list_jobs(
    service: Here,
    user: User,
    state: Annotated[list[State], Query(description="Only jobs in these states.")] = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[dict[str, Any]]:
    """Your jobs, the newest first."""
    return [told(service, job) for job in service.queue.list(user, tuple(state), limit)]


@router.get("/{job_id}", response_model=JobAnswer, responses=errors_of(404))
def show_job(service: Here, user: User, job_id: JobId) -> dict[str, Any]:
    """One job and how far it is."""
    return told(service, service.queue.get(job_id, user))


@router.post("/{job_id}/cancel", response_model=JobAnswer, responses=errors_of(404))
def cancel_job(service: Here, request: Request, user: User, job_id: JobId) -> dict[str, Any]:
    """Ask for a job's end: at once for one that waits, within a step for one that runs, never for one that ended."""
    request.state.job = job_id
    job = service.queue.cancel(job_id, user)
    return told(service, job)


@router.get("/{job_id}/events", response_class=Response, responses=file_of("text/event-stream"))
async def follow_job(
    request: Request,
    service: Here,
    user: User,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, lt=2**31, description="Only events after this one.")] = 0,
) -> sse.EventStream:
    """A job's events as they happen, as server-sent events, to the last one («done», «failed» or «cancelled»)."""
    request.state.job = job_id
    await run_in_threadpool(service.queue.get, job_id, user)
    return sse.stream(service, job_id, sse.seen(request, after))
