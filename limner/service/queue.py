"""The queue of jobs: kept in the store's database, bounded, and handed out in leases to workers that may die.

Every method is one transaction, beside which nobody else writes, and a job's last event is there exactly when its state
says that it has ended. What returned outlives any kill; a job that was accepted or called off outlives a power cut,
too, and is done again if what its worker did with it did not. A worker keeps its jobs by renewing their leases; when it
does not, another one takes them over, and what the first then says of them is refused (Lost). Every method raises
LimnerError, in one line, when the database fails; nothing is changed then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from limner.service import steps
from limner.service.fair import pick
from limner.service.values import ENDS, Job, JobEvent, Kind, State
from limner.store import Store
from limner.store.jobs import Jobs, pictures_in, reading, writing
from limner.types import BadInput, Event, LimnerError

_DAY = 86400.0
_MOST_EVENTS = 2**31 - 1
_Jobs = list[Job]
_Events = list[JobEvent]


class JobQueue:
    """The jobs of a store's database; any number of processes may have one.

    `on_change` is called, without arguments, after every change: it is where a `Watcher` and sleeping workers are
    woken. A worker's name must be its own for as long as leases live: a new process takes a new one.
    """

    def __init__(
        self, store: Store, *, bound: int = 64, lease_s: float = 30, tries: int = 2, shared: bool = False
    ) -> None:
        """At most `bound` jobs wait; a lease lasts `lease_s` seconds; a job is begun at most `tries` times.

        `shared`: the jobs of one user take no more places than they leave free, so that the next user finds one.
        """
        self.store, self.bound, self.lease_s, self.tries, self.shared = store, bound, lease_s, tries, shared
        self.on_change = list[Callable[[], object]]()

    def submit(self, user: str, kind: Kind, params: Mapping[str, Any], shape: str = "") -> Job:
        """Add a job behind all others; it is durable. Its first event is «queued» (data: position, attempts).

        Raises Full when `bound` jobs wait or the user has a share of them, BadInput for params that no job can have and
        for a picture that is not in the store.
        """
        values = steps.new(user, kind, params, shape)
        with self._reading() as jobs:  # Who is turned away does not wait for a writer.
            self._check_room(jobs, user)
        with self._writing(lasting=True) as jobs:
            self._check_room(jobs, user)
            if missing := self._missing(params):
                raise BadInput(f"there is no picture {missing[:64]}", "upload it again")
            jobs.add({**values, "created": jobs.now})
            record = steps.known(jobs, values["id"])
            steps.tell_position(jobs, record)
        self._changed()
        return steps.job(record)

    def get(self, job_id: str, user: str | None = None) -> Job:
        """A job. Raises NotFound for an id that is none, and for the job of another than `user`."""
        with self._reading() as jobs:
            return steps.job(steps.known(jobs, job_id, user))

    def position(self, job_id: str) -> int:
        """How many jobs are before it in the queue: 0 for the next one, and for one that waits no more."""
        with self._reading() as jobs:
            return steps.position(jobs, steps.known(jobs, job_id))

    def cancel(self, job_id: str, user: str | None = None) -> Job:
        """End a job that waits; ask its worker to end one that runs; leave one that has ended. Raises as `get`."""
        with self._writing(lasting=True) as jobs:
            record = steps.known(jobs, job_id, user)
            if record["state"] == "queued" or steps.expired(record, jobs.now):
                steps.end(jobs, record, "cancelled", {})
            elif record["state"] == "running":
                jobs.change(job_id, cancel=True)
            job = steps.job(steps.known(jobs, job_id))
        self._changed()
        return job

    def lease(self, worker: str, most: int, *, wait_for: Job | None = None) -> _Jobs:
        """Take at most `most` waiting jobs, chosen by `fair.pick`, for `lease_s` seconds; [] where there is nothing.

        `wait_for` is a job that the worker runs: only such as can be batched with it are taken then. Jobs of other
        workers whose lease has run out go back to the queue first, or fail when they were begun `tries` times.
        """
        # A job that is tried again runs alone, as in `fair.pick`.
        alone = wait_for is not None and (not wait_for.shape or wait_for.attempts > 1)
        if most < 1 or alone or not self._is_work(worker):
            return []
        with self._writing() as jobs:
            running = jobs.of_state("running")
            dead = [r for r in running if r["worker"] != worker and steps.expired(r, jobs.now)]
            steps.reclaim(jobs, dead, self.tries)
            alive = [r for r in running if r not in dead]
            picked = pick(jobs.of_state("queued"), alive, most, None if wait_for is None else wait_for.shape)
            leased = [steps.begin(jobs, record, worker, self.lease_s) for record in picked]
        self._changed()
        return leased

    def renew(self, worker: str, job_ids: Collection[str]) -> set[str]:
        """Prolong the leases of a worker's jobs; returns those that it must leave: to be cancelled, or not its own."""
        with self._writing() as jobs:
            mine = {r["id"]: r for r in jobs.of_state("running") if r["worker"] == worker and r["id"] in job_ids}
            jobs.hold(mine, jobs.now + self.lease_s)
        return {job_id for job_id in job_ids if job_id not in mine or mine[job_id]["cancel"]}

    def append(self, job_id: str, worker: str, events: Iterable[Event]) -> None:
        """Add events to a worker's job. Raises Lost when it is not (or no longer) the worker's; ValueError for data
        that is no JSON and for kinds that only the queue tells.

        Of the kinds in PASSING, a few hundred of each job are kept.
        """
        if self.append_all(worker, {job_id: list(events)}):
            raise steps.lost(job_id)

    def append_all(self, worker: str, events: Mapping[str, Sequence[Event]]) -> set[str]:
        """Add events to several of a worker's jobs; returns the jobs that are not its own, whose events are dropped."""
        told = {job_id: [steps.told(event) for event in several] for job_id, several in events.items()}
        lost: set[str] = set()
        with self._writing() as jobs:
            for job_id, several in told.items():
                record = jobs.get(job_id)
                if record is not None and steps.is_of(record, worker):
                    steps.add(jobs, record, several)
                else:
                    lost.add(job_id)
        self._changed()
        return lost

    def finish(self, job_id: str, worker: str, result: Mapping[str, Any], events: Iterable[Event] = ()) -> None:
        """End a job with its result, after the last of its own events.

        Raises Lost and ValueError as `append`, LimnerError when a picture of the result is not in the store.
        """
        last = [steps.told(event) for event in events]
        with self._writing() as jobs:
            record = steps.owned(jobs, job_id, worker)
            if missing := self._missing(result):
                raise LimnerError(f"the picture {missing} of the result is not in the store", "do it again")
            steps.end(jobs, record, "done", {"result": result}, last)
        self._changed()

    def fail(
        self,
        job_id: str,
        worker: str,
        message: str,
        hint: str = "",
        events: Iterable[Event] = (),
        *,
        again: bool = False,
    ) -> None:
        """End a job with an error; with `again`, let it be tried again if it may. Raises as `append`."""
        last = [steps.told(event) for event in events]
        with self._writing() as jobs:
            record = steps.owned(jobs, job_id, worker)
            if again and record["attempts"] < self.tries and not record["cancel"]:
                steps.add(jobs, record, last)
                steps.requeue(jobs, record, f"it is tried again: {message}")
            else:
                steps.end(jobs, record, "failed", {"error": {"message": message, "hint": hint}}, last)
        self._changed()

    def cancelled(self, job_id: str, worker: str, events: Iterable[Event] = ()) -> None:
        """End a job that its worker stopped. Raises as `append`."""
        last = [steps.told(event) for event in events]
        with self._writing() as jobs:
            record = steps.owned(jobs, job_id, worker)
            steps.end(jobs, record, "cancelled", {}, last)
        self._changed()

    def give_back(self, worker: str) -> int:
        """Put a worker's jobs back into the queue, as if it had not begun them; returns how many it had."""
        with self._writing() as jobs:
            mine = [r for r in jobs.of_state("running") if r["worker"] == worker]
            uncounted = [{**r, "attempts": r["attempts"] - 1} for r in mine]
            steps.reclaim(jobs, uncounted, self.tries, "its worker was stopped")
        self._changed()
        return len(mine)

    def events(self, job_id: str, after: int = 0) -> _Events:
        """The events of a job whose number is above `after`, in order; [] for a job that is none."""
        with self._reading() as jobs:
            records = jobs.events(job_id, max(0, min(after, _MOST_EVENTS)))
            return [JobEvent(job=job_id, **record) for record in records]

    def latest(self, job_ids: Collection[str]) -> dict[str, int]:
        """The number of the newest event of each of some jobs; those that there are not are left out."""
        with self._reading() as jobs:
            return jobs.latest(job_ids)

    def recover(self, worker_prefix: str) -> int:
        """Take the jobs of workers that are known to be dead, by the beginning of their names; returns how many.

        For a server, which need not wait for the leases of its own workers that died. «a/1» is a beginning of «a/12».
        """
        with self._writing() as jobs:
            dead = [r for r in jobs.of_state("running") if r["worker"].startswith(worker_prefix)]
            steps.reclaim(jobs, dead, self.tries)
        self._changed()
        return len(dead)

    def sweep(self, keep_days: float) -> int:
        """Remove jobs that ended so many days ago, their events, and pictures that nothing names any more."""
        with self._writing(lasting=True) as jobs:
            removed = jobs.remove(ENDS, jobs.now - keep_days * _DAY)
        if removed:
            self.store.tidy()
        return removed

    def list(self, user: str | None = None, states: Collection[State] = (), limit: int = 50) -> _Jobs:
        """The newest jobs first: of one user or all (None), in some states or any (none given)."""
        with self._reading() as jobs:
            return [steps.job(record) for record in jobs.find(user, states, limit)]

    def _reading(self) -> AbstractContextManager[Jobs]:
        return reading(self.store.database)

    def _writing(self, *, lasting: bool = False) -> AbstractContextManager[Jobs]:
        """A disk's sync is most of what a job costs beside its work: only what cannot be done again waits for one."""
        return writing(self.store.database, lasting=lasting)

    def _changed(self) -> None:
        for call in self.on_change:
            call()

    def _check_room(self, jobs: Jobs, user: str) -> None:
        waiting = jobs.waiting()
        free, mine = self.bound - sum(waiting.values()), waiting.get(user, 0)
        if free < 1:
            raise steps.full(jobs, f"the queue is full: {self.bound} jobs wait")
        if self.shared and mine >= free:
            raise steps.full(jobs, f"{mine} of your jobs wait, and the {free} places that are left are for others")

    def _missing(self, value: Mapping[str, Any]) -> str | None:
        # Within the transaction: nobody else removes a picture until what names it is written.
        return next((sha256 for sha256 in sorted(pictures_in(value)) if not self.store.blobs.has(sha256)), None)

    def _is_work(self, worker: str) -> bool:
        """Whether leasing could find anything: asked without keeping writers waiting, as idle workers ask often."""
        with self._reading() as jobs:
            running = jobs.of_state("running")
            return jobs.before() > 0 or any(r["worker"] != worker and steps.expired(r, jobs.now) for r in running)
