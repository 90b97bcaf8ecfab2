"""Rating pictures blindly over HTTP: the next pair, an answer, the counts (DiffChat A.6).

The router serves whatever rating its app has in `app.state.rating`; `limner rate` serves it with a plain page of its
own. What a pair's addresses say tells nothing of who made which picture.
"""

from __future__ import annotations

import mimetypes
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from limner import __version__
from limner.rating_files import RatingFolder
from limner.service.values import NotFound
from limner.web import errors
from limner.web.answers import errors_of
from limner.web.security import MAX_JSON, Guard, rules

PAGE = Path(__file__).parent / "rate_page"
router = APIRouter(prefix="/api/ratings", tags=["ratings"], max_body_size=MAX_JSON)
_writing = threading.Lock()


class Next(BaseModel):
    """The pair to rate next: where its pictures are, and how many are done; `id` is "" when all are."""

    id: str
    left: str = ""
    right: str = ""
    prompt: str = ""
    done: int
    total: int


class Answer(BaseModel, extra="forbid", strict=True):
    """Which picture of a pair is better."""

    id: Annotated[str, Field(min_length=1, max_length=255, examples=["0000.png"])]
    choice: Literal["left", "tie", "right"]


def _rating(request: Request) -> RatingFolder:
    found: RatingFolder | None = getattr(request.app.state, "rating", None)
    if found is None:
        raise NotFound("there are no pairs to rate", "`limner rate A B` makes them from two folders of pictures")
    return found


@router.get("/next", responses=errors_of(404))
def next_pair(request: Request) -> Next:
    """The first pair that is not rated yet."""
    rating = _rating(request)
    ratings = rating.ratings
    done, total = ratings.done, len(ratings.pairs)
    if ratings.next is None:
        return Next(id="", done=done, total=total)
    row, number = ratings.next.row, ratings.pairs.index(ratings.next)
    left, right = (f"/api/ratings/{number}/{side}" for side in ("left", "right"))
    return Next(id=row, left=left, right=right, prompt=rating.prompts.get(row, ""), done=done, total=total)


@router.get("/{number}/{side}", responses=errors_of(404), response_class=FileResponse)
def picture(request: Request, number: int, side: Literal["left", "right"]) -> FileResponse:
    """A picture of a pair."""
    rating = _rating(request)
    if not 0 <= number < len(rating.ratings.pairs):
        raise NotFound("there is no such pair")
    file = rating.picture(rating.ratings.pairs[number].row, side)
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return FileResponse(file, media_type=kind)


@router.post("", responses=errors_of(400, 404, 422))
def answer(request: Request, said: Answer) -> Next:
    """Keep an answer; it is on disk when the next pair comes back."""
    with _writing:
        _rating(request).answer(said.id, said.choice)
    return next_pair(request)


@router.get("", responses=errors_of(404))
def results(request: Request) -> dict[str, Any]:
    """Who was compared, and how often the first won, tied and lost: told when all pairs are rated, so that nobody knows
    before whose picture is whose."""
    ratings = _rating(request).ratings
    told: dict[str, Any] = {"done": ratings.done, "total": len(ratings.pairs)}
    if ratings.next is not None:
        return told
    return told | {"first": ratings.first, "second": ratings.second, **ratings.result.to_json()}


def create_app(rating: RatingFolder) -> FastAPI:
    """The app of `limner rate`: this router and a page, for this machine only."""
    app = FastAPI(title="Limner, rating", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.rating = rating
    app.include_router(router)
    errors.install(app)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    app.add_middleware(Guard, rules({}, "127.0.0.1"), _uncounted)
    return app


def _uncounted(kind: str, status: int, seconds: float) -> None:
    """Nobody looks at the figures of this server."""


class Server(uvicorn.Server):
    """uvicorn that ends quietly at Ctrl-C, so that the counts can be told."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, ws="none"))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at the first signal."""
        self.force_exit = self.should_exit
        self.should_exit = True
