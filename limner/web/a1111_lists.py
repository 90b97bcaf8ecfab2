"""What clients of A1111's API ask before and after they draw: models, samplers, concepts, options, a picture's recipe.

The one model is listed under its profile's name, concepts as loras (said as <lora:NAME:1>) and as embeddings (said as
<NAME>). What Limner has none of is an empty list, so that clients find what they look for.
"""

from __future__ import annotations

from typing import Any

import psutil
from fastapi import APIRouter
from pydantic import BaseModel

from limner.image import parse_parameters
from limner.types import BadInput
from limner.web import files, foreign, uploads
from limner.web.a1111_forms import PngInfo
from limner.web.service import Here, Service


class _Error(BaseModel):
    """An error as A1111's clients read it."""

    error: str
    detail: str
    body: str
    errors: str


ANY = foreign.refusals(_Error)
"""The errors of every route, for its documentation."""

ERRORS = foreign.refusals(_Error, 415)
"""Those of a route that takes pictures."""

router = APIRouter()
_Rows = list[dict[str, Any]]


class Told(BaseModel):
    """What a picture says of its making: A1111's text, and its fields."""

    info: str
    items: dict[str, str]
    parameters: dict[str, Any]


def checkpoint(service: Service) -> str:
    """What the model is called."""
    return service.studio.tools.profile.name


def check_checkpoint(service: Service, name: object) -> None:
    """Raise BadInput for a model that is another than this server's; "" and None are none."""
    if name in (None, ""):
        return
    if not isinstance(name, str) or name.split(" [")[0].removesuffix(".safetensors") != checkpoint(service):
        raise BadInput(f"sd_model_checkpoint {str(name)[:80]!r} is not here", f"there is {checkpoint(service)!r}")


@router.get("/options", summary="Settings")
def options(service: Here) -> dict[str, Any]:
    """Those that clients look for."""
    told = {"sd_model_checkpoint": checkpoint(service), "sd_checkpoint_hash": "", "sd_vae": "Automatic"}
    return told | {"samples_format": "png", "CLIP_stop_at_last_layers": 1, "img2img_fix_steps": False}


@router.post("/options", summary="Change settings")
def change_options(service: Here, asked: dict[str, Any]) -> None:
    """Nothing can be changed: clients send all settings back to change one. Another model is refused."""
    check_checkpoint(service, asked.get("sd_model_checkpoint"))


@router.get("/sd-models", summary="The model that draws here")
def sd_models(service: Here) -> _Rows:
    """One row."""
    name = checkpoint(service)
    return [{"title": name, "model_name": name, "hash": None, "sha256": None, "filename": name, "config": None}]


@router.get("/samplers", summary="Samplers")
def samplers() -> _Rows:
    """A model has its own; whichever is asked for, that is used, and `info` names it."""
    return [{"name": "Automatic", "aliases": ["automatic"], "options": {}}]


@router.get("/schedulers", summary="Noise schedules")
def schedulers() -> _Rows:
    """The model's own."""
    row = {"name": "automatic", "label": "Automatic", "aliases": None, "default_rho": -1.0}
    return [row | {"need_inner_model": False}]


@router.get("/loras", summary="Concepts, said as <lora:NAME:1>")
def loras(service: Here) -> _Rows:
    """A row a concept that can be used."""
    rows = service.studio.tools.shelf.rows()
    return [
        {"name": row["name"], "alias": row["name"], "path": f"{row['name']}.safetensors", "metadata": _about(row)}
        for row in rows
        if not row["problem"]
    ]


@router.get("/embeddings", summary="Concepts, said as <NAME>")
def embeddings(service: Here) -> dict[str, dict[str, Any]]:
    """A row a concept, by what is said for it; those that cannot be used are skipped."""
    told: dict[str, dict[str, Any]] = {"loaded": {}, "skipped": {}}
    for row in service.studio.tools.shelf.rows():
        vectors = max(row["words"].values(), default=0)
        about = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": row["base"] or None}
        told["skipped" if row["problem"] else "loaded"][f"<{row['name']}>"] = about | {"shape": 0, "vectors": vectors}
    return told


def _about(row: dict[str, Any]) -> dict[str, str]:
    return {"ss_sd_model_name": row["base"], "like": row["like"], "method": row["method"]}


@router.get("/sd-vae", summary="None")
@router.get("/upscalers", summary="None")
@router.get("/latent-upscale-modes", summary="None")
@router.get("/hypernetworks", summary="None")
@router.get("/face-restorers", summary="None")
@router.get("/prompt-styles", summary="None")
@router.get("/script-info", summary="None")
def nothing() -> _Rows:
    """Limner has none of these."""
    return []


@router.get("/scripts", summary="None")
def scripts() -> dict[str, list[str]]:
    """Limner has none of these."""
    return {"txt2img": [], "img2img": []}


@router.post("/refresh-checkpoints", summary="Nothing to do")
@router.post("/refresh-loras", summary="Nothing to do")
@router.post("/refresh-embeddings", summary="Nothing to do")
def refresh() -> None:
    """What there is is looked up each time."""


@router.get("/cmd-flags", summary="How the server was started")
def cmd_flags() -> dict[str, Any]:
    """The flags of A1111's that are true here."""
    return {"api": True, "nowebui": True}


@router.get("/memory", summary="This machine's memory, in bytes")
def memory() -> dict[str, dict[str, Any]]:
    """RAM; a GPU's is not told."""
    found = psutil.virtual_memory()
    return {"ram": {"free": found.available, "used": found.used, "total": found.total}, "cuda": {"error": "not told"}}


@router.post("/png-info", summary="What a picture says of its making", responses=ERRORS)
def png_info(asked: PngInfo) -> Told:
    """A1111's text in a PNG, JPEG or WebP, and its fields; empty where there is none."""
    content = files.from_base64(asked.image, "image")
    uploads.decode(content)
    text = files.parameters_in(content)
    try:
        recipe = parse_parameters(text)
    except BadInput:
        return Told(info=text, items={"parameters": text} if text else {}, parameters={})
    fields = {"Prompt": recipe.prompt, "Negative prompt": recipe.negative_prompt, "Steps": recipe.steps}
    fields |= {"CFG scale": recipe.guidance, "Seed": recipe.seed, "Size-1": recipe.width, "Size-2": recipe.height}
    return Told(info=text, items={"parameters": text}, parameters=fields | {"Model": recipe.model})
