"""Ctrl-C and imports that must not be broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limner.interrupts import held_while_importing

SLOW = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.5)
(open("imported", "w")).close()
"""
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without
from limner.interrupts import held_while_importing
try:
    with held_while_importing("slow"):
        import slow
        import time
        time.sleep(30)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_waits_for_the_import_to_end(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parent.parent}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=25
    )
    assert done.stdout == "stopped\n", done.stderr
    assert (tmp_path / "imported").exists()


def test_otherwise_it_stops_at_once_and_all_is_as_before() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), held_while_importing("no_such_module"):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_handles_it_already_goes_on_handling_it() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        with held_while_importing():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
