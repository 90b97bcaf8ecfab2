"""`limner serve --ray auto` on a Ray that it begins by itself: it draws, and an actor that is killed loses no job."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from limner.cli import main
from tests.web.processes import Served, followed, pictures, serving, submitted

pytest.importorskip("ray", reason="Ray is not installed (pip install 'limner[ray]')")
pytestmark = pytest.mark.slow


def processes(server: Served, name: str) -> list[psutil.Process]:
    """Ray's processes of a name below a server."""
    found: list[psutil.Process] = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            found += [process] if name in " ".join(process.cmdline()[:1]) else []
        except psutil.Error:
            continue
    return found


@pytest.fixture
def tiny(checkpoints: Path) -> list[str]:
    return ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]


def test_it_draws_on_ray_and_an_actor_that_dies_is_replaced(tmp_path: Path, tiny: list[str]) -> None:
    # Ray has its workers give way to everything else on the machine, unless told.
    own = {"LIMNER_DATA": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LIMNER_PRECISION": "float32"}
    own |= {"RAY_worker_niceness": "0"}
    with serving(*tiny, "--ray", "auto", variables=own) as server:
        first = submitted(server.client)
        assert followed(server.client, first)[-1] == "done"
        assert [file[:4] for file in pictures(server.client, first)] == [b"\x89PNG"]
        long = submitted(server.client, steps=60, seed=2)
        while server.job(long["id"])["state"] != "running":
            time.sleep(0.02)
        [actor] = processes(server, "_Actor")
        actor.kill()
        kinds = [kind for kind in followed(server.client, long) if kind in ("queued", "started", "done")]
        assert kinds == ["queued", "started", "queued", "started", "done"]
        assert [file[:4] for file in pictures(server.client, long)] == [b"\x89PNG"]
        assert [each.pid for each in processes(server, "_Actor")] != [actor.pid]
        assert server.client.get("/healthz").json() == {"store": True, "workers": 1}
        left = processes(server, "raylet") + processes(server, "_Actor")
        assert left
        assert server.end() == 0
    psutil.wait_procs(left, timeout=10)
    assert not [each for each in left if each.is_running()]


def test_workers_that_do_not_fit_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path))
    assert main(["serve", "--no-open", "--port", "0", "--ray", "auto", "--workers", "1000"]) == 2
    assert "1000 workers of 1 CPUs each do not fit" in capsys.readouterr().err
