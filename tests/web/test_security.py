"""The guard: hosts, origins, tokens, cookies, rates and sizes, on the real app."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from limner.types import BadInput
from limner.web import security
from limner.web.buckets import Rate
from limner.web.security import Rules, rules
from tests.web.serving import TOKENS, bearer, client_of, picture, service_in, with_tokens

SESSION = {"name": "fox"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[TestClient]:
    with client_of(service_in(tmp_path_factory.mktemp("here"))) as client:
        yield client


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Generator[TestClient]:
    slow = replace(with_tokens(), guessing=Rate(1000, 1000))
    with client_of(service_in(tmp_path_factory.mktemp("everywhere")), slow) as client:
        yield client


@pytest.fixture
def local(here: TestClient) -> TestClient:
    """A server for this machine, without a session."""
    for session in here.get("/api/sessions").json():
        here.delete(f"/api/sessions/{session['name']}")
    return here


@pytest.fixture
def shared(everywhere: TestClient) -> TestClient:
    """A server with tokens, on all addresses; nobody is logged in."""
    everywhere.cookies.clear()
    return everywhere


def problem(response: Any) -> str:
    return response.json()["error"]["type"]


@pytest.mark.parametrize("host", ["127.0.0.1:8417", "localhost", "LOCALHOST:99", "[::1]:8417", "127.0.0.1"])
def test_names_of_this_machine(local: TestClient, host: str) -> None:
    assert local.get("/api/about", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8417", "192.168.0.4", "", "a b", "[::1"]
)
@pytest.mark.parametrize("path", ["/api/about", "/", "/healthz", "/v1/models", "/sdapi/v1/options"])
def test_any_other_name_is_refused_everywhere(local: TestClient, host: str, path: str) -> None:
    assert local.get(path, headers={"Host": host}).status_code == 403


def test_names_that_were_allowed(tmp_path: Path) -> None:
    allowed = rules({}, "127.0.0.1", ("Limner.Lan", "fe80::1"))
    with client_of(service_in(tmp_path), allowed) as client:
        answers = [client.get("/api/about", headers={"Host": host}) for host in ("limner.lan:8417", "[fe80::1]", "lan")]
    assert [answer.status_code for answer in answers] == [200, 200, 403]


def test_on_all_addresses_any_address_will_do_but_no_name(shared: TestClient) -> None:
    hosts = ("192.168.0.4:8417", "[fe80::1]:8417", "evil.example")
    answers = [shared.get("/api/about", headers=bearer("ann") | {"Host": host}) for host in hosts]
    assert [answer.status_code for answer in answers] == [200, 200, 403]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.4", "limner.lan", "0"])
def test_others_are_only_served_with_a_token(host: str) -> None:
    with pytest.raises(BadInput, match="would serve everyone"):
        rules({}, host)
    assert host in rules(TOKENS, host).hosts or ":" in host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_this_machine_is_served_without(host: str) -> None:
    assert rules({}, host).users == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:8417"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8417"},
    ],
)
def test_other_sites_change_nothing(local: TestClient, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/api/sessions"), ("DELETE", "/api/sessions/fox"), ("POST", "/api/login")):
        answer = local.request(method, path, json=SESSION, headers=headers)
        assert (answer.status_code, problem(answer)) == (403, "forbidden")
    assert local.get("/api/sessions").json() == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1:8417"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_the_own_page_and_other_programs_do(local: TestClient, headers: dict[str, str]) -> None:
    assert local.post("/api/sessions", json=SESSION, headers=headers).status_code == 201


def test_no_answer_may_be_read_by_another_origin(local: TestClient) -> None:
    for method in ("GET", "OPTIONS"):
        answer = local.request(method, "/api/about", headers={"Origin": "https://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/api/about", "/api/nothing", "/healthz", "/api/jobs/x"])
def test_every_answer_has_its_head(local: TestClient, path: str) -> None:
    headers = local.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/api/about", "/api/jobs", "/v1/models", "/sdapi/v1/options", "/metrics", "/api"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic YTpi"}])
def test_nothing_is_told_without_a_token(shared: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = shared.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_page_itself_and_its_health_need_none(shared: TestClient) -> None:
    assert [shared.get(path).status_code for path in ("/", "/healthz")] == [200, 200]


def test_a_token_names_its_user(shared: TestClient) -> None:
    assert shared.get("/api/about", headers=bearer("bob")).json()["user"] == "bob"


def test_the_page_logs_in_by_a_cookie_that_scripts_cannot_read(shared: TestClient) -> None:
    assert shared.post("/api/login", json={"token": "wrong"}).status_code == 401
    answer = shared.post("/api/login", json={"token": TOKENS["ann"]})
    assert answer.json() == {"user": "ann"}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKENS["ann"] not in cookie
    assert shared.get("/api/about").json()["user"] == "ann"
    shared.post("/api/logout", headers={"Sec-Fetch-Site": "same-origin"})
    assert shared.get("/api/about").status_code == 401


def test_a_cookie_alone_changes_nothing_without_the_browsers_word(shared: TestClient) -> None:
    shared.post("/api/login", json={"token": TOKENS["ann"]})
    same = {"Sec-Fetch-Site": "same-origin"}
    assert shared.post("/api/sessions", json=SESSION).status_code == 401
    assert shared.post("/api/sessions", json=SESSION, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    assert shared.post("/api/sessions", json=SESSION, headers=same).status_code == 201
    assert shared.get("/api/about", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401


@pytest.mark.parametrize("cookie", ["limner_login", "limner_login=", "limner_login=x", "=;=;", 'limner_login="\\777"'])
def test_cookies_that_are_none(shared: TestClient, cookie: str) -> None:
    assert shared.get("/api/about", headers={"Cookie": cookie}).status_code == 401


def test_tokens_cannot_be_guessed_quickly(tmp_path: Path) -> None:
    with client_of(service_in(tmp_path), Rules(TOKENS, frozenset({"127.0.0.1"}), guessing=Rate(0.1, 3))) as client:
        wrong = [client.get("/api/about", headers={"Authorization": f"Bearer {n}"}) for n in range(4)]
        assert [answer.status_code for answer in wrong] == [401, 401, 401, 429]
        assert int(wrong[-1].headers["retry-after"]) >= 1
        assert client.post("/api/login", json={"token": TOKENS["ann"]}).status_code == 429
        assert client.get("/api/about", headers=bearer("ann")).status_code == 200


def test_each_user_has_a_rate_of_their_own(tmp_path: Path) -> None:
    with client_of(service_in(tmp_path), Rules(TOKENS, frozenset({"127.0.0.1"}), asking=Rate(0.1, 2))) as client:
        asked = [client.get("/api/about", headers=bearer(user)) for user in ("ann", "ann", "ann", "bob")]
    assert [answer.status_code for answer in asked] == [200, 200, 429, 200]
    assert asked[2].json()["error"]["hint"] == f"wait {asked[2].headers['retry-after']} s"


def test_bodies_are_bounded_whether_they_say_their_size_or_not(local: TestClient) -> None:
    def chunks(number: int) -> Generator[bytes]:
        for _ in range(number):
            yield b" " * 2**16

    json, png = {"Content-Type": "application/json"}, {"Content-Type": "image/png"}
    assert local.post("/api/jobs", content=b" " * (security.MAX_JSON + 1), headers=json).status_code == 413
    assert local.post("/api/jobs", content=chunks(17), headers=json).status_code == 413
    assert local.post("/api/pictures", content=b" " * (21 * 2**20), headers=png).status_code == 413
    answer = local.post("/api/pictures", content=chunks(321), headers=png)
    assert (answer.status_code, problem(answer)) == (413, "too_large")
    assert local.post("/api/pictures", content=picture(), headers=png).status_code == 201


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 40, "²"])
def test_sizes_that_are_none(local: TestClient, length: str) -> None:
    answer = local.request("POST", "/api/jobs", content=b"{}", headers=[(b"Content-Length", length.encode())])
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("path", "field"), [("/api/jobs/x", "message"), ("/v1/nothing", "code"), ("/api/nothing", "hint")]
)
def test_errors_have_the_form_of_their_api(local: TestClient, path: str, field: str) -> None:
    assert local.get(path).json()["error"][field]


def test_a_password_is_a_token_only_where_clients_can_send_nothing_else(shared: TestClient) -> None:
    assert shared.get("/sdapi/v1/options", auth=("any", TOKENS["bob"])).status_code == 200
    assert shared.get("/sdapi/v1/options", auth=("any", "wrong")).status_code == 401
    assert shared.get("/sdapi/v1/options", headers={"Authorization": "Basic %"}).status_code == 401
    assert shared.get("/api/jobs", auth=("any", TOKENS["bob"])).status_code == 401
