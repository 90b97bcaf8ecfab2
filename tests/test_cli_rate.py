"""`limner rate` as a process: it serves, keeps what is answered, and tells the counts when it is ended."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from limner.cli import main
from limner.rating_files import open_rating
from tests.test_rating_files import folders


def test_ctrl_c_tells_the_counts_and_the_next_run_goes_on(tmp_path: Path) -> None:
    first, second = folders(tmp_path)
    file = tmp_path / "ratings.jsonl"
    command = [sys.executable, "-m", "limner.cli", "rate", str(first), str(second), "--out", str(file), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+/", process.stderr.readline())
        assert found
        pair = httpx.get(f"{found[0]}api/ratings/next").json()
        httpx.post(f"{found[0]}api/ratings", json={"id": pair["id"], "choice": "tie"}).raise_for_status()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(told) == json.loads(told) | {"rated": 1, "pairs": 4, "tie": 1}
    assert open_rating(first, second, file, 0).ratings.done == 1


def test_the_counts_so_far_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = folders(tmp_path)
    open_rating(first, second, tmp_path / "r.jsonl", 0).answer("0.png", "tie")
    assert main(["rate", str(first), str(second), "--out", str(tmp_path / "r.jsonl"), "--results", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tie"] == 1


def test_what_is_no_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rate", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "is no folder" in capsys.readouterr().err
