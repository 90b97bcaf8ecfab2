"""The app: every router, one guard before them, one way to tell errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from limner import __version__
from limner.web import a1111, about, concepts, datasets, errors, jobs, openai, pictures, rate, sessions
from limner.web.security import MAX_BODY, Guard, Rules, rules
from limner.web.service import Service

STATIC = Path(__file__).parent / "static"
_ROUTERS = (jobs, pictures, sessions, concepts, datasets, about, rate, openai, a1111)


def create_app(service: Service, allowed: Rules | None = None) -> FastAPI:
    """The ASGI app of a service; `allowed` says to whom it answers, by default to everybody on this machine."""
    app = FastAPI(
        title="Limner",
        version=__version__,
        description="Draws what you say, and says which of your words are in the picture.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's pages bring their scripts from elsewhere, which this server's policy forbids
        redoc_url=None,
        lifespan=_lifespan,
        max_body_size=MAX_BODY,
    )
    app.state.service, app.state.rules = service, allowed or rules({}, "127.0.0.1")
    for module in _ROUTERS:
        app.include_router(module.router)
    errors.install(app)
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    app.add_middleware(Guard, app.state.rules, service.metrics.request)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    service: Service = app.state.service
    async with service.open():
        yield
