"""The shelf of concepts, which all users of a server share: looked at, taken away as files, brought, removed."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Path, Response, UploadFile
from starlette.responses import FileResponse

from limner.concept import check_name
from limner.concept_file import load, summary
from limner.service.values import NotFound
from limner.shelf import Shelf
from limner.tensorfile import read_header
from limner.types import BadInput
from limner.web.answers import ConceptRow, TakenConcept, errors_of, file_of
from limner.web.errors import Refused
from limner.web.service import Here, Service, User

router = APIRouter(prefix="/api/concepts", tags=["concepts"])
_SUFFIX = ".safetensors"
_ONE_BY_ONE = threading.Lock()
"""A foreign file is compared with the painter's weights, which are loaded for it."""


async def shelf_of(service: Here) -> Shelf:
    """The shelf of the service's settings."""
    return service.studio.tools.shelf


Concepts = Annotated[Shelf, Depends(shelf_of)]
Name = Annotated[str, Path(min_length=1, max_length=50, examples=["gizmo"])]


@router.get("", response_model=list[ConceptRow], responses=errors_of())
def list_concepts(shelf: Concepts, user: User) -> list[dict[str, Any]]:
    """All concepts; one that cannot be used says why."""
    return [_row(shelf, each) for each in shelf.rows()]


@router.post("", status_code=201, response_model=TakenConcept, responses=errors_of(409, 415))
def take_concept(
    service: Here,
    shelf: Concepts,
    user: User,
    file: Annotated[UploadFile, File(description="A .safetensors file that Limner or another program wrote.")],
    name: Annotated[str, Form(min_length=1, max_length=50, examples=["gizmo"])],
    like: Annotated[str, Form(max_length=200, description="Words for it, where a model must read its name.")] = "",
) -> dict[str, Any]:
    """Put a concept from a file onto the shelf. Only safetensors are opened, never anything pickled."""
    name = check_name(name)
    if name in shelf.names():
        raise Refused(409, f"<{name}> is known already", "choose another name, or delete that one first")
    with tempfile.TemporaryDirectory(prefix="limner-concept-") as folder:
        path = FilePath(folder) / f"{name}{_SUFFIX}"
        with path.open("wb") as copy:
            while chunk := file.file.read(2**20):
                copy.write(chunk)
        try:
            read_header(path)
        except (BadInput, ValueError) as error:
            raise Refused(415, "that is no whole safetensors file", "pickled files are not opened") from error
        return {"name": name, "word": f"<{name}>", **_taken(service, shelf, path, name, like)}


@router.get("/{name}", responses=errors_of(404))
def show_concept(service: Here, shelf: Concepts, user: User, name: Name) -> dict[str, Any]:
    """How a concept was learned: its recipe, its loss curve, the sizes of what it holds."""
    _path(shelf, name)
    return {key: value for key, value in service.studio.lessons.show(name).items() if key != "file"}


@router.delete("/{name}", status_code=204, responses=errors_of(404))
def remove_concept(shelf: Concepts, user: User, name: Name) -> None:
    """Take a concept off the shelf."""
    _path(shelf, name)
    shelf.remove(name)


@router.get("/{name}/preview.png", response_class=Response, responses=file_of("image/png"))
def preview(shelf: Concepts, user: User, name: Name) -> Response:
    """The picture that a concept was learned from, small."""
    _path(shelf, name)
    small = shelf.get(name).preview
    if not small:
        raise NotFound(f"<{name}> has no picture", "it was learned elsewhere")
    return Response(small, media_type="image/png", headers={"Cache-Control": "private, no-cache"})


@router.get("/{name}/file", response_class=FileResponse, responses=file_of("application/octet-stream"))
def concept_file(shelf: Concepts, user: User, name: Name) -> FileResponse:
    """The concept's safetensors file, which carries its own recipe."""
    path = _path(shelf, name)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


def _path(shelf: Shelf, name: str) -> FilePath:
    """The file of a concept that is there. Raises NotFound for any other, whatever its name."""
    try:
        path = shelf.path(name)
    except BadInput:
        path = None
    if path is None or not path.is_file():
        raise NotFound(f"there is no concept «{name[:50]}»", "GET /api/concepts lists them")
    return path


def _row(shelf: Shelf, row: dict[str, Any]) -> dict[str, Any]:
    steps, shown = None, False
    if not row["problem"]:
        about = summary(shelf.path(row["name"])).about
        steps, shown = about.settings.get("steps"), True
    name = row["name"]
    thumbnail = f"/api/concepts/{name}/preview.png" if shown else None
    return {**row, "word": f"<{name}>", "steps": steps, "thumbnail": thumbnail}


def _taken(service: Service, shelf: Shelf, path: FilePath, name: str, like: str) -> dict[str, Any]:
    """Limner's own file as it is; another program's by what of it fits the painter."""
    try:
        concept = load(path)
    except BadInput:
        with _ONE_BY_ONE:
            told = service.studio.lessons.take_over([path], name, like=like, unsafe=False, again=False)
        return {key: told[key] for key in ("matched", "of", "unknown")}
    about = replace(concept.about, like=like or concept.about.like)
    shelf.put(replace(concept, name=name, about=about))
    whole = sum(map(len, concept.words.values())) + sum(map(len, concept.adapters.values())) + len(concept.changes)
    return {"matched": whole, "of": whole, "unknown": []}
