"""Pictures as OpenAI's API speaks of them, drawn by Limner's loop: a client of that API works as it is.

    POST /v1/images/generations    POST /v1/images/edits    GET /v1/models

`n` asks for so many good pictures; `revised_prompt` is what a picture was really drawn with. Beyond the original a
request may have seed, steps, guidance, and to draw threshold, negative_prompt and rounds as well; each picture has a
field `limner` with its job, seed, scores and recipe. Pictures are sent, never given as addresses.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile

from limner.service.values import Job, JobEvent
from limner.types import BadInput
from limner.web import errors, files, foreign, sse, uploads
from limner.web.errors import Refused
from limner.web.files import Form
from limner.web.openai_forms import EDIT_FORM, Asked, Edit, Generation
from limner.web.service import Here, Service, User

router = APIRouter(prefix="/v1", tags=["openai"])

_THEIRS = ("dall-e", "gpt-image", "chatgpt-image")
"""How the names of OpenAI's own models begin: a client that knows no others sends one of them."""

_EVENTS: Mapping[str, str] = {"draw": "image_generation", "edit": "image_edit"}
_TOLD = ("seed", "scores", "passed", "kind", "checks", "changed", "drift", "tries")
"""What is told of a picture where its job says it; threshold and warnings are the whole job's."""

_NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""Nothing is charged, so nothing is counted; clients want the field."""


class _Problem(BaseModel):
    """What was wrong; `param` names the field, where it was one."""

    message: str
    type: str
    param: str | None
    code: str | None


class _Error(BaseModel):
    """An error as OpenAI's clients read it."""

    error: _Problem


class Images(BaseModel):
    """Pictures as base64, best first, what each was drawn with, and what Limner knows of it."""

    created: int
    background: str
    output_format: Form
    size: str
    data: list[dict[str, Any]]


_STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "events, with `stream`"}
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": Images, **_STREAM}, **foreign.refusals(_Error, 404, 415)}


@router.get("/models", summary="The model that draws here", responses=foreign.refusals(_Error))
def models(service: Here) -> dict[str, Any]:
    """Its name is the profile's. Requests may also name «limner», or a model of OpenAI's: they mean this one."""
    return {"object": "list", "data": [_model(service)]}


@router.get("/models/{name:path}", summary="The model of a name", responses=foreign.refusals(_Error, 404))
def model(service: Here, name: str) -> dict[str, Any]:
    """What `GET /v1/models` says of it."""
    _check_model(service, name)
    return _model(service)


@router.post("/images/generations", response_model=None, responses=_ANSWERS)
async def generations(request: Request, service: Here, user: User, asked: Generation) -> Response:
    """Draw until there are `n` pictures with all that was said in them, or no more may be drawn."""
    _check(service, asked)
    params = asked.params(foreign.own_size(service))
    return await _answer(request, service, user, "draw", [params], asked)


@router.post("/images/edits", response_model=None, responses=_ANSWERS, openapi_extra=EDIT_FORM)
async def edits(request: Request, service: Here, user: User) -> Response:
    """Change a picture as `prompt` says; with a mask only where that is transparent.

    With a mask a prompt that is no instruction says what is to be there.
    """
    async with request.form(max_files=20, max_fields=40) as form, service.uploading:
        asked = foreign.validated(Edit, {name: value for name, value in form.multi_items() if isinstance(value, str)})
        _check(service, asked)
        pictures, masks = _files(form, "image", "image[]"), _files(form, "mask")
        if len(pictures) != 1 or len(masks) > 1:
            raise BadInput(f"{len(pictures)} pictures and {len(masks)} masks", "send one `image`, and one mask or none")
        content, mask = await pictures[0].read(), await masks[0].read() if masks else None
        picture, where = await run_sync(_kept, service, content, mask)
    params = asked.params(picture, where, service.settings.llm)
    return await _answer(request, service, user, "edit", params, asked)


def _files(form: FormData, *names: str) -> list[UploadFile]:
    return [each for name in names for each in form.getlist(name) if isinstance(each, UploadFile)]


def _kept(service: Service, content: bytes, mask: bytes | None) -> tuple[str, str | None]:
    """The names of picture and mask in the store."""
    taken = uploads.take(service.blobs, content)
    if mask is None:
        return taken.sha256, None
    return taken.sha256, files.keep_mask(service.blobs, files.clear_mask(mask, (taken.width, taken.height)))


