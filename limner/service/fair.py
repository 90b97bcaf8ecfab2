"""Which waiting jobs are begun next: in turns between users, one at a time of what changes the same thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from limner.store.jobs import Record


def pick(waiting: Sequence[Record], running: Sequence[Record], most: int, beside: str | None = None) -> list[Record]:
    """At most `most` of the waiting jobs (the oldest first), to be run together beside those that run already.

    Several only when they have one shape, which is not "", and none was begun before: what killed a worker must not
    take others with it again. No user has two jobs running while another one who waits
    has none; then those with fewer running come first, and older jobs before newer ones. `beside` is the shape of what
    the asking worker runs: only jobs of that shape then, and none that would overtake a job of another shape, so that
    a batch which is always refilled keeps nobody waiting for ever.
    """
    left, picked, shape = _free(waiting, running), list[Record](), beside
    load = Counter[str](record["owner"] for record in running)
    while len(picked) < most and (shape is None or shape):
        line = _line(left, load)
        fitting = [record for record in line if shape in (None, _shape(record))]
        if not fitting or (beside is not None and fitting[0] is not line[0]):
            break
        picked.append(fitting[0])
        left.remove(fitting[0])
        load[fitting[0]["owner"]] += 1
        shape = _shape(fitting[0])
    return picked


def _shape(record: Record) -> str:
    return "" if record["attempts"] else record["shape"]


def _free(waiting: Sequence[Record], running: Sequence[Record]) -> list[Record]:
    """The jobs that may begin: of those with one key the oldest, when none of that key is running."""
    taken = {record["key"] for record in running}
    free: list[Record] = []
    for record in waiting:
        if not record["key"] or record["key"] not in taken:
            free.append(record)
            taken.add(record["key"])
    return free


def _line(left: Sequence[Record], load: Counter[str]) -> list[Record]:
    """The jobs in the order in which they may begin; while a user has nothing running, those of the others may not."""
    anybody_idle = any(load[record["owner"]] == 0 for record in left)
    allowed = [record for record in left if load[record["owner"]] == 0 or not anybody_idle]
    return sorted(allowed, key=lambda record: (load[record["owner"]], record["place"]))
