"""Jobs over HTTP: what is accepted, who sees it, and its events as they happen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from limner.service.values import Job
from limner.types import Event
from limner.web import sse
from limner.web.service import Service
from tests.web.serving import bearer, client_of, picture, service_in, with_tokens

DRAW = {"kind": "draw", "prompt": "a red circle"}
JSON = {"Content-Type": "application/json"}


def submitted(client: TestClient, **params: Any) -> dict[str, Any]:
    answer = client.post("/api/jobs", json={**DRAW, **params})
    assert answer.status_code == 202, answer.text
    return answer.json()


def leased(service: Service, job_id: str) -> Job:
    """Take jobs as a worker until this one is among them; the others are ended."""
    for _ in range(1000):
        [job] = service.queue.lease("tester/1", 1)
        if job.id == job_id:
            return job
        service.queue.cancelled(job.id, "tester/1")
    raise AssertionError(job_id)


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each with what stands before its data."""
    blocks = [block for block in text.split("\n\n") if "data: " in block]
    lines = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [{**line, "data": json.loads(line["data"])} for line in lines]


def later(do: Callable[[], object], seconds: float = 0.3) -> threading.Timer:
    timer = threading.Timer(seconds, do)
    timer.start()
    return timer


def test_a_job_is_safe_when_it_is_accepted(client: TestClient, service: Service) -> None:
    made = client.post("/api/jobs", json={**DRAW, "seed": 3, "many": 2})
    job = made.json()
    assert made.headers["location"] == f"/api/jobs/{job['id']}" == job["links"]["self"]
    assert (job["state"], job["kind"], job["params"]) == (
        "queued",
        "draw",
        {"prompt": "a red circle", "seed": 3, "many": 2},
    )
    assert service.queue.get(job["id"], "local").params == job["params"]
    assert client.get(job["links"]["self"]).json() == job


def test_the_position_counts_those_before(client: TestClient) -> None:
    first, second = submitted(client), submitted(client)
    assert second["position"] == first["position"] + 1


