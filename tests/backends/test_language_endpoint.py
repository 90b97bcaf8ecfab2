"""The endpoint client against a real HTTP server in a thread, in the moods that servers have."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from limner.backends import language_endpoint
from limner.backends.language_endpoint import MAX_REPLY_BYTES, EndpointModel
from limner.types import LanguageModelFailed
from limner.writer import extract_keywords

KEY = "sk-very-secret"
SCHEMA: dict[str, object] = {"type": "object"}
Mood = Callable[["Handler", dict[str, Any]], None]


class Server(ThreadingHTTPServer):
    """Answers each request by the next mood, the last one for ever; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.moods: list[Mood] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.closing = threading.Event()

    def model(self, *moods: Mood, timeout_s: float = 10.0) -> EndpointModel:
        self.moods = list(moods)
        return EndpointModel("m", f"http://127.0.0.1:{self.server_port}/v1", KEY, timeout_s)


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization", ""), body))
        mood = self.server.moods.pop(0) if len(self.server.moods) > 1 else self.server.moods[0]
        try:
            mood(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


def says(text: object) -> Mood:
    content = json.dumps({"id": "1", "choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
    return lambda handler, _: handler.send(200, content)


def sends(content: bytes) -> Mood:
    return lambda handler, _: handler.send(200, content)


def status(code: int, **headers: str) -> Mood:
    return lambda handler, _: handler.send(code, f"the key {KEY} is no good".encode(), **headers)


def only(*kinds: str | None) -> Mood:
    """A server that takes these response formats and refuses any other."""

    def mood(handler: Handler, body: dict[str, Any]) -> None:
        kind = body.get("response_format", {}).get("type")
        (says('{"ok": 1}') if kind in kinds else status(400))(handler, body)

    return mood


def hangs(handler: Handler, _: dict[str, Any]) -> None:
    handler.server.closing.wait(20)


def drips(handler: Handler, _: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b" ")


def pours(handler: Handler, _: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _block in range(4 * MAX_REPLY_BYTES // 65536):
        handler.wfile.write(b" " * 65536)
    handler.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(language_endpoint, "_FIRST_PAUSE_S", 0.01)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


def fails(model: EndpointModel, complaint: str) -> LanguageModelFailed:
    with pytest.raises(LanguageModelFailed, match=complaint) as caught:
        model.reply("s", "u", schema=SCHEMA)
    assert KEY not in str(caught.value)
    return caught.value


def test_a_reply_and_what_was_asked(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    model = server.model(says("hello"))
    assert model.reply("rules of the game", "the words", schema=SCHEMA, max_tokens=7) == "hello"
    ((path, authorization, body),) = server.requests
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert body["messages"] == [
        {"role": "system", "content": "rules of the game"},
        {"role": "user", "content": "the words"},
    ]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 7, 0)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert KEY not in caplog.text + repr(model)


@pytest.mark.parametrize(("kind", "tries"), [("json_schema", 1), ("json_object", 2), (None, 3)])
def test_the_strictest_format_that_a_server_takes_is_found_once(server: Server, kind: str | None, tries: int) -> None:
    model = server.model(only(kind))
    assert [model.reply("s", "u", schema=SCHEMA) for _ in range(2)] == ['{"ok": 1}'] * 2
    assert len(server.requests) == tries + 1


def test_a_busy_server_is_asked_again_after_the_pause_it_wants(server: Server) -> None:
    started = time.monotonic()
    assert server.model(status(429, Retry_After="0.3"), says("now")).reply("s", "u", schema=SCHEMA) == "now"
    assert 0.3 <= time.monotonic() - started < 5


def test_a_pause_beyond_the_time_bound_is_not_waited_for(server: Server) -> None:
    started = time.monotonic()
    fails(server.model(status(503, Retry_After="3600"), timeout_s=5), "status 503")
    assert time.monotonic() - started < 4


def test_attempts_are_bounded(server: Server) -> None:
    fails(server.model(status(500)), "status 500")
    assert len(server.requests) == language_endpoint.ATTEMPTS


@pytest.mark.parametrize("mood", [hangs, drips])
def test_a_hung_server_is_given_up(server: Server, mood: Mood) -> None:
    started = time.monotonic()
    fails(server.model(mood, timeout_s=0.5), "ReadTimeout|did not finish within 0.5 s")
    assert time.monotonic() - started < 5


def test_a_flood_is_cut(server: Server) -> None:
    fails(server.model(pours), f"more than {MAX_REPLY_BYTES} bytes")


def test_redirects_are_refused(server: Server) -> None:
    fails(server.model(status(302, Location="http://127.0.0.1:9/elsewhere")), "status 302")
    assert len(server.requests) == 1


def test_a_refused_key_says_where_to_look(server: Server) -> None:
    assert "OPENAI_API_KEY" in fails(server.model(status(401)), "refused the key").hint


@pytest.mark.parametrize("mood", [says(None), says(5), sends(b"<html>"), sends(b"{}"), sends(b'{"choices": []}')])
def test_rubbish_is_no_completion(server: Server, mood: Mood) -> None:
    fails(server.model(mood), "did not send a chat completion")


def test_nobody_there(server: Server) -> None:
    model = EndpointModel("m", "http://127.0.0.1:9/v1", KEY, 5.0)
    fails(model, "cannot be reached")


def test_the_writer_falls_back_when_the_endpoint_fails(server: Server) -> None:
    found = extract_keywords("a red fox in the snow", server.model(status(400)))
    assert found.keywords == ("red fox", "snow")
    assert "127.0.0.1 answers with status 400" in found.warnings[0]


def test_retry_after_may_be_a_date() -> None:
    assert language_endpoint._pause("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0  # pyright: ignore[reportPrivateUsage]
    assert language_endpoint._pause("soon") is None  # pyright: ignore[reportPrivateUsage]
