"""`limner serve` as a process: it draws, ends cleanly with Ctrl-C, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from limner.cli import main
from limner.types import BadInput
from limner.web import server

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 120
DRAW = {"kind": "draw", "prompt": "a red fox", "steps": 1, "rounds": 1, "width": 16, "height": 16, "count": 1}


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as some:
        return some.getsockname()[1]


@contextmanager
def serving(port: int, *options: str) -> Generator[tuple[subprocess.Popen[str], httpx.Client]]:
    """A server process, which is asked to end after the block unless it has, and a client of it."""
    command = [sys.executable, "-m", "limner.cli", "serve", "--no-open", "--port", str(port), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith(f"Limner is at http://127.0.0.1:{port}/"), process.communicate()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            yield process, client
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def followed(client: httpx.Client, job: dict[str, Any]) -> list[str]:
    """The kinds of a job's events, to the end of the stream."""
    with client.stream("GET", job["links"]["events"]) as stream:
        return [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]


def submitted(client: httpx.Client, **params: Any) -> dict[str, Any]:
    answer = client.post("/api/jobs", json={**DRAW, **params})
    assert answer.status_code == 202, answer.text
    return answer.json()


@pytest.fixture
def tiny(checkpoints: Path) -> list[str]:
    return ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]


@pytest.mark.slow
def test_it_draws_and_ends_with_ctrl_c(tiny: list[str]) -> None:
    with serving(free_port(), *tiny) as (process, client):
        job = submitted(client)
        kinds = followed(client, job)
        assert (kinds[0], kinds[-1]) == ("queued", "done")
        [best] = client.get(job["links"]["self"]).json()["result"]["pictures"]
        assert client.get(f"/api/pictures/{best['picture']}").content[:4] == b"\x89PNG"
        assert client.get("/healthz").json() == {"store": True, "workers": 1}
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in log
    assert all(json.loads(line) for line in log.splitlines() if line.startswith("{"))


@pytest.mark.long
def test_what_it_was_busy_with_goes_on_at_the_next_start(tiny: list[str]) -> None:
    """Ctrl-C while one job runs, one waits and somebody listens: the stream ends, nothing is lost."""
    port = free_port()
    with serving(port, *tiny) as (process, client):
        long, heard = submitted(client, steps=200, rounds=20, count=64, budget=256), list[str]()
        stream = threading.Thread(target=lambda: heard.extend(followed(client, long)))
        stream.start()
        while client.get(long["links"]["self"]).json()["state"] != "running":
            time.sleep(0.05)
        waiting, started = submitted(client), time.monotonic()
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=PATIENCE)
        stream.join()
        assert (process.returncode, time.monotonic() - started < 15) == (0, True), log
        assert "done" not in heard
    with serving(port, *tiny) as (_, client):
        assert client.get(long["links"]["self"]).json()["state"] in ("queued", "running")
        client.post(long["links"]["cancel"])
        assert followed(client, long)[-1] == "cancelled"
        assert followed(client, waiting)[-1] == "done"


def test_a_port_that_is_taken_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--no-open", "--port", str(taken.getsockname()[1])]) == 2
    told = capsys.readouterr()
    assert "Address already in use (choose another --port or --host)" in told.err
    assert (told.err.count("\n"), told.out) == (1, "")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "would serve everyone"),
        (["--host", "::"], "would serve everyone"),
        (["--host", "no.such.host.invalid", "--token-file", "TOKENS"], "cannot listen on"),
        (["--token-file", "none"], "cannot read the tokens"),
        (["--port", "99999"], "--port"),
        (["--queue", "0"], "--queue"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_what_cannot_be_served(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tokens").write_text("x" * 20)
    given = [str(tmp_path / "tokens") if option == "TOKENS" else option for option in options]
    assert main(["serve", "--no-open", *given]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_where_it_is_found() -> None:
    with server.bind("127.0.0.1", 0) as some:
        port = some.getsockname()[1]
        hosts = ("127.0.0.1", "0.0.0.0", "::", "::1", "limner.lan")
        found = [server.address(host, some) for host in hosts]
    assert found == [
        f"http://{name}:{port}/" for name in ("127.0.0.1", "127.0.0.1", "127.0.0.1", "[::1]", "limner.lan")
    ]


@pytest.mark.parametrize("host", [" ", "a" * 300, "999.1.1.1", "no.such.host.invalid"])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(BadInput, match="cannot listen on"):
        server.bind(host, 0)


@pytest.mark.long
def test_a_thousand_who_wait_take_little(tmp_path: Path) -> None:
    """Streams of one job that waits: 1,000 sockets, under 100 MB more, and the server answers others at once."""
    port = free_port()
    with serving(port, "--model", "embedded") as (process, client):
        job, blocker = submitted(client, steps=200, rounds=20, count=64, budget=256), submitted(client)
        before = psutil.Process(process.pid).memory_info().rss
        head = f"GET /api/jobs/{blocker['id']}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(1000)]
        for each in sockets:
            each.sendall(head)
        for each in sockets:
            assert each.recv(64).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        assert client.get("/api/about").status_code == 200
        assert time.monotonic() - started < 2
        grown = psutil.Process(process.pid).memory_info().rss - before
        assert grown < 100 * 2**20, grown
        for each in (blocker, job):
            client.post(each["links"]["cancel"])
        for each in sockets:
            text = b""
            while b"event: cancelled" not in text and (got := each.recv(2**16)):
                text += got
            assert b"event: cancelled" in text
            each.close()
