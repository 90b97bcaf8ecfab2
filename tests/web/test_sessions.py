"""Sessions over HTTP: the tree as the page sees it, what moves in it at once, and whose it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from limner.session import Session
from limner.web.service import Service
from tests import workshop
from tests.web.serving import bearer, client_of, painted_session, picture, service_in, with_tokens

FIRST = "a red circle and a blue square"
GREEN, MORE = "paint the circle green", "add a green triangle"


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a session «shapes» of some turns, and bob's «shapes», which nobody touches."""
    folder = tmp_path_factory.mktemp("painted")
    painted_session(folder, "shapes", FIRST, GREEN, MORE)
    painted_session(folder, "bob--shapes", FIRST)
    return folder


@pytest.fixture(scope="module")
def service(painted: Path) -> Service:
    return service_in(painted)


@pytest.fixture
def turns(client: TestClient) -> Generator[list[dict[str, Any]]]:
    """The turns of «shapes», which stands at its last one before and after."""
    found = client.get("/api/sessions/shapes").json()
    assert client.post("/api/sessions/shapes/goto", json={"turn": found["turns"][-1]["id"]}).status_code == 200
    yield found["turns"]
    for job in client.get("/api/jobs?state=queued").json():
        client.post(job["links"]["cancel"])


def post(client: TestClient, verb: str, body: object = None, name: str = "shapes") -> Any:
    return client.post(f"/api/sessions/{name}/{verb}", json=body)


def test_a_session_is_told_whole(client: TestClient, turns: list[dict[str, Any]]) -> None:
    told = client.get("/api/sessions/shapes").json()
    assert [turn["number"] for turn in told["turns"]] == list(range(1, len(turns) + 1))
    assert [turn["kind"] for turn in told["turns"]][:2] == ["draw", "edit"]
    first, last = told["turns"][0], told["turns"][-1]
    assert (first["parent"], first["said"], first["prompt"], first["on_path"]) == (None, FIRST, FIRST, True)
    assert set(first["scores"]) == set(first["threshold"]) == {"red circle", "blue square"}
    assert isinstance(first["seed"], int)
    assert (told["tip"], told["job"], told["can_undo"]) == (last["id"], None, True)
    assert client.get(f"/api/pictures/{told['now']['picture']}").status_code == 200


def test_it_is_read_without_a_model_and_without_a_change(client: TestClient, service: Service) -> None:
    before = service.store.load("shapes")
    client.get("/api/sessions/shapes")
    client.get("/api/sessions")
    client.get("/api/sessions/shapes/diff?first=1&second=2")
    assert service.store.load("shapes") == before


def test_sessions_are_listed_with_what_they_show(client: TestClient, turns: list[dict[str, Any]]) -> None:
    [row] = [row for row in client.get("/api/sessions").json() if row["name"] == "shapes"]
    now = client.get("/api/sessions/shapes").json()["now"]
    assert (row["turns"], row["shows"], row["picture"]) == (len(turns), now["prompt"], now["picture"])


def test_begun_once_and_deleted(client: TestClient) -> None:
    told = client.post("/api/sessions", json={"name": "new-one"})
    assert (told.status_code, told.json()["turns"], told.json()["now"]) == (201, [], None)
    assert client.post("/api/sessions", json={"name": "new-one"}).status_code == 409
    assert client.delete("/api/sessions/new-one").status_code == 204
    assert client.delete("/api/sessions/new-one").status_code == 404
    assert client.get("/api/sessions/new-one").status_code == 404


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "a/b", "a b", "bob--shapes", "a--", "x" * 65, "a\0", "\u202e", "ü/"]
)
def test_names_that_are_none(client: TestClient, name: str) -> None:
    assert client.post("/api/sessions", json={"name": name}).status_code in (400, 422)


