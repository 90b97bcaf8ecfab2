"""Datasets, which all users of a server share: made by jobs, looked at row by row, taken away as zips.

A dataset's name is the name of its folder; no other path comes from a request.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from limner.assemble import known_report
from limner.dataset import Form, Item, Reject, convert, read_info, read_items, read_rejects
from limner.dataset.folder import read_inside
from limner.service.values import Job, NotFound, key
from limner.types import BadInput
from limner.web import jobs
from limner.web.answers import DatasetPicture, DatasetRow, JobAnswer, errors_of, file_of
from limner.web.params import NAME, Synth
from limner.web.security import MAX_JSON
from limner.web.service import Here, Service, User

router = APIRouter(prefix="/api/datasets", tags=["datasets"], max_body_size=MAX_JSON)
Name = Annotated[str, Path(pattern=NAME, examples=["foxes"])]
FILE = r"^(items|rejects)/\d{5,9}/[A-Za-z0-9][A-Za-z0-9_-]{0,79}\.(png|jpg|jpeg|webp)$"
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_OWN = ("limner.json", "README.md", "card.html", "report.json", "items", "rejects")
_CARD_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
_LISTED = 1000


@router.get("", response_model=list[DatasetRow], responses=errors_of())
def list_datasets(service: Here, user: User) -> list[dict[str, Any]]:
    """All datasets, those that are being made as well."""
    home, making = _home(service), _making(service)
    there = {path.name for path in home.iterdir() if path.is_dir()} if home.is_dir() else set[str]()
    names = sorted(name for name in there | set(making) if re.fullmatch(NAME, name))
    return [_row(home / name, making.get(name)) for name in names]


@router.post("", status_code=202, response_model=JobAnswer, responses=errors_of())
def make_dataset(request: Request, service: Here, user: User, body: Synth) -> dict[str, Any]:
    """Make a dataset, or what is missing of one that was begun under this name."""
    return jobs.submit(service, request, user, body)


@router.get("/{name}", responses=errors_of(404))
def show_dataset(service: Here, user: User, name: Name) -> dict[str, Any]:
    """What came of a dataset: accepted and rejected, by reason and by stage."""
    root = _known(service, name)
    told = _row(root, _making(service).get(name))
    return {**told, "report": known_report(root), "form": _forms(root)}


@router.get("/{name}/pictures", response_model=list[DatasetPicture], responses=errors_of(404))
def list_pictures(
    service: Here,
    user: User,
    name: Name,
    kind: Literal["accepted", "rejected"] = "accepted",
    offset: Annotated[int, Query(ge=0, lt=10**7)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[dict[str, Any]]:
    """Pictures with their captions and boxes, or rejects with their reasons; none before it is finished."""
    root = _known(service, name)
    rows: Iterator[Item | Reject] = read_items(root) if kind == "accepted" else read_rejects(root)
    return [_picture(name, each) for each in islice(rows, offset, offset + limit)]


@router.get("/{name}/files/{path:path}", response_class=Response, responses=file_of(*sorted(set(_TYPES.values()))))
def dataset_file(service: Here, user: User, name: Name, path: Annotated[str, Path(max_length=200)]) -> Response:
    """A picture of a dataset, by the address that its row gives."""
    root = _known(service, name)
    if not re.fullmatch(FILE, path):
        raise NotFound("a dataset has no such picture", "take the url of a row")
    try:
        content = read_inside(root, path)
    except BadInput:
        raise NotFound("a dataset has no such picture", "take the url of a row") from None
    kind = _TYPES[FilePath(path).suffix]
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


@router.get("/{name}/card", response_class=Response, responses=file_of("text/html"))
def card(service: Here, user: User, name: Name) -> Response:
    """The dataset's card, as a page that can run and fetch nothing."""
    path = _known(service, name) / "card.html"
    if not path.is_file():
        raise NotFound("there is no card yet", "it is written when the dataset is finished")
    return Response(path.read_bytes(), media_type="text/html", headers={"Content-Security-Policy": _CARD_POLICY})


@router.get("/{name}/zip", response_class=FileResponse, responses=file_of("application/zip"))
def dataset_zip(
    service: Here,
    user: User,
    name: Name,
    form: Annotated[
        Literal["limner", "coco", "yolo", "webdataset", "imagefolder"], Query(alias="format", description="Which form.")
    ] = "limner",
) -> FileResponse:
    """A finished dataset in any form, as one zip."""
    root = _known(service, name)
    if known_report(root) is None:
        raise NotFound(f"the dataset «{name}» is not finished", "wait for its job, or submit it again to go on")
    folder = tempfile.TemporaryDirectory(prefix="limner-dataset-")
    target = FilePath(folder.name) / "dataset.zip"
    try:
        _pack(root, form, FilePath(folder.name), target)
    except BaseException:
        folder.cleanup()
        raise
    done = BackgroundTask(folder.cleanup)
    return FileResponse(target, media_type="application/zip", filename=f"{name}-{form}.zip", background=done)


def _pack(root: FilePath, form: Form, scratch: FilePath, target: FilePath) -> None:
    """Write a dataset's files of one form into a zip, made in `scratch` where they are not there yet."""
    source = root if form == "limner" else root / form
    if not source.is_dir():
        source = scratch / form
        convert(root, form, source)
    tops = [source / each for each in _OWN] if form == "limner" else sorted(source.iterdir())
    with zipfile.ZipFile(target, "w") as archive:
        for path in (below for top in tops for below in (sorted(top.rglob("*")) if top.is_dir() else [top])):
            if path.is_file() and not path.is_symlink():
                archive.write(path, path.relative_to(source))


def _home(service: Service) -> FilePath:
    return service.settings.data / "datasets"


def _known(service: Service, name: str) -> FilePath:
    root = _home(service) / name
    if not root.is_dir():
        raise NotFound(f"there is no dataset «{name}»", "GET /api/datasets lists them")
    return root


def _making(service: Service) -> dict[str, Job]:
    """The jobs that are making datasets, by the dataset's name."""
    active = service.queue.list(states=("running", "queued"), limit=_LISTED)
    return {job.params["name"]: job for job in active if key(job).startswith("dataset:")}


def _row(root: FilePath, job: Job | None) -> dict[str, Any]:
    report = known_report(root) or {}
    try:
        classes = list(read_info(root).classes) if report else []
    except BadInput:
        classes = []
    return {
        "name": root.name,
        "complete": bool(report.get("complete")),
        "accepted": int(report.get("accepted", 0)),
        "rejected": sum(cast(dict[str, int], report.get("rejected", {})).values()),
        "classes": classes,
        "job": job.id if job else None,
    }


def _forms(root: FilePath) -> list[str]:
    return [form for form in ("coco", "yolo", "webdataset", "imagefolder") if (root / form).is_dir()]


def _picture(dataset: str, each: Item | Reject) -> dict[str, Any]:
    item = each if isinstance(each, Item) else each.item
    reject = each if isinstance(each, Reject) else None
    return {
        "id": each.id,
        "url": f"/api/datasets/{dataset}/files/{item.file}" if item else None,
        "width": item.width if item else None,
        "height": item.height if item else None,
        "caption": item.caption if item else "",
        "split": item.split if item and not reject else None,
        "boxes": [{k: v for k, v in asdict(region).items() if k != "mask"} for region in item.regions] if item else [],
        "reason": reject.reason if reject else None,
        "detail": reject.detail if reject else None,
        "scores": dict(item.lineage.scores) if item else {},
    }
