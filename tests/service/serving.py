"""A server without its web: a queue, and workers that are processes, to be killed.

`python -m tests.service.serving FOLDER STEP_S` prints «open» when it has its workers, and ends when nothing waits or
runs any more. With STEP_S «embedded» the models are the embedded ones, else the painter's, which take so many seconds
a step.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from limner.service import staff
from limner.service.queue import JobQueue
from limner.service.staff import Staff
from tests.service.easels import until
from tests.service.workplace import main as painters_life
from tests.service.workplace import queue_in, settings_in

ROOT = Path(__file__).parent.parent.parent
NAME = "testhost:1"


def staff_for(queue: JobQueue, folder: Path, step_s: str = "0.02", **changes: Any) -> Staff:
    """Workers with one of the two sets of models."""
    if step_s == "embedded":
        settings = settings_in(folder, steps=4)
        return staff.in_processes(queue, settings, NAME, pauses_s=(0.1,), **changes)
    # A model without eyes: what they need takes a process seconds to import.
    settings = settings_in(folder, model="nobody/painter", threshold=0.0)
    life = partial(painters_life, float(step_s))
    return staff.in_processes(queue, settings, NAME, life=life, pauses_s=(0.1,), **changes)


def processes(of: int) -> list[psutil.Process]:
    """The worker processes of a server: those of its children that run Python code of ours."""
    found = psutil.Process(of).children()
    return [each for each in found if "spawn_main" in " ".join(_command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def begun(folder: Path, step_s: str) -> subprocess.Popen[str]:
    """Begin a server, in a process group that can be killed as a whole."""
    command = [sys.executable, "-m", "tests.service.serving", str(folder), step_s]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


def killed(child: subprocess.Popen[str], *, group: bool) -> None:
    """Kill a server, with its workers or alone."""
    (os.killpg if group else os.kill)(child.pid, signal.SIGKILL)
    child.communicate()


def serve(folder: Path, step_s: str) -> None:
    queue = queue_in(folder, bound=1000)
    made = staff_for(queue, folder, step_s)
    made.start()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    until(lambda: not queue.list(None, ("queued", "running"), 1), 600)
    made.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
