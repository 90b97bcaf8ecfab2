"""A worker to be killed: it takes jobs, tells of them and ends them, saying of each when it is safe.

`python -m tests.service.killable_worker DATABASE BLOBS NAME` prints «open», then the id of each job once `finish` has
returned, and «idle» when nothing waits any more.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from limner.types import Event
from tests.service.queues import queue_at


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(database: str, blobs: str, name: str) -> None:
    worker = f"{name}/{os.getpid()}"
    with queue_at(database, Path(blobs), tries=1000) as queue:
        say("open")
        while True:
            jobs = queue.lease(worker, 3)
            for job in jobs:
                queue.append(job.id, worker, [Event("progress", done=step) for step in range(3)])
                queue.finish(job.id, worker, {"picture": queue.store.blobs.put(job.id.encode()), "by": worker})
                say(job.id)
            if not jobs:
                say("idle")
                time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