def test_newest_first_by_state_and_bounded(client: TestClient) -> None:
    made = [submitted(client)["id"] for _ in range(3)]
    client.post(f"/api/jobs/{made[1]}/cancel")
    assert [job["id"] for job in client.get("/api/jobs?limit=2").json()] == made[:0:-1]
    assert client.get("/api/jobs?state=cancelled&limit=1").json()[0]["id"] == made[1]
    assert {job["state"] for job in client.get("/api/jobs?state=cancelled&state=queued").json()} == {
        "cancelled",
        "queued",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "fly"}, "kind"),
        ({"kind": "draw"}, "prompt"),
        ({"kind": "draw", "prompt": ""}, "prompt"),
        ({"kind": "draw", "prompt": "x" * 4001}, "prompt"),
        ({"kind": "draw", "prompt": "a\0b"}, "prompt"),
        ({"kind": "draw", "prompt": "(a:99)"}, "prompt"),
        ({"kind": "draw", "prompt": 7}, "prompt"),
        ({"kind": "draw", "prompt": "x", "model": "/etc"}, "model"),
        ({"kind": "draw", "prompt": "x", "seed": -1}, "seed"),
        ({"kind": "draw", "prompt": "x", "seed": 2**32}, "seed"),
        ({"kind": "draw", "prompt": "x", "seed": True}, "seed"),
        ({"kind": "draw", "prompt": "x", "seed": "3"}, "seed"),
        ({"kind": "draw", "prompt": "x", "steps": 10**30}, "steps"),
        ({"kind": "draw", "prompt": "x", "width": 64}, "width and height"),
        ({"kind": "draw", "prompt": "x", "width": 65, "height": 64}, "width"),
        ({"kind": "draw", "prompt": "x", "width": 4096, "height": 64}, "width"),
        ({"kind": "edit", "picture": "../../etc/passwd", "instruction": "x"}, "picture"),
        ({"kind": "edit", "picture": "0" * 64, "instruction": "x", "box": [1, 2, 3]}, "box"),
        ({"kind": "edit", "picture": "0" * 64, "instruction": "x", "box": [9, 2, 3, 4]}, "box"),
        (
            {"kind": "edit", "picture": "0" * 64, "instruction": "x", "box": [1, 2, 3, 4], "mask": "0" * 64},
            "box and mask",
        ),
        ({"kind": "look", "picture": "0" * 64, "find": ","}, "find"),
        ({"kind": "say", "session": "main"}, "text"),
        ({"kind": "say", "session": "main", "text": "x", "open": "0" * 64}, "text"),
        ({"kind": "learn", "name": "../x", "picture": "0" * 64}, "name"),
        ({"kind": "learn", "name": "con", "picture": "0" * 64}, "name"),
        ({"kind": "learn", "name": "gizmo"}, "picture"),
        ({"kind": "learn", "name": "gizmo", "picture": "0" * 64, "rank": 0}, "rank"),
        ({"kind": "synth", "name": "a/b", "classes": "fox"}, "name"),
        ({"kind": "synth", "name": ".job", "classes": "fox"}, "name"),
        ({"kind": "synth", "name": "a", "classes": "fox", "formats": "coco, exe"}, "formats"),
        ({"kind": "synth", "name": "a", "classes": "fox", "count": 0}, "count"),
    ],
)
def test_what_is_not_accepted_is_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = client.post("/api/jobs", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (422, "invalid")
    assert field in error["message"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 10**5,
        b'{"a":' * 10**4,
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"kind":"\\u0000"}',
        b'{"kind":"draw","prompt":"\\ud800"}',
        b'{"kind":"draw","prompt":"x","\\udfff":1}',
        b'{"kind":"draw","prompt":"x","seed":NaN}',
        b'{"kind":"draw","prompt":"x","guidance":Infinity}',
        b'{"kind":"draw","prompt":"x","seed":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_honest_json(client: TestClient, content: bytes) -> None:
    answer = client.post("/api/jobs", content=content, headers=JSON)
    assert answer.status_code in (400, 422)
    assert set(answer.json()["error"]) == {"message", "hint", "type"}


def test_json_that_does_not_say_so_is_not_read(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = client.post("/api/jobs", content=json.dumps(DRAW), headers={"Content-Type": kind})
        assert answer.status_code in (400, 422)


def test_a_picture_must_be_here(client: TestClient) -> None:
    body = {"kind": "look", "picture": "0" * 64}
    assert client.post("/api/jobs", json=body).status_code == 400
    here = client.post("/api/pictures", content=picture(), headers={"Content-Type": "image/png"}).json()["picture"]
    assert client.post("/api/jobs", json={**body, "picture": here}).status_code == 202


@pytest.mark.parametrize("job_id", ["0" * 32, "x", "0" * 31 + "g", "%00", "%2e%2e%5c", "%ed%a0%80"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("POST", "/cancel"), ("GET", "/events")])
def test_ids_that_are_none(client: TestClient, job_id: str, method: str, rest: str) -> None:
    answer = client.request(method, f"/api/jobs/{job_id}{rest}")
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]["message"]


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    with client_of(service_in(tmp_path, queue=1)) as client:
        assert client.post("/api/jobs", json=DRAW).status_code == 202
        answer = client.post("/api/jobs", json=DRAW)
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "too_many")
    assert int(answer.headers["retry-after"]) >= 1


