"""The thread plan counts real cores and quotas; precision is measured, not guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from limner.backends.hardware import available_cores, measure_gain, one_thread, plan
from limner.types import BadInput


def fake_root(tmp_path: Path, siblings: dict[int, str], files: dict[str, str]) -> Path:
    """A file tree as Linux shows it, with the given hyper-threads and cgroup files."""
    tree = {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": text for cpu, text in siblings.items()}
    for name, text in (tree | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four CPUs are allowed, whatever this machine has."""

    def four(_pid: int) -> set[int]:
        return {0, 1, 2, 3}

    monkeypatch.setattr(os, "sched_getaffinity", four)


@pytest.mark.usefixtures("four_cpus")
@pytest.mark.parametrize(
    ("siblings", "files", "cores"),
    [
        ({}, {}, 4),
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, {}, 2),
        ({}, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n"}, 2),
        ({}, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({}, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 4),
        (
            {},
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {},
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
    ],
)
def test_cores(tmp_path: Path, siblings: dict[int, str], files: dict[str, str], cores: int) -> None:
    assert available_cores(fake_root(tmp_path, siblings, files)) == cores


def test_threads_are_shared_among_workers_and_applied(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        assert plan("cpu", "float32", workers=10_000, cache=tmp_path).threads == 1
        assert plan("cpu", "float32", threads=2, cache=tmp_path).threads == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_precision_follows_the_measurement_and_is_remembered(tmp_path: Path) -> None:
    first = plan("cpu", threads=1, cache=tmp_path)
    gains = json.loads((tmp_path / "hardware.json").read_text())
    [(key, gain)] = gains.items()
    assert first.precision == ("bfloat16" if gain >= 1.3 else "float32")
    assert torch.__version__ in key
    for gain, precision in ((9.0, "bfloat16"), (0.2, "float32")):
        (tmp_path / "hardware.json").write_text(json.dumps({key: gain}))
        remembered = plan("cpu", threads=1, cache=tmp_path)
        assert remembered.precision == precision
        assert f"{gain:.1f} times" in remembered.reason


def test_damaged_cache_only_costs_a_measurement(tmp_path: Path) -> None:
    (tmp_path / "hardware.json").write_text("[not json")
    plan("cpu", threads=1, cache=tmp_path)
    assert len(json.loads((tmp_path / "hardware.json").read_text())) == 1
    plan("cpu", threads=1, cache=Path("/dev/null/nowhere"))


def test_measured_gain_is_a_ratio() -> None:
    assert 0.001 < measure_gain(rounds=1) < 1000


@pytest.mark.parametrize(("device", "precision"), [("tpu", "auto"), ("cpu", "float8")])
def test_what_the_machine_lacks_is_refused(device: str, precision: str) -> None:
    with pytest.raises(BadInput, match=r"present: |known: "):
        plan(device, precision)


def test_one_thread_leaves_all_others_as_they_were() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    try:
        torch.set_num_threads(3)
        with one_thread():
            assert torch.get_num_threads() == 1
            new = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
            new.start()
            new.join()
        assert torch.get_num_threads() == 3
        assert seen == [3]
    finally:
        torch.set_num_threads(before)


def test_threads_sleep_before_torch_is_imported() -> None:
    code = (
        "import os, sys; from limner.backends.hardware import prepare_threads; prepare_threads();"
        "assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])"
    )
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("OMP", "GOMP"))}
    out = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True).stdout
    assert out.split() == ["PASSIVE", "0"]
