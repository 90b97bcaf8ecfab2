"""Anything that users, workers and their deaths can do to a queue, in any order."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from limner.service.queue import JobQueue
from limner.service.values import ENDS, Full, Lost, key
from limner.types import Event
from tests.service.queues import draw, expire, problems, queue_at, say

pytest_plugins = ["tests.postgres"]

BOUND, TRIES = 8, 2
WORKERS = st.sampled_from(["w", "v"])
USERS = st.sampled_from(["ann", "bob"])


class Machine(RuleBasedStateMachine):
    """Beside the queue, what is known of it: who has each job, how often it was begun, and all that was accepted."""

    queue: JobQueue
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.accepted: set[str] = set()
        self.ended: dict[str, tuple[str, int]] = {}
        self.holder: dict[str, str] = {}
        self.expired: set[str] = set()
        self.begun = Counter[str]()

    @rule(target=jobs, user=USERS, shape=st.sampled_from(["", "s"]), session=st.sampled_from([None, None, "fox"]))
    def submit(self, user: str, shape: str, session: str | None) -> Any:
        waiting = [job.user for job in self.queue.list(states=["queued"])]
        taken = BOUND - len(waiting) <= waiting.count(user)
        try:
            job = say(self.queue, session, user) if session else draw(self.queue, user, shape)
        except Full:
            assert taken
            return multiple()  # pyright: ignore[reportUnknownVariableType]
        assert not taken
        assert job.id not in self.accepted
        self.accepted.add(job.id)
        return job.id

    @rule(worker=WORKERS, most=st.integers(1, 3))
    def lease(self, worker: str, most: int) -> None:
        dead = {job_id for job_id in self.expired if self.holder[job_id] != worker}
        for job_id in dead:
            self.release(job_id)
        for job in self.queue.lease(worker, most):
            assert job.id not in self.holder
            self.holder[job.id] = worker
            self.begun[job.id] += 1
            assert job.attempts == self.begun[job.id] <= TRIES
        changing = [key(self.queue.get(job_id)) for job_id in self.holder]
        assert changing.count("session:fox") <= 1

    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        expire(self.queue, worker)
        self.expired |= {job_id for job_id, holder in self.holder.items() if holder == worker}

    def release(self, job_id: str) -> None:
        del self.holder[job_id]
        self.expired.discard(job_id)

    @rule(job_id=jobs, worker=WORKERS, end=st.sampled_from(["append", "finish", "fail", "again", "cancelled", "renew"]))
    def speak(self, job_id: str, worker: str, end: str) -> None:
        mine = self.queue.get(job_id).state == "running" and self.holder.get(job_id) == worker
        if end == "renew":
            assert (job_id not in self.queue.renew(worker, [job_id])) == (mine and not self.queue.get(job_id).cancel)
            if mine:
                self.expired.discard(job_id)
            return
        speaking = {
            "append": lambda: self.queue.append(job_id, worker, [Event("progress"), Event("turn")]),
            "finish": lambda: self.queue.finish(job_id, worker, {"by": worker}),
            "fail": lambda: self.queue.fail(job_id, worker, "no"),
            "again": lambda: self.queue.fail(job_id, worker, "no", again=True),
            "cancelled": lambda: self.queue.cancelled(job_id, worker),
        }
        before = self.queue.get(job_id), self.queue.events(job_id)
        try:
            speaking[end]()
        except Lost:
            assert not mine
            assert (self.queue.get(job_id), self.queue.events(job_id)) == before
            return
        assert mine
        if end != "append":
            self.release(job_id)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        before = self.queue.get(job_id)
        after = self.queue.cancel(job_id)
        at_once = before.state == "queued" or job_id in self.expired
        assert after.state == ("cancelled" if at_once else before.state)
        assert after.cancel == (before.cancel or (before.state == "running" and not at_once))
        if job_id in self.expired:
            self.release(job_id)

    @rule(worker=WORKERS, back=st.booleans())
    def leave(self, worker: str, back: bool) -> None:
        mine = [job_id for job_id, holder in self.holder.items() if holder == worker]
        assert (self.queue.give_back if back else self.queue.recover)(worker) == len(mine)
        for job_id in mine:
            self.release(job_id)
            self.begun[job_id] -= back

    @invariant()
    def nothing_is_lost_and_nothing_ends_twice(self) -> None:
        jobs = {job.id: job for job in self.queue.list(limit=10_000)}
        assert set(jobs) == self.accepted
        assert problems(self.queue) == []
        for job_id, job in jobs.items():
            now = (job.state, len(self.queue.events(job_id)))
            assert self.ended.get(job_id, now) == now
            if job.state in ENDS:
                self.ended[job_id] = now
            assert (job.state == "running") == (job_id in self.holder)


def run_on(url: str | None, examples: int) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        queue_at(url or f"sqlite:///{name}/limner.db", Path(name), bound=BOUND, tries=TRIES, shared=True) as queue,
    ):

        class Rules(Machine):
            def __init__(self) -> None:
                super().__init__()
                self.queue = queue
                with queue.store.database.writing() as connection:
                    for table in ("limner_job_events", "limner_jobs"):
                        connection.exec_driver_sql(f"DELETE FROM {table}")

        about = settings(max_examples=examples, stateful_step_count=25, deadline=None)
        run_state_machine_as_test(Rules, settings=about)  # pyright: ignore[reportUnknownMemberType]


def test_no_order_of_events_breaks_a_queue() -> None:
    run_on(None, 12)


@pytest.mark.slow
@pytest.mark.long
def test_no_long_order_of_events_breaks_a_queue() -> None:
    run_on(None, 400)


def test_no_order_of_events_breaks_a_queue_in_postgresql(postgres: str) -> None:
    run_on(postgres, 3)
