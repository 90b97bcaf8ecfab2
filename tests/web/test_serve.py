"""`limner serve` as a process: it draws, ends cleanly with Ctrl-C, and goes on where it was."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from limner.cli import main
from limner.types import BadInput
from limner.web import server
from tests.web.processes import followed, free_port, serving, submitted


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")


@pytest.fixture
def tiny(checkpoints: Path) -> list[str]:
    return ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]


@pytest.mark.slow
def test_it_draws_and_ends_with_ctrl_c(tiny: list[str]) -> None:
    with serving(*tiny) as served:
        client, job = served.client, submitted(served.client)
        kinds = followed(client, job)
        assert (kinds[0], kinds[-1]) == ("queued", "done")
        [best] = client.get(job["links"]["self"]).json()["result"]["pictures"]
        assert client.get(f"/api/pictures/{best['picture']}").content[:4] == b"\x89PNG"
        assert client.get("/healthz").json() == {"store": True, "workers": 1}
        assert served.end() == 0
        log = served.log.read_text()
    assert "Traceback" not in log
    assert all(json.loads(line) for line in log.splitlines() if line.startswith("{"))


@pytest.mark.long
def test_what_it_was_busy_with_goes_on_at_the_next_start(tiny: list[str]) -> None:
    """Ctrl-C while one job runs, one waits and somebody listens: the stream ends, nothing is lost."""
    port = free_port()
    with serving(*tiny, port=port) as served:
        client = served.client
        long, heard = submitted(client, steps=200, rounds=20, count=64, budget=256), list[str]()
        stream = threading.Thread(target=lambda: heard.extend(followed(client, long)))
        stream.start()
        while client.get(long["links"]["self"]).json()["state"] != "running":
            time.sleep(0.05)
        waiting, started = submitted(client), time.monotonic()
        ended = served.end()
        stream.join()
        assert (ended, time.monotonic() - started < 15) == (0, True), served.log.read_text()
        assert "done" not in heard
    with serving(*tiny, port=port) as served:
        client = served.client
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
    with serving("--model", "embedded") as served:
        client, port = served.client, served.port
        job, blocker = submitted(client, steps=200, rounds=20, count=64, budget=256), submitted(client)
        before = psutil.Process(served.process.pid).memory_info().rss
        head = f"GET /api/jobs/{blocker['id']}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(1000)]
        for each in sockets:
            each.sendall(head)
        for each in sockets:
            assert each.recv(64).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        assert client.get("/api/about").status_code == 200
        assert time.monotonic() - started < 2
        grown = psutil.Process(served.process.pid).memory_info().rss - before
        assert grown < 100 * 2**20, grown
        for each in (blocker, job):
            client.post(each["links"]["cancel"])
        for each in sockets:
            text = b""
            while b"event: cancelled" not in text and (got := each.recv(2**16)):
                text += got
            assert b"event: cancelled" in text
            each.close()
