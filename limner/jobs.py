"""Run a job of many items to its end, through kills, failures and any number of processes.

`run` hands out item numbers, takes what comes back in their order and commits it; who does the work is an `Executor`
(limner.workers). So the result does not depend on how many processes there are or how often they died.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limner import ledger
from limner.ledger import Tally
from limner.shards import Outcome, SetAside
from limner.types import BadInput, Event, LimnerError
from limner.workers import Executor

HOPELESS = 8
"""So many items in a row that fail are no bad items: something is wrong with the machine or the models."""


@dataclass(frozen=True, slots=True)
class Job:
    """`count` rows from at most `most` items; `spec` (JSON values) is all else that decides what they are.

    `shard` items are committed together: what a kill can cost. Raises BadInput for numbers below 1.
    """

    spec: Mapping[str, Any]
    count: int
    most: int
    shard: int = 8

    def __post_init__(self) -> None:
        for name in ("count", "most", "shard"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}", "it must be at least 1")

    @property
    def asked(self) -> dict[str, Any]:
        """All that decides the bytes of the result, as the ledger remembers it."""
        return {"spec": self.spec, "count": self.count, "most": self.most, "shard": self.shard}


@dataclass(frozen=True, slots=True)
class Report:
    """What a job has in the end. `complete` is False where the items ran out; `seconds` are this run's."""

    folder: Path
    accepted: int
    items: int
    rejected: Mapping[str, int]
    set_aside: int
    complete: bool
    seconds: float = 0.0


def finished(job: Job, folder: Path) -> Report | None:
    """The report of a job that has nothing left to do, without any model; None for any other. Raises as `run`."""
    tally = ledger.tally(folder, job.asked)
    return _report(job, folder, tally, 0.0) if _is_done(job, tally) else None


def run(job: Job, folder: Path, execute: Executor) -> Generator[Event, None, Report]:
    """Make what is still missing of a job and commit it to `folder`; a job that is done is only reported.

    Yields an «item» Event after each item: rows done of all that are wanted; data: items, accepted, rejected by
    reason, set_aside, rate (rows a second of this run) and eta (seconds, None while unknown). It may be closed at any
    of them. Raises BadInput for a folder that holds anything else or is in use, LimnerError when the disk fails, when
    HOPELESS items in a row failed, and when the models are not those of an earlier run.
    """
    start = time.monotonic()
    with ledger.open_ledger(folder, job.asked) as book:
        if not _is_done(job, book.tally):
            with closing(execute(iter(range(book.tally.items, job.most)))) as outcomes:
                yield from _commit_all(job, book, outcomes)
        return _report(job, folder, book.tally, time.monotonic() - start)


def _commit_all(job: Job, book: ledger.Ledger, outcomes: Iterator[Outcome]) -> Generator[Event]:
    """Commit outcomes shard by shard until the job is done."""
    begun, before = time.monotonic(), book.tally.accepted
    live, pending, failures = replace(book.tally, rejected=dict(book.tally.rejected)), list[Outcome](), 0
    for outcome in outcomes:
        wanted = _cut(outcome, job.count - live.accepted)
        failures = failures + 1 if isinstance(wanted, SetAside) else 0
        if isinstance(wanted, SetAside) and failures >= HOPELESS:
            raise LimnerError(f"{failures} items in a row failed: {wanted.error}", "mend that and run it again")
        pending.append(wanted)
        live.add(ledger.summary([wanted]))
        if len(pending) == job.shard or _is_done(job, live):
            book.commit(pending)
            pending = []
        yield _progress(job, live, before, time.monotonic() - begun)
        if _is_done(job, live):
            return


def _is_done(job: Job, tally: Tally) -> bool:
    return tally.accepted >= job.count or tally.items >= job.most


def _cut(outcome: Outcome, wanted: int) -> Outcome:
    """No more rows than are wanted, with only the pictures that something names."""
    if isinstance(outcome, SetAside) or len(outcome.rows) <= wanted:
        return outcome
    rows = outcome.rows[:wanted]
    named = {row.picture for row in rows} | {reject.picture for reject in outcome.rejects}
    return replace(outcome, rows=rows, pictures={n: data for n, data in outcome.pictures.items() if n in named})


def _progress(job: Job, live: Tally, before: int, seconds: float) -> Event:
    rate = (live.accepted - before) / seconds if seconds > 0 else 0.0
    eta = (job.count - live.accepted) / rate if rate > 0 else None
    data = {
        "items": live.items,
        "accepted": live.accepted,
        "rejected": dict(live.rejected),
        "set_aside": live.set_aside,
        "rate": rate,
        "eta": eta,
    }
    message = f"{live.accepted} kept, {sum(live.rejected.values())} rejected"
    return Event("item", message, live.accepted, job.count, data)


def _report(job: Job, folder: Path, tally: Tally, seconds: float) -> Report:
    complete = tally.accepted >= job.count
    return Report(folder, tally.accepted, tally.items, dict(tally.rejected), tally.set_aside, complete, seconds)