def _check(service: Service, asked: Asked) -> None:
    if asked.model is not None:
        _check_model(service, asked.model)
    if asked.response_format == "url":
        raise BadInput("pictures are not given as addresses", "ask for response_format b64_json, or leave it out")


def _check_model(service: Service, name: str) -> None:
    """Raise Refused (404) for a model that is another than this server's."""
    if name not in ("limner", _model(service)["id"]) and not name.startswith(_THEIRS):
        raise Refused(404, f"there is no model {name[:80]!r} here", "GET /v1/models says what there is")


def _model(service: Service) -> dict[str, Any]:
    return {"id": service.studio.tools.profile.name, "object": "model", "created": 0, "owned_by": "limner"}


async def _answer(
    request: Request,
    service: Service,
    user: str,
    kind: foreign.Making,
    params: Sequence[Mapping[str, Any]],
    asked: Asked,
) -> Response:
    """Have the jobs done, and answer with all pictures at the end, or with each as it comes."""
    jobs = await run_sync(foreign.submit, service, user, kind, params)
    request.state.job = jobs[0].id
    if asked.stream:
        lines = sse.lines(service, _events(request, service, jobs, asked))
        await anext(lines)  # says when to connect again, which OpenAI's client takes for an event and cannot read
        return sse.EventStream(lines)
    found = await foreign.results(request, service, jobs)
    shown = [await run_sync(_shown, service, asked, job, each) for job, each in zip(jobs, found, strict=True)]
    data = [picture for several in shown for picture in several]
    told: dict[str, Any] = {"created": int(time.time()), "background": "opaque", "output_format": asked.form}
    return JSONResponse(told | {"size": data[0]["limner"]["size"], "data": data})


async def _events(request: Request, service: Service, jobs: Sequence[Job], asked: Asked) -> AsyncGenerator[bytes]:
    """OpenAI's events: pictures half drawn, and each that is finished; or one error."""
    half, whole = (f"{_EVENTS[jobs[0].kind]}.{name}" for name in ("partial_image", "completed"))
    previews, ended = 0, False
    try:
        for job in jobs:
            async with foreign.events(service, job) as coming:
                async for event in coming:
                    if event.kind == "preview" and previews < asked.previews:
                        yield _event(half, await run_sync(_half, service, asked, event), partial_image_index=previews)
                        previews += 1
                    elif event.kind == "done":
                        for shown in await run_sync(_shown, service, asked, job, event.data["result"]):
                            size = {"size": shown["limner"]["size"]}
                            yield _event(whole, shown | size | _settings(asked), usage=_NO_TOKENS)
                    elif event.last:
                        yield _event("error", errors.body("/v1/", 422, *foreign.why(event)))
                        return
        ended = True
    finally:
        if not ended:
            await foreign.left(request, service, jobs)


def _event(kind: str, told: Mapping[str, Any], **more: Any) -> bytes:
    return format_sse_event(event=kind, data_str=json.dumps({"type": kind, **told, **more}))


def _settings(asked: Asked) -> dict[str, Any]:
    """What OpenAI's events say of every picture."""
    told = {"background": "opaque", "output_format": asked.form, "quality": asked.quality or "auto"}
    return told | {"created_at": int(time.time())}


def _half(service: Service, asked: Asked, event: JobEvent) -> dict[str, Any]:
    """A picture on the way."""
    content = asked.file(service.blobs.get(event.data["picture"]))
    return {"b64_json": files.base64_of(content), "size": asked.size or "auto"} | _settings(asked)


def _shown(service: Service, asked: Asked, job: Job, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pictures of a job that is done, best first."""
    whole = {"job": job.id, "threshold": result.get("threshold"), "warnings": result["warnings"]}
    return [_picture(service, asked, whole, each) for each in result.get("pictures", [result])]


def _picture(service: Service, asked: Asked, whole: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    png = service.blobs.get(told["picture"])
    drawn, _, recipe = files.inside(png)
    own = {name: told[name] for name in _TOLD if name in told} | {"recipe": recipe or None, "picture": told["picture"]}
    own |= {"drawn": files.written(drawn), "size": files.written(asked.wanted or drawn)}
    said = told.get("prompt") or told.get("instruction")
    return {"b64_json": files.base64_of(asked.file(png)), "revised_prompt": said, "limner": {**whole, **own}}
