"""A job of small pictures that is quickly done, and a process that runs it and may be killed.

`python -m tests.killable_job FOLDER WORKERS` prints a line for every item and «done» at the end.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from limner.image import png_bytes
from limner.jobs import Job, run
from limner.shards import Made, Reject, Row
from limner.types import LimnerError, Picture
from limner.workers import Make, in_process, in_processes

JOB = Job({"what": "noise"}, count=40, most=60, shard=4)


def make(index: int, seconds: float = 0.0) -> Made:
    """Two pictures of noise, of every third item one, and a reject; every seventh item has rejects only."""
    time.sleep(seconds)
    item = hashlib.sha256(str(index).encode()).hexdigest()
    count = 0 if index % 7 == 6 else 1 if index % 3 == 2 else 2
    pictures = [picture(index, number) for number in range(count + 1)]
    names = [hashlib.sha256(data).hexdigest() for data in pictures]
    regions = [{"label": "fox", "box": [0, 0, 4, 4], "score": 0.5, "mask": None}]
    parents = ["", f"{item}-0"]
    rows = [
        Row(f"{item}-{n}", item, index, parents[n], names[n], 8, 8, "fox", "a «fox»", regions, {}, {})
        for n in range(count)
    ]
    reject = Reject(f"{item}-r0", item, index, "", "draw", "mismatch", {"similarity": 0.1}, {}, names[-1])
    return Made(index, rows, [reject], dict(zip(names, pictures, strict=True)), "noise 1")


def picture(index: int, number: int) -> bytes:
    return png_bytes(Picture(np.random.default_rng([index, number]).integers(0, 256, (8, 8, 3), np.uint8)))


def maker(seconds: float = 0.0) -> Make:
    """A factory, as a worker is given one."""
    return partial(make, seconds=seconds)


def deadly(folder: str, index: int) -> Made:
    """Kills the process that makes item 3 once, and every one that makes item 5."""
    mark = Path(folder) / "killed"
    if index == 5 or (index == 3 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make(index)


def deadly_maker(folder: str) -> Make:
    return partial(deadly, folder)


def broken_maker() -> Make:
    raise LimnerError("no such model", "fetch it")


def dying_maker() -> Make:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(folder: str, workers: str) -> None:
    executor = in_processes(partial(maker, 0.01), int(workers)) if workers != "0" else in_process(maker(0.01))
    for event in run(JOB, Path(folder), executor):
        say(event.message)
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
