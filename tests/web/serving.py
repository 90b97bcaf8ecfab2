"""A server's app over a real store in a folder, spoken to in-process; its jobs wait unless somebody works."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from limner.config import Settings
from limner.store import Store
from limner.web.app import create_app
from limner.web.security import Rules, rules
from limner.web.service import Service
from tests import workshop

TOKENS = {"ann": "a" * 24, "bob": "b" * 24}


class Busy:
    """Workers that are alive and do nothing."""

    alive = 1


def service_in(folder: Path, *, shared: bool = False, **settings: Any) -> Service:
    return Service(Settings(data=folder, cache=folder / "cache", **settings), workers=Busy(), shared=shared)


@contextmanager
def client_of(service: Service, allowed: Rules | None = None, **headers: str) -> Generator[TestClient]:
    """A client of a service's app; with no rules everybody is «local»."""
    app = create_app(service, allowed or rules({}, "127.0.0.1"))
    with TestClient(app, base_url="http://127.0.0.1:8417", headers=headers, raise_server_exceptions=False) as client:
        yield client


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[user]}"}


def with_tokens() -> Rules:
    return rules(TOKENS, "0.0.0.0")


def picture(width: int = 8, height: int = 8, form: str = "PNG", **saved: Any) -> bytes:
    """A small file of some colours."""
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 255, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **saved)
    return file.getvalue()


def painted_session(folder: Path, stored: str, *sentences: str) -> list[str]:
    """A session of the painter's in the store of `folder`, with what was said in it; the ids of its turns."""
    session = workshop.open_session(folder, stored)
    for sentence in sentences:
        workshop.say(session, sentence)
    assert isinstance(session.store, Store)
    turns = [turn.id for turn in session.turns]
    session.store.close()
    return turns
