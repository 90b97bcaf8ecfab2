"""Pictures as A1111's API speaks of them (`/sdapi/v1`), drawn by Limner's loop: its clients work as they are.

    txt2img    draws until all that was said is in the picture; batch_size × n_iter good pictures
    img2img    an instruction («make the car blue») changes the picture; with a mask any words say what is to be there
    progress, interrupt, skip    of the pictures that the same user asked for here, nobody else's

There is one model with its own sampler: others are refused (checkpoints) or ignored (samplers), and `info` says what
was used. denoising_strength, styles, scripts and the high-resolution pass change nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import BaseModel

from limner.service.values import Job, JobEvent
from limner.web import a1111_lists, files, foreign, uploads
from limner.web.a1111_forms import Asked, FromPicture, FromText
from limner.web.a1111_lists import ANY, ERRORS, check_checkpoint, checkpoint
from limner.web.errors import Refused
from limner.web.service import Here, Service, User

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"], responses=ANY)
router.include_router(a1111_lists.router)
_Result = Mapping[str, Any]


class Pictures(BaseModel):
    """Pictures as base64 PNGs, best first; `info` is JSON text with their seeds, recipes and scores."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class Progress(BaseModel):
    """How far the oldest request of the user is: `progress` 0 to 1, `eta_relative` in seconds."""

    progress: float
    eta_relative: float
    state: dict[str, Any]
    current_image: str | None
    textinfo: str | None


@router.post("/txt2img", summary="Draw a prompt", responses=ERRORS)
async def txt2img(request: Request, service: Here, user: User, asked: FromText) -> Pictures:
    """Draw until there are as many pictures with all that was said in them, or no more may be drawn."""
    check_checkpoint(service, asked.checkpoint)
    jobs = await run_sync(foreign.submit, service, user, "draw", [asked.params(foreign.own_size(service))])
    return await _answer(request, service, user, jobs, asked)


@router.post("/img2img", summary="Change a picture", responses=ERRORS)
async def img2img(request: Request, service: Here, user: User, asked: FromPicture) -> Pictures:
    """Change the first of `init_images`; a mask is bright (or dark, inverted) where it may change."""
    check_checkpoint(service, asked.checkpoint)
    if len(asked.init_images) != 1:
        raise Refused(422, f"{len(asked.init_images)} pictures in init_images", "send one")
    async with service.uploading:
        picture, mask = await run_sync(_kept, service, asked)
    params = asked.params(picture, mask, service.settings.llm)
    jobs = await run_sync(foreign.submit, service, user, "edit", params)
    return await _answer(request, service, user, jobs, asked)


@router.get("/progress", summary="How far your pictures are")
def progress(request: Request, service: Here, user: User, skip_current_image: bool = False) -> Progress:
    """Of the oldest request that waits for its answer; all zero where there is none."""
    mine = _mine(request, user)
    events = service.queue.events(mine[0]) if mine else []
    step = next((event for event in reversed(events) if event.kind == "progress" and event.total), None)
    seen = next((event for event in reversed(events) if event.kind == "preview"), None)
    image = None if seen is None or skip_current_image else service.blobs.get(str(seen.data["picture"]))
    done, total = (step.done, step.total) if step else (0, 0)
    return Progress(
        progress=round(min(done / total, 1.0), 4) if total else 0.0,
        eta_relative=float(step.data.get("eta_s") or 0.0) if step else 0.0,
        state=_state(mine, done, total),
        current_image=None if image is None else files.base64_of(image),
        textinfo=_waiting(service, mine, events),
    )


@router.post("/interrupt", summary="Stop your pictures")
def interrupt(request: Request, service: Here, user: User) -> dict[str, Any]:
    """Stop all that you asked for here and that is not finished; the requests are answered without pictures."""
    for job in list(_mine(request, user)):
        service.queue.cancel(job, user)
    return {}


@router.post("/skip", summary="Stop your oldest picture")
def skip(request: Request, service: Here, user: User) -> dict[str, Any]:
    """Stop the oldest of them and go on with the next."""
    for job in _mine(request, user)[:1]:
        service.queue.cancel(job, user)
    return {}


def _mine(request: Request, user: str) -> list[str]:
    """The jobs that requests of a user wait for at this server, oldest first."""
    waiting: dict[str, list[str]] | None = getattr(request.app.state, "a1111", None)
    if waiting is None:
        waiting = request.app.state.a1111 = {}
    return waiting.setdefault(user, [])