@pytest.mark.parametrize("name", ["none", "bob--shapes", "%00", "%2e%2e%5cx", "x" * 64, "%ed%a0%80"])
@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [("GET", "", None), ("DELETE", "", None), ("POST", "/say", {"text": FIRST}), ("POST", "/undo", None),
     ("POST", "/goto", {"turn": "1"}), ("GET", "/export", None), ("GET", "/diff?first=1&second=1", None),
     ("POST", "/forget", {"turn": "1"}), ("POST", "/set", {"ask": "never"})],
)  # fmt: skip
def test_sessions_that_are_not_there(client: TestClient, name: str, method: str, rest: str, body: object) -> None:
    answer = client.request(method, f"/api/sessions/{name}{rest}", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


def test_undo_redo_and_goto(client: TestClient, turns: list[dict[str, Any]]) -> None:
    back = post(client, "undo").json()
    assert (back["tip"], back["can_redo"]) == (turns[-2]["id"], True)
    assert [turn["on_path"] for turn in back["turns"]][-1] is False
    assert post(client, "redo").json()["tip"] == turns[-1]["id"]
    assert post(client, "redo").status_code == 400
    assert post(client, "goto", {"turn": "1"}).json()["tip"] == turns[0]["id"]
    assert post(client, "goto", {"turn": "99"}).status_code == 400
    assert post(client, "undo").json()["now"] is None
    assert post(client, "undo").status_code == 400


def test_branches_have_names(client: TestClient, turns: list[dict[str, Any]]) -> None:
    assert post(client, "branch", {"name": "here"}).json()["branches"] == {"here": turns[-1]["id"]}
    for name in ("", "7", "a b", "x" * 65, "<b>", "a\0"):
        assert post(client, "branch", {"name": name}).status_code in (400, 422), name
    post(client, "goto", {"turn": "1"})
    assert post(client, "goto", {"turn": "here"}).json()["tip"] == turns[-1]["id"]


def test_settings(client: TestClient, turns: list[dict[str, Any]]) -> None:
    told = post(client, "set", {"mode": "rewrite", "ask": "often"}).json()
    assert (told["mode"], told["ask"]) == ("rewrite", "often")
    assert post(client, "set", {"mode": "auto", "ask": "needed"}).json()["mode"] == "auto"
    for body in ({"mode": "fly"}, {"model": "sd15"}, {"ask": 7}):
        assert post(client, "set", body).status_code == 422


def test_two_turns_side_by_side(client: TestClient, turns: list[dict[str, Any]]) -> None:
    told = client.get("/api/sessions/shapes/diff?first=1&second=2").json()
    assert told["first"] == {"turn": turns[0]["id"], "picture": turns[0]["picture"], "prompt": FIRST}
    assert told["second"]["prompt"] == turns[1]["prompt"]
    assert [kind for kind, _ in told["prompt"] if kind != "same"]
    assert client.get("/api/sessions/shapes/diff?first=1&second=99").status_code == 400
    assert client.get("/api/sessions/shapes/diff?first=1").status_code == 422


def test_what_is_said_becomes_a_job_and_meanwhile_nothing_moves(
    client: TestClient, turns: list[dict[str, Any]], service: Service
) -> None:
    job = post(client, "say", {"text": "a blue square"}).json()
    assert (job["kind"], job["params"]) == ("say", {"session": "shapes", "text": "a blue square"})
    assert client.get("/api/sessions/shapes").json()["job"] == job["id"]
    for verb, body in (("undo", None), ("goto", {"turn": "1"}), ("branch", {"name": "x"}), ("set", {"ask": "never"})):
        answer = post(client, verb, body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "conflict"), verb
    assert client.delete("/api/sessions/shapes").status_code == 409
    client.post(job["links"]["cancel"])
    assert post(client, "undo").status_code == 200


def test_forgetting_and_opening_are_jobs(client: TestClient, turns: list[dict[str, Any]]) -> None:
    assert post(client, "forget", {"turn": "2"}).json()["params"]["turn"] == turns[1]["id"]
    assert post(client, "forget", {"turn": "99"}).status_code == 400
    assert post(client, "open", {"picture": "0" * 64}).status_code == 400
    sha256 = client.post("/api/pictures", content=picture(), headers={"Content-Type": "image/png"}).json()["picture"]
    assert post(client, "open", {"picture": sha256}).json()["params"]["open"] == sha256
    assert post(client, "say", {"text": GREEN, "mask": sha256}).json()["params"]["mask"] == sha256


def test_a_change_by_somebody_else_is_noticed(
    client: TestClient, turns: list[dict[str, Any]], painted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = Session.undo

    def beaten(session: Session) -> object:
        monkeypatch.undo()
        workshop.open_session(painted, "shapes").set("ask", "often")
        return undo(session)

    monkeypatch.setattr(Session, "undo", beaten)
    answer = post(client, "undo")
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "conflict")
    assert client.get("/api/sessions/shapes").json()["tip"] == turns[-1]["id"]


def test_a_question_waits_with_its_choices(tmp_path: Path) -> None:
    painted_session(tmp_path, "asked", FIRST, "paint it green")
    with client_of(service_in(tmp_path)) as client:
        told = client.get("/api/sessions/asked").json()
    last = told["turns"][-1]
    assert last["kind"] == "ask"
    assert told["question"] == {"turn": last["id"], "text": last["question"], "choices": last["choices"]}
    assert told["question"]["choices"]


def test_exported_as_a_zip_that_the_command_line_reads(client: TestClient, turns: list[dict[str, Any]]) -> None:
    answer = client.get("/api/sessions/shapes/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="shapes.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {"session.json", "turns.jsonl"} < set(archive.namelist())


def test_users_have_sessions_of_their_own(painted: Path) -> None:
    with client_of(service_in(painted), with_tokens()) as client:
        ann, bob = bearer("ann"), bearer("bob")
        assert [row["name"] for row in client.get("/api/sessions", headers=bob).json()] == ["shapes"]
        assert client.get("/api/sessions", headers=ann).json() == []
        assert client.get("/api/sessions/shapes", headers=ann).status_code == 404
        assert client.post("/api/sessions", json={"name": "shapes"}, headers=ann).status_code == 201
        assert client.get("/api/sessions/shapes", headers=ann).json()["turns"] == []
        assert client.delete("/api/sessions/shapes", headers=ann).status_code == 204
        assert len(client.get("/api/sessions/shapes", headers=bob).json()["turns"]) == 1
