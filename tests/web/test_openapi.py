"""The API is what its documentation says, for whatever anybody sends: no input makes the server fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Mapping
from importlib import import_module
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from limner.image import png_bytes
from limner.service.queue import JobQueue
from limner.service.watch import Bell
from limner.types import Picture, Recipe
from limner.web.service import Service
from tests.web.painted import PATIENCE_S, serving
from tests.web.serving import service_in

# As modules of unknown types: what schemathesis says of its own is not all true.
schemathesis, checks = import_module("schemathesis"), import_module("schemathesis.specs.openapi.checks")
not_a_server_error = import_module("schemathesis.checks").not_a_server_error

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]
RECIPE = Recipe("a dot", 1, 1, 1.0, 8, 8, "dots")


class Answerer(threading.Thread):
    """A worker that has every job done at once: its one picture is all that it knows."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self.queue, self.bell, self.over = JobQueue(service.store), Bell(), False
        self.picture = service.blobs.put(png_bytes(Picture(np.zeros((8, 8, 3), np.uint8)), RECIPE))
        self.queue.on_change.append(service.watcher.poke)
        service.queue.on_change.append(self.bell.ring)

    def run(self) -> None:
        while not self.over:
            for job in self.queue.lease("answerer", 8):
                if job.kind in ("draw", "edit"):
                    self.queue.finish(job.id, "answerer", self.result(job.params))
                else:
                    self.queue.fail(job.id, "answerer", "that is not known here", "ask for another thing")
            self.bell.wait(0.2)

    def result(self, params: Mapping[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"picture": self.picture, "seed": 1, "passed": True, "warnings": []}
        if "instruction" in params:
            return {**told, "instruction": params["instruction"], "kind": "add", "checks": {}}
        picture: dict[str, Any] = {**told, "scores": {"dot": 0.5}, "prompt": params["prompt"], "width": 8, "height": 8}
        return {"prompt": params["prompt"], "threshold": {"dot": 0.3}, "warnings": [], "pictures": [picture], "seed": 1}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Where a server is that answers everything at once."""
    service = service_in(tmp_path_factory.mktemp("openapi"))
    answerer = Answerer(service)
    answerer.start()
    try:
        with serving(service) as address:
            yield address
    finally:
        answerer.over = True
        answerer.bell.ring()
        answerer.join()


def complaints(url: str, right: int, wrong: int) -> list[str]:
    """What each route is found to do that its documentation does not say, with the shortest request that shows it."""
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    found: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode, examples in ((RIGHT, right), (WRONG, wrong)):
            try:
                _ask(operation, mode, url, examples)
            except Unsatisfiable:
                assert mode is WRONG  # what takes nothing cannot be given anything wrong
            except (Exception, BaseExceptionGroup) as error:  # whatever a check raises
                found.append(f"{operation.method.upper()} {operation.path}: {error}")
    return found


def _ask(operation: Any, mode: Any, url: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=QUIET)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=PATIENCE_S)

    ask()


def test_every_route_does_what_its_documentation_says(url: str) -> None:
    """About 2,000 requests, in half a minute."""
    assert complaints(url, 20, 10) == []


HOSTILE = (
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"prompt": "\\ud800", "text": "\\ud800", "name": "\\ud800", "kind": "draw"}',
    b'{"prompt": "a\\u0000b", "text": "a\\u0000b", "name": "a\\u0000b", "kind": "draw"}',
    b'{"prompt": "a dog", "kind": "draw", "seed": 1e999, "guidance": NaN, "cfg_scale": Infinity}',
    b'{"prompt": "a dog", "kind": "draw", "seed": ' + b"9" * 5000 + b"}",
    b'{"\\ud800": 1}',
    b'{"prompt": ' + b"[" * 100_000,
    b'{"override_settings": ' + b'{"a": ' * 10_000,
    b"\xff\xfe\x00",
)
NO_FORM = b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n'
FORMS = ("/api/pictures", "/api/concepts", "/v1/images/edits")
TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png", "")


def test_no_body_makes_a_route_fail(url: str) -> None:
    with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        paths: dict[str, Any] = client.get("/api/openapi.json").json()["paths"]
        posts = [path for path, methods in paths.items() if "requestBody" in methods.get("post", {})]
        asked = [(path, body, TYPES[0]) for path in posts for body in HOSTILE]
        asked += [(path, NO_FORM, kind) for path in posts if path in FORMS for kind in TYPES]
        statuses = {each: _status(client, *each) for each in asked}
    assert len(statuses) > 200
    assert [each for each, status in statuses.items() if status >= 500] == []


def _status(client: httpx.Client, path: str, body: bytes, kind: str) -> int:
    headers = {"Content-Type": kind} if kind else {}
    return client.post(re.sub(r"{\w+}", "none", path), content=body, headers=headers).status_code
