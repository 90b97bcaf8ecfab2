"""What this server is: its models, its limits, whether it is well; and the page's login."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from limner import __version__
from limner.service.values import KINDS
from limner.types import LimnerError
from limner.web import tokens, uploads
from limner.web.answers import errors_of
from limner.web.errors import Refused
from limner.web.metrics import TYPE
from limner.web.security import MAX_BODY, MAX_JSON, Rules
from limner.web.service import Here, User

router = APIRouter(tags=["about"], max_body_size=MAX_JSON)
_YEAR = 365 * 86400


class Login(BaseModel, extra="forbid", strict=True):
    """The token of a user."""

    token: Annotated[str, Field(min_length=1, max_length=512, examples=["the-token-of-this-server"])]


class Known(BaseModel):
    """Who one is."""

    user: str


class Health(BaseModel):
    """Whether jobs are accepted and carried out."""

    store: bool
    workers: int


@router.get("/api/about", responses=errors_of())
def about(request: Request, service: Here, user: User) -> dict[str, Any]:
    """Version, models, limits, who you are, and the words that the model knows where it knows only some."""
    return {
        "version": __version__,
        "profile": service.studio.tools.profile.name,
        "llm": service.settings.llm,
        "user": user,
        "needs_token": bool(request.app.state.rules.users),
        "kinds": list(KINDS),
        "limits": {
            "body_bytes": MAX_BODY,
            "pixels": uploads.MAX_PIXELS,
            "side": uploads.MAX_SIDE,
            "queue": service.settings.queue,
        },
        "knows": service.knows,
        "rating": getattr(request.app.state, "rating", None) is not None,
    }


@router.get("/api/models", responses=errors_of())
def models(service: Here, user: User) -> dict[str, Any]:
    """The profiles, and whether their models are on the server's machine."""
    return {"profiles": service.studio.models_list(), "profile": service.studio.tools.profile.name}


@router.post("/api/login", response_model=Known, responses=errors_of())
def login(request: Request, body: Login, response: Response) -> dict[str, str]:
    """Exchange a token for a cookie, which holds as long as the token does; for the page, not for programs."""
    rules: Rules = request.app.state.rules
    user = tokens.user_of_token(rules.users, body.token) if rules.users else tokens.LOCAL
    if user is None:
        raise Refused(401, "that is not a token of this server", "ask whoever started it")
    if rules.users:
        cookie, proxied = tokens.cookie_for(rules.users[user]), request.headers.get("x-forwarded-proto")
        secure = "https" in (request.url.scheme, proxied)  # A client that says so falsely only loses its own cookie.
        response.set_cookie(tokens.COOKIE, cookie, _YEAR, httponly=True, samesite="strict", secure=secure)
    return {"user": user}


@router.post("/api/logout", status_code=204, responses=errors_of())
def logout(response: Response, user: User) -> None:
    """Take the cookie away again."""
    response.delete_cookie(tokens.COOKIE, httponly=True, samesite="strict")


@router.get("/healthz", response_model=Health, responses={503: {"model": Health, "description": "it is not well"}})
def healthz(service: Here) -> JSONResponse:
    """200 when the store answers and a worker is alive."""
    try:
        service.queue.list(limit=1)
        store = True
    except LimnerError:
        store = False
    workers = service.workers.alive
    return JSONResponse({"store": store, "workers": workers}, 200 if store and workers else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "for Prometheus"}}
    | errors_of(),
)
def metrics(service: Here, user: User) -> Response:
    """Jobs, queue and requests, as Prometheus reads them."""
    service.look()
    return Response(service.metrics.text(), headers={"Content-Type": TYPE})
