"""`limner serve` as processes that can be asked to end or killed, and what a client of one does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 120
DRAW = {"kind": "draw", "prompt": "a red fox", "steps": 1, "rounds": 1, "width": 16, "height": 16, "count": 1}
"""A job that is done at once with tests.tiny's models."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server: its process, which leads a group of its own, its port, a client of it, and where its log goes."""

    process: subprocess.Popen[str]
    port: int
    client: httpx.Client
    log: Path

    def end(self) -> int:
        """Ask it to end, as Ctrl-C does; its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it and its workers, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def begun(self) -> list[str]:
        """The jobs that its workers began, by its log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["job"] for line in lines if line.get("state") == "running" and "worker" in line]

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it tells it."""
        return self.client.get(f"/api/jobs/{job_id}").raise_for_status().json()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as some:
        return some.getsockname()[1]


@contextmanager
def serving(*options: str, port: int | None = None, variables: Mapping[str, str] | None = None) -> Generator[Served]:
    """A server, which is asked to end after the block unless it has ended by then."""
    port = port or free_port()
    command = [sys.executable, "-m", "limner.cli", "serve", "--no-open", "--port", str(port), *options]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}
    environment |= {"OMP_NUM_THREADS": "1", **(variables or {})}
    with tempfile.NamedTemporaryFile("w", prefix="limner-log-") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            assert told.startswith(f"Limner is at http://127.0.0.1:{port}/"), Path(log.name).read_text()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
                yield Served(process, port, client, Path(log.name))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)


def submitted(client: httpx.Client, **params: Any) -> dict[str, Any]:
    """A job that was accepted."""
    answer = client.post("/api/jobs", json={**DRAW, **params})
    assert answer.status_code == 202, answer.text
    return answer.json()


def followed(client: httpx.Client, job: dict[str, Any]) -> list[str]:
    """The kinds of a job's events, to the end of the stream."""
    with client.stream("GET", job["links"]["events"]) as stream:
        return [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]


def pictures(client: httpx.Client, job: dict[str, Any]) -> list[bytes]:
    """The files of a job that is done, as a client gets them."""
    told = client.get(job["links"]["self"]).raise_for_status().json()
    assert told["state"] == "done", told
    found = [client.get(f"/api/pictures/{each['picture']}").raise_for_status() for each in told["result"]["pictures"]]
    return [each.content for each in found]
