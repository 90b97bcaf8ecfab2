"""What a server says of itself: about, models, health, metrics, log, and its documentation."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from limner.service.values import KINDS
from limner.web import service as service_module
from limner.web.logs import Lines
from limner.web.service import Nobody
from tests.web.serving import client_of, service_in

DRAW = {"kind": "draw", "prompt": "a very secret fox"}


def test_about_says_what_the_page_must_know(client: TestClient) -> None:
    told = client.get("/api/about").json()
    assert (told["user"], told["profile"], told["needs_token"], told["kinds"]) == (
        "local",
        "embedded",
        False,
        list(KINDS),
    )
    assert "fox" in told["knows"]["concepts"]
    assert told["limits"]["queue"] == 1000


def test_models_are_listed(client: TestClient) -> None:
    assert {"embedded", "sd15"} <= {each["name"] for each in client.get("/api/models").json()["profiles"]}


def test_well_is_with_a_store_and_a_worker(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    with client_of(service) as client:
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"store": True, "workers": 1})
        service.workers = Nobody()
        assert (client.get("/healthz").status_code, client.get("/healthz").json()["store"]) == (503, True)


def test_a_store_that_fails_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_in(tmp_path)
    with client_of(service) as client:
        file = tmp_path / "limner.db"
        service.store.close()
        for each in tmp_path.glob("limner.db*"):
            each.unlink()
        file.write_bytes(b"no database at all, but rather long" * 100)
        health, listed = client.get("/healthz"), client.get("/api/jobs")
    assert (health.status_code, health.json()["store"]) == (503, False)
    assert (listed.status_code, listed.json()["error"]["type"]) == (503, "unavailable")
    assert "Traceback" not in listed.text


def test_a_failure_that_nobody_foresaw_says_nothing_of_the_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret inside /home/ann")

    service = service_in(tmp_path)
    with client_of(service) as client:
        monkeypatch.setattr(service.queue, "list", broken)
        answer = client.get("/api/jobs")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "failed")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_metrics_count_jobs_and_requests(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    with client_of(service) as client:
        made = [client.post("/api/jobs", json=DRAW).json() for _ in range(3)]
        service.queue.lease("w/1", 1)
        service.queue.finish(made[0]["id"], "w/1", {"drawn": 5})
        client.post(made[1]["links"]["cancel"])
        client.get("/api/jobs/" + "0" * 32)
        text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['limner_jobs_total{kind="draw",state="queued"}'] == "3.0"
    assert lines['limner_jobs_total{kind="draw",state="done"}'] == "1.0"
    assert lines['limner_jobs_total{kind="draw",state="cancelled"}'] == "1.0"
    assert (lines['limner_jobs_now{state="queued"}'], lines["limner_workers"]) == ("1.0", "1.0")
    assert (lines["limner_pictures_drawn_total"], lines['limner_job_seconds_count{kind="draw"}']) == ("5.0", "1.0")
    assert lines['limner_http_requests_total{route="GET /api/jobs/{job_id}",status="404"}'] == "1.0"


def test_addresses_without_end_make_no_metrics_without_end(client: TestClient) -> None:
    for number in range(5):
        client.get(f"/nothing/{number}")
        client.request(f"VERB{number}", "/api/about")
    assert "nothing/" not in client.get("/metrics").text
    assert "VERB" not in client.get("/metrics").text


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(Lines().format(record)) for record in caplog.records if record.name == "limner.web"]


@pytest.mark.parametrize("wanted", [False, True])
def test_the_log_is_json_and_says_prompts_only_when_told_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wanted: bool
) -> None:
    caplog.set_level(logging.INFO, "limner.web")
    service = service_in(tmp_path)
    service.log_prompts = wanted
    with client_of(service) as client:
        job = client.post("/api/jobs", json=DRAW).json()
        client.post(job["links"]["cancel"])
        service.look()
        client.get("/api/jobs%0d%0a{}")
    told = lines_of(caplog)
    states = [each["state"] for each in told if each["what"] == "job"]
    assert states == ["queued", "cancelled"]
    [posted] = [each for each in told if each.get("path") == "/api/jobs"]
    assert (posted["status"], posted["user"], posted["job"]) == (202, "local", job["id"])
    assert ("secret" in caplog.text or "secret" in json.dumps(told)) is wanted


def test_an_exception_is_one_line_of_the_log(tmp_path: Path) -> None:
    try:
        raise RuntimeError("inside")
    except RuntimeError as error:
        record = logging.LogRecord("limner.web", 40, "x", 1, "failed", None, (type(error), error, error.__traceback__))
    text = Lines().format(record)
    assert "\n" not in text
    assert "RuntimeError: inside" in json.loads(text)["where"]


def test_every_route_is_documented_with_an_example_or_a_sentence(client: TestClient) -> None:
    told = client.get("/api/openapi.json").json()
    for path, verbs in told["paths"].items():
        for verb, route in verbs.items():
            assert route.get("description") or route.get("summary"), (path, verb)
            assert set(route["responses"]) - {"422"}, (path, verb)
    assert told["components"]["schemas"]["Draw"]["properties"]["prompt"]["examples"]


def test_there_are_no_documentation_pages_that_fetch_scripts(client: TestClient) -> None:
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]


def test_old_jobs_go_when_a_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = service_in(tmp_path)
    old, waiting = (first.queue.submit("local", "draw", {"prompt": "x"}) for _ in range(2))
    first.queue.cancel(old.id)
    monkeypatch.setattr(service_module, "KEEP_DAYS", -1)
    with client_of(service_in(tmp_path)) as client:
        for _ in range(100):
            if client.get(f"/api/jobs/{old.id}").status_code == 404:
                break
            time.sleep(0.05)
        assert [job["id"] for job in client.get("/api/jobs").json()] == [waiting.id]