def test_users_do_not_see_each_others_jobs(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    with client_of(service, with_tokens()) as client:
        job = client.post("/api/jobs", json={**DRAW, "kind": "draw"}, headers=bearer("ann")).json()
        for method, rest in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
            answer = client.request(method, f"/api/jobs/{job['id']}{rest}", headers=bearer("bob"))
            assert answer.status_code == 404, rest
        assert client.get("/api/jobs", headers=bearer("bob")).json() == []
        assert [each["id"] for each in client.get("/api/jobs", headers=bearer("ann")).json()] == [job["id"]]
    assert service.queue.get(job["id"]).state == "queued"


def test_a_sessions_name_is_the_users_own(tmp_path: Path) -> None:
    service, say = service_in(tmp_path), {"kind": "say", "session": "main", "text": "a red circle"}
    with client_of(service, with_tokens()) as client:
        job = client.post("/api/jobs", json=say, headers=bearer("ann")).json()
        assert job["params"]["session"] == "main"
        assert service.queue.get(job["id"]).params["session"] == "ann--main"
        for name in ("bob--main", "a/b", "..", "x" * 64):
            answer = client.post("/api/jobs", json={**say, "session": name}, headers=bearer("ann"))
            assert answer.status_code == 400, name


def test_a_waiting_job_is_cancelled_at_once_and_stays_so(client: TestClient) -> None:
    job = submitted(client)
    assert client.post(job["links"]["cancel"]).json()["state"] == "cancelled"
    assert client.post(job["links"]["cancel"]).json()["state"] == "cancelled"
    assert [e["event"] for e in events_of(client.get(job["links"]["events"]).text)] == ["queued", "cancelled"]


def test_events_come_as_they_happen_and_end_with_the_last(client: TestClient, service: Service) -> None:
    job = submitted(client)
    leased(service, job["id"])
    step, texts = Event("progress", "drawing", 1, 4, {"eta_s": 2}), Event("warning", "two\nlines \u2028 <b>ü</b>")
    later(lambda: service.queue.append(job["id"], "tester/1", [step, texts]))
    later(lambda: service.queue.finish(job["id"], "tester/1", {"pictures": []}), 0.6)
    answer = client.get(job["links"]["events"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith(f"retry: {sse.RETRY_MS}\n\n")
    told = events_of(answer.text)
    assert [each["event"] for each in told] == ["queued", "started", "progress", "warning", "done"]
    assert [int(each["id"]) for each in told] == [1, 2, 3, 4, 5] == [each["data"]["seq"] for each in told]
    assert told[2]["data"]["data"] == {"eta_s": 2}
    assert told[3]["data"]["message"] == texts.message
    assert told[4]["data"]["data"]["result"] == {"pictures": []}


def test_who_connects_again_loses_nothing_and_gets_nothing_twice(client: TestClient, service: Service) -> None:
    job = submitted(client)
    leased(service, job["id"])
    service.queue.finish(job["id"], "tester/1", {})
    url = job["links"]["events"]
    assert [e["id"] for e in events_of(client.get(url, headers={"Last-Event-ID": "1"}).text)] == ["2", "3"]
    assert [e["id"] for e in events_of(client.get(f"{url}?after=2").text)] == ["3"]
    assert [e["id"] for e in events_of(client.get(f"{url}?after=0", headers={"Last-Event-ID": "2"}).text)] == ["3"]
    assert events_of(client.get(url, headers={"Last-Event-ID": "99"}).text) == []


@pytest.mark.parametrize("said", ["-1", "x", "1e3", "²", "9" * 40])
def test_numbers_of_events_that_are_none(client: TestClient, said: str) -> None:
    job = submitted(client)
    assert client.get(job["links"]["events"], headers=[(b"Last-Event-ID", said.encode())]).status_code == 400
    assert client.get(job["links"]["events"], params={"after": said}).status_code == 422


def test_a_quiet_job_is_heard_to_be_alive(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
    job = submitted(client)
    later(lambda: service.queue.cancel(job["id"]), 0.5)
    assert client.get(job["links"]["events"]).text.count(": ping") >= 3


def test_streams_end_with_the_server(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    with client_of(service) as client:
        job, started = submitted(client), time.monotonic()
        later(service.close_streams, 0.5)
        assert [e["event"] for e in events_of(client.get(job["links"]["events"]).text)] == ["queued"]
        assert time.monotonic() - started < 5
    assert service.queue.get(job["id"]).state == "queued"
