"""The files of docs/deploy: nginx runs with its own before a real server; systemd reads the unit."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from limner.web.security import MAX_BODY
from tests.web.processes import DRAW, ROOT, free_port, serving

DEPLOY = ROOT / "docs" / "deploy"
NAME = "pictures.example.org"
TOKEN = "t" * 32


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that nobody else vouches for, and its key."""
    made, key = folder / "cert.pem", folder / "cert.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


@contextmanager
def proxy(folder: Path, behind: int) -> Generator[httpx.Client]:
    """nginx with the file of docs/deploy, but for ports and paths; a client of it that believes its certificate."""
    port, (made, key) = free_port(), certificate(folder)
    text = (DEPLOY / "nginx.conf").read_text()
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/pictures.example.org.pem", str(made)),
        ("/etc/ssl/private/pictures.example.org.key", str(key)),
        ("127.0.0.1:8417", f"127.0.0.1:{behind}"),
    ):
        assert text.count(there) == 1
        text = text.replace(there, here)
    paths = "".join(f"{n}_temp_path {folder}/{n};\n" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"user root;\npid {folder}/pid;\nerror_log {folder}/errors;\ndaemon off;\nevents {{}}\n"
        f"http {{\n{paths}access_log off;\n{text}}}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.PIPE)
    trusted = ssl.create_default_context(cafile=str(made))
    headers = {"Host": f"{NAME}:{port}", "Authorization": f"Bearer {TOKEN}"}
    try:
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", headers=headers, verify=trusted, timeout=60) as client:
            client.event_hooks["request"] = [_named]
            _wait_for(client, process)
            yield client
    finally:
        process.terminate()
        process.communicate()


def _named(request: httpx.Request) -> None:
    """Have TLS ask for the name, as a browser does that finds the address by it."""
    request.extensions["sni_hostname"] = NAME


def _wait_for(client: httpx.Client, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            client.get("/healthz")
            return
        except httpx.TransportError:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)


def arrivals(client: httpx.Client, job: dict[str, Any], most: int) -> list[tuple[float, str]]:
    """When each of the first events of a job came, and its kind."""
    found: list[tuple[float, str]] = []
    with client.stream("GET", job["links"]["events"]) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            found += [(time.time(), line.removeprefix("event: "))] if line.startswith("event: ") else []
            if len(found) == most:
                break
    return found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed (Debian: apt-get install nginx)")
def test_nginx_lets_through_what_limner_serves_and_no_more(tmp_path: Path, checkpoints: Path) -> None:
    (tmp_path / "tokens").write_text(f"ann {TOKEN}\n")
    options = ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]
    options += ["--allow-host", NAME, "--token-file", str(tmp_path / "tokens")]
    own = {"LIMNER_DATA": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path), "LIMNER_PRECISION": "float32"}
    with serving(*options, variables=own) as server, proxy(tmp_path, server.port) as client:
        page = client.get("/")
        assert (page.status_code, "<title>Limner" in page.text) == (200, True)
        assert client.get("/api/jobs", headers={"Authorization": ""}).status_code == 401

        login = client.post("/api/login", json={"token": TOKEN})
        assert (login.status_code, "secure" in login.headers["set-cookie"].lower()) == (200, True)

        # The page's own Origin is taken, another site's is not.
        origin = str(client.base_url).replace("127.0.0.1", NAME).rstrip("/")
        job = client.post("/api/jobs", json={**DRAW, "steps": 200, "rounds": 9}, headers={"Origin": origin})
        assert job.status_code == 202, job.text
        foreign = client.post("/api/jobs", json=DRAW, headers={"Origin": "https://elsewhere.example"})
        assert foreign.status_code == 403

        # An event comes while the job goes on, and not when the job or a buffer's fill of events is over.
        told = arrivals(client, job.json(), 5)
        state = client.get(job.json()["links"]["self"]).json()["state"]
        assert ([kind for _, kind in told][:2], state) == (["queued", "started"], "running")
        assert told[-1][0] - told[0][0] > 0.2  # The worker tells of its steps four times a second.
        assert client.post(job.json()["links"]["cancel"]).status_code == 200

        too_large = client.post("/api/pictures", content=b"\x00" * (MAX_BODY + 1))
        assert (too_large.status_code, "nginx" in too_large.text) == (413, True)
        just = client.post("/api/pictures", files={"file": ("a.png", b"\x00" * (MAX_BODY - 1000), "image/png")})
        assert (just.status_code, "nginx" in just.text) == (415, False), just.text  # Limner's word: no picture.


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "limner.service").read_text()
    program = "/opt/limner/bin/limner"
    assert text.count(program) == 1
    unit = tmp_path / "limner.service"
    unit.write_text(text.replace(program, "/bin/true"))  # The verifier looks whether there is such a program.
    told = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")
