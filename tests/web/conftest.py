"""One app for a module's tests that need nothing of their own, since making one takes longer than asking it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from limner.web.service import Service
from tests.web.serving import client_of, service_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service_in(tmp_path_factory.mktemp("served"), queue=1000)


@pytest.fixture(scope="module")
def client(service: Service) -> Generator[TestClient]:
    """A client of `service`, as the user «local»."""
    with client_of(service) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Chromium, for the tests that are marked «web»."""
    from tests.web.browsing import chromium

    with chromium() as browser:
        yield browser