@contextmanager
def _listed(request: Request, user: str, jobs: Sequence[Job]) -> Generator[None]:
    """Have the jobs among the user's own within the block."""
    mine = _mine(request, user)
    mine += [job.id for job in jobs]
    try:
        yield
    finally:
        for job in jobs:
            mine.remove(job.id)


def _state(mine: Sequence[str], done: int, total: int) -> dict[str, Any]:
    told = {"skipped": False, "interrupted": False, "stopping_generation": False, "job": mine[0] if mine else ""}
    told |= {"job_count": len(mine), "job_no": 0, "job_timestamp": time.strftime("%Y%m%d%H%M%S") if mine else "0"}
    return told | {"sampling_step": done, "sampling_steps": total}


def _waiting(service: Service, mine: Sequence[str], events: Sequence[JobEvent]) -> str | None:
    if not mine or not events:
        return None
    if events[-1].kind == "queued":
        return f"{service.queue.position(mine[0])} before it in the queue"
    return next((event.message for event in reversed(events) if event.message), None)


def _kept(service: Service, asked: FromPicture) -> tuple[str, str | None]:
    """The names of picture and mask in the store. Raises BadInput for what is no base64 text."""
    taken = uploads.take(service.blobs, files.from_base64(asked.init_images[0], "init_images"))
    if asked.mask is None:
        return taken.sha256, None
    size, inverted = (taken.width, taken.height), asked.inpainting_mask_invert == 1
    mask = files.bright_mask(files.from_base64(asked.mask, "mask"), size, inverted=inverted)
    return taken.sha256, files.keep_mask(service.blobs, mask)


async def _answer(request: Request, service: Service, user: str, jobs: Sequence[Job], asked: Asked) -> Pictures:
    """The pictures of the jobs; none where they were interrupted, as A1111 answers then."""
    request.state.job = jobs[0].id
    with _listed(request, user, jobs):
        try:
            found = await foreign.results(request, service, jobs)
        except foreign.Stopped:
            found = list[_Result]()
    return await run_sync(_told, service, asked, jobs, found)


def _told(service: Service, asked: Asked, jobs: Sequence[Job], found: Sequence[_Result]) -> Pictures:
    shown = [
        {"job": job.id, "threshold": result.get("threshold"), "warnings": result["warnings"], **each}
        for job, result in zip(jobs, found, strict=False)
        for each in result.get("pictures", [result])
    ]
    pngs = [service.blobs.get(str(each["picture"])) for each in shown]
    sent = [] if asked.send_images is False else [files.base64_of(files.as_file(p, size=asked.wanted)) for p in pngs]
    info = _info(service, asked, shown, [files.inside(png) for png in pngs])
    return Pictures(images=sent, parameters=asked.echo(), info=json.dumps(info))


def _info(
    service: Service, asked: Asked, shown: Sequence[_Result], inside: Sequence[tuple[files.Size, str, _Result]]
) -> dict[str, Any]:
    """What A1111 tells of its pictures, and under `limner` what only Limner knows."""
    recipes = [recipe for _, _, recipe in inside]
    prompts = [each.get("prompt") or each.get("instruction", "") for each in shown]
    all_seeds = [recipe.get("seed", each.get("seed", -1)) for each, recipe in zip(shown, recipes, strict=True)]
    first: _Result = recipes[0] if recipes else {}
    width, height = asked.wanted or next((size for size, _, _ in inside), (0, 0))
    return {
        "prompt": asked.prompt,
        "all_prompts": prompts,
        "negative_prompt": first.get("negative_prompt", asked.negative_prompt or ""),
        "all_negative_prompts": [recipe.get("negative_prompt", asked.negative_prompt or "") for recipe in recipes],
        "seed": all_seeds[0] if all_seeds else -1,
        "all_seeds": all_seeds,
        "subseed": -1,
        "all_subseeds": [-1] * len(shown),
        "subseed_strength": 0,
        "width": width,
        "height": height,
        "sampler_name": first.get("sampler", ""),
        "cfg_scale": first.get("guidance", asked.cfg_scale),
        "steps": first.get("steps", asked.steps),
        "batch_size": len(shown),
        "restore_faces": False,
        "sd_model_name": checkpoint(service),
        "sd_model_hash": first.get("model_hash", ""),
        "denoising_strength": None,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [text for _, text, _ in inside],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "limner": [dict(each) for each in shown],
    }
