from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from limner.service.queue import JobQueue
from limner.service.values import Full, Job, Kind, Lost, NotFound
from limner.types import BadInput, Event, LimnerError
from tests.disk import small_disk
from tests.service.queues import age, draw, expire, problems, queue_at, say

pytest_plugins = ["tests.postgres"]

RESULT = {"pictures": list[str](), "drawn": 2}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")
    return f"sqlite:///{tmp_path}/limner.db"


@pytest.fixture
def queue(url: str, tmp_path: Path) -> Generator[JobQueue]:
    with queue_at(url, tmp_path / "blobs") as queue:
        yield queue
        assert problems(queue) == []


@pytest.fixture
def sqlite(tmp_path: Path) -> Generator[JobQueue]:
    with queue_at(f"sqlite:///{tmp_path}/limner.db", tmp_path / "blobs", bound=2) as queue:
        yield queue
        assert problems(queue) == []


def kinds(queue: JobQueue, job: Job, after: int = 0) -> list[str]:
    return [event.kind for event in queue.events(job.id, after)]


def leased(queue: JobQueue, worker: str = "w", most: int = 1) -> list[str]:
    return [job.id for job in queue.lease(worker, most)]


def test_a_job_goes_through_the_queue(queue: JobQueue, url: str, tmp_path: Path) -> None:
    job = queue.submit("local", "draw", {"prompt": "a fox", "seed": 3}, "128")
    with queue_at(url, tmp_path / "blobs") as other:  # What was submitted is there for everybody.
        assert other.get(job.id) == job
        (begun,) = other.lease("w", 8)
        assert (begun.state, begun.attempts, begun.params, begun.shape) == ("running", 1, job.params, "128")
        other.append(job.id, "w", [Event("progress", "drawing", 1, 20, {"eta_s": 2.5}), Event("turn")])
        other.append(job.id, "w", [])
        other.finish(job.id, "w", RESULT)
    done = queue.get(job.id, "local")
    assert (done.state, done.result, done.error, done.ended) == ("done", RESULT, None, True)
    assert done.finished is not None
    assert done.started is not None
    assert 1e9 < done.created <= done.started <= done.finished
    events = queue.events(job.id)
    assert [(e.seq, e.kind) for e in events] == [
        (1, "queued"),
        (2, "started"),
        (3, "progress"),
        (4, "turn"),
        (5, "done"),
    ]
    assert (events[2].message, events[2].done, events[2].total, events[2].data) == ("drawing", 1, 20, {"eta_s": 2.5})
    assert [e.data for e in events[::4]] == [{"position": 0, "attempts": 0}, {"result": RESULT}]
    assert queue.events(job.id, 3) == events[3:]
    assert queue.latest([job.id, "none"]) == {job.id: 5}


def test_the_newest_come_first_in_a_list(queue: JobQueue) -> None:
    jobs = [draw(queue), draw(queue, "ann"), draw(queue)]
    assert [job.id for job in queue.list()] == [job.id for job in reversed(jobs)]
    assert queue.list("ann") == [jobs[1]]
    queue.lease("w", 1)
    assert [job.id for job in queue.list(states=["running"])] == [jobs[0].id]
    assert [job.id for job in queue.list("local", ["queued", "running"], limit=1)] == [jobs[2].id]
    assert queue.list("nobody") == []


def test_positions_count_who_is_before(queue: JobQueue) -> None:
    first, second, third = draw(queue), draw(queue), draw(queue)
    assert [queue.position(job.id) for job in (first, second, third)] == [0, 1, 2]
    assert queue.events(third.id)[0].data["position"] == 2
    queue.lease("w", 1)
    queue.cancel(second.id)
    assert [queue.position(job.id) for job in (first, second, third)] == [0, 0, 0]


@pytest.mark.parametrize("job_id", ["", "0" * 32, "\0", "..", "é", "x" * 100_000])
def test_an_unknown_job_is_not_found(queue: JobQueue, job_id: str) -> None:
    for use in (queue.get, queue.position, queue.cancel):
        with pytest.raises(NotFound, match="there is no job"):
            use(job_id)
    with pytest.raises(Lost):
        queue.finish(job_id.replace("\0", ""), "w", {})


def test_another_users_job_is_not_found(queue: JobQueue) -> None:
    job = draw(queue, "ann")
    for use in (queue.get, queue.cancel):
        with pytest.raises(NotFound, match="there is no job"):
            use(job.id, "bob")
    assert queue.get(job.id, "ann").state == "queued"


UNFIT: list[tuple[str, str, dict[str, Any], str]] = [
    ("local", "paint", {}, "no kind of job 'paint'"),
    ("local", "draw", {"seed": float("nan")}, "no JSON"),
    ("local", "draw", {"prompt": "\ud800"}, "no JSON"),
    ("local", "draw", {"prompt": {1, 2}}, "no JSON"),
    ("local", "draw", {"prompt": "x" * 100_000}, "bytes long"),
    ("local", "say", {"session": "a\0"}, "is no name"),
    ("local", "say", {"session": "x" * 1000}, "is no name"),
    ("a\nb", "draw", {}, "is no name"),
    ("local", "edit", {"picture": "a" * 64}, "no picture aaaa"),
    ("local", "say", {"session": "fox", "open": "b" * 64}, "no picture bbbb"),
    ("local", "edit", {"mask": "c" * 64}, "no picture cccc"),
]


@pytest.mark.parametrize(("user", "kind", "params", "told"), UNFIT)
def test_what_no_job_can_be_is_refused(queue: JobQueue, user: str, kind: Kind, params: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        queue.submit(user, kind, params)
    assert queue.list() == []


@pytest.mark.parametrize("text", ["\0", "'; --", "«»", "\U0001f98a", '"picture":"' + "a" * 64, "\\", ""])
def test_any_text_comes_back(queue: JobQueue, text: str) -> None:
    job = queue.submit("local", "draw", {"prompt": text, text: text})
    queue.lease("w", 1)
    queue.append(job.id, "w", [Event("warning", text, data={text: text})])
    queue.fail(job.id, "w", text, text)
    assert queue.get(job.id).params == {"prompt": text, text: text}
    assert queue.get(job.id).error == {"message": text, "hint": text}
    event = queue.events(job.id)[2]
    assert (event.message, event.data) == (text, {text: text})


def test_a_full_queue_says_when_to_come_again(sqlite: JobQueue) -> None:
    first, _ = draw(sqlite), draw(sqlite)
    with pytest.raises(Full, match="the queue is full: 2 jobs wait") as caught:
        draw(sqlite)
    assert caught.value.retry_after == 10  # Nothing is known of how long a job takes.
    sqlite.lease("w", 1)
    draw(sqlite)  # Who runs does not wait.
    sqlite.finish(first.id, "w", {})
    with pytest.raises(Full) as caught:
        draw(sqlite)
    assert caught.value.retry_after == 1
    age(sqlite, 60 / 86400)
    with pytest.raises(Full, match="in 6[01] seconds"):
        draw(sqlite)
    assert len(sqlite.list()) == 3


def test_users_take_turns(queue: JobQueue) -> None:
    first, second, other = draw(queue, "ann"), draw(queue, "ann"), draw(queue, "bob")
    assert [leased(queue) for _ in range(4)] == [[first.id], [other.id], [second.id], []]


def test_several_are_leased_only_with_one_shape(queue: JobQueue) -> None:
    small, large, plain = (draw(queue, shape=shape) for shape in ("128", "512", ""))
    again, late = draw(queue, shape="128"), draw(queue, shape="128")
    assert leased(queue, most=2) == [small.id, again.id]
    assert leased(queue, most=0) == []
    # Beside what runs, nobody is overtaken.
    running = queue.get(small.id)
    assert queue.lease("w", 8, wait_for=running) == []
    assert leased(queue, "v", 8) == [large.id]
    assert leased(queue, "v", 8) == [plain.id]
    assert queue.lease("v", 8, wait_for=queue.get(plain.id)) == []
    assert [job.id for job in queue.lease("w", 8, wait_for=running)] == [late.id]


def test_jobs_of_one_session_run_one_after_the_other(queue: JobQueue) -> None:
    first, second, other = say(queue, "fox"), say(queue, "fox"), say(queue, "owl")
    assert [leased(queue) for _ in range(3)] == [[first.id], [other.id], []]
    queue.fail(first.id, "w", "no", again=True)
    assert leased(queue) == [first.id]  # It was before the other one, and still is.
    queue.finish(first.id, "w", {})
    assert leased(queue) == [second.id]


def test_cancelling_is_per_job(queue: JobQueue) -> None:
    waiting, running, mate, ended = (draw(queue, shape="s") for _ in range(4))
    queue.cancel(waiting.id)
    assert leased(queue, most=3) == [running.id, mate.id, ended.id]
    queue.finish(ended.id, "w", RESULT)
    assert queue.cancel(running.id).cancel
    assert queue.get(running.id).state == "running"
    assert queue.renew("w", [running.id, mate.id]) == {running.id}
    queue.cancelled(running.id, "w")
    assert queue.cancel(ended.id) == queue.get(ended.id)
    states = {job.id: job.state for job in queue.list()}
    assert states == {waiting.id: "cancelled", running.id: "cancelled", mate.id: "running", ended.id: "done"}
    assert kinds(queue, waiting) == ["queued", "cancelled"]
    assert kinds(queue, mate) == ["queued", "started"]


def test_cancelling_needs_no_worker_that_is_alive(queue: JobQueue) -> None:
    left, asked, last = draw(queue), draw(queue, "ann"), draw(queue, "bob")
    for worker in ("dead", "slow", "slow"):
        queue.lease(worker, 1)
    expire(queue, "dead")
    assert queue.cancel(left.id).state == "cancelled"
    queue.cancel(asked.id)
    queue.finish(last.id, "slow", RESULT)
    expire(queue, "slow")
    queue.lease("w", 1)
    assert [queue.get(job.id).state for job in (left, asked, last)] == ["cancelled", "cancelled", "done"]


def test_a_dead_workers_job_is_taken_over_and_then_fails(queue: JobQueue) -> None:
    job = draw(queue)
    for attempt, worker in enumerate(("first", "second"), 1):
        (begun,) = queue.lease(worker, 1)
        assert (begun.id, begun.attempts) == (job.id, attempt)
        assert leased(queue, "third") == []
        expire(queue, worker)
    queue.lease("third", 1)
    failed = queue.get(job.id)
    assert failed.error == {"message": "the worker died 2 times", "hint": "ask for less"}
    assert kinds(queue, job) == ["queued", "started", "queued", "started", "failed"]
    assert queue.events(job.id)[2].message == "its worker died"
    assert queue.events(job.id)[-1].message == "the worker died 2 times"


def test_a_worker_that_lost_its_lease_changes_nothing(queue: JobQueue) -> None:
    job = draw(queue)
    queue.lease("old", 1)
    expire(queue, "old")
    queue.append(job.id, "old", [Event("progress")])  # Late, but nobody else has it.
    assert leased(queue, "new") == [job.id]
    before = queue.get(job.id), queue.events(job.id)
    for speak in (
        lambda: queue.append(job.id, "old", [Event("progress")]),
        lambda: queue.finish(job.id, "old", {}),
        lambda: queue.fail(job.id, "old", "no", again=True),
        lambda: queue.cancelled(job.id, "old"),
    ):
        with pytest.raises(Lost, match="is not this worker's"):
            speak()
    assert queue.append_all("old", {job.id: [Event("progress")]}) == {job.id}
    assert queue.renew("old", [job.id]) == {job.id}
    assert (queue.get(job.id), queue.events(job.id)) == before
    queue.finish(job.id, "new", {})
    with pytest.raises(Lost):
        queue.finish(job.id, "new", {})


def test_a_worker_keeps_its_jobs_by_renewing(queue: JobQueue) -> None:
    job = draw(queue)
    queue.lease("w", 1)
    expire(queue, "w")
    assert queue.renew("w", [job.id]) == set()
    assert leased(queue, "v") == []
    expire(queue, "w")
    assert leased(queue, "w") == []  # Nobody takes a job over from oneself.
    queue.finish(job.id, "w", {})
    assert queue.renew("w", [job.id]) == {job.id}


def test_events_of_several_jobs_are_added_at_once(queue: JobQueue) -> None:
    first, second = draw(queue, shape="s"), draw(queue, shape="s")
    queue.lease("w", 2)
    events = {first.id: [Event("step", done=1)], second.id: [Event("step"), Event("turn")], "0" * 32: [Event("step")]}
    assert queue.append_all("w", events) == {"0" * 32}
    assert [kinds(queue, job, 2) for job in (first, second)] == [["step"], ["step", "turn"]]
    for wrong in (Event("done"), Event("step", data={"loss": float("inf")}), Event("step", data={"at": {1}})):
        with pytest.raises((ValueError, TypeError)):
            queue.append(first.id, "w", [Event("turn"), wrong])
    assert kinds(queue, first, 2) == ["step"]


def test_failing_again_is_bounded_and_not_for_what_was_cancelled(queue: JobQueue) -> None:
    job = draw(queue)
    queue.lease("w", 1)
    queue.fail(job.id, "w", "out of memory", "smaller", again=True)
    assert queue.get(job.id).state == "queued"
    assert queue.events(job.id)[-1].message == "it is tried again: out of memory"
    queue.lease("w", 1)
    queue.fail(job.id, "w", "out of memory", "smaller", again=True)
    assert queue.get(job.id).error == {"message": "out of memory", "hint": "smaller"}
    other = draw(queue)
    queue.lease("w", 1)
    queue.cancel(other.id)
    queue.fail(other.id, "w", "no", again=True)
    assert queue.get(other.id).state == "failed"


def test_a_job_that_killed_a_worker_runs_alone(queue: JobQueue) -> None:
    poison, mate = draw(queue, shape="s"), draw(queue, shape="s")
    assert leased(queue, "w", 8) == [poison.id, mate.id]
    assert queue.recover("w") == 2
    later = draw(queue, shape="s")
    assert leased(queue, "v", 8) == [poison.id]
    assert queue.lease("v", 8, wait_for=queue.get(poison.id)) == []
    assert leased(queue, "v", 8) == [mate.id]
    assert leased(queue, "v", 8) == [later.id]


def test_what_is_given_back_was_not_begun(queue: JobQueue) -> None:
    job, cancelled = draw(queue, shape="s"), draw(queue, shape="s")
    queue.lease("w", 2)
    queue.cancel(cancelled.id)
    assert queue.give_back("w") == 2
    assert queue.get(cancelled.id).state == "cancelled"
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("queued", 0)
    assert queue.give_back("w") == 0


def test_a_server_takes_back_what_its_own_workers_had(queue: JobQueue) -> None:
    mine, cancelled, theirs, twice = draw(queue), draw(queue, "b"), draw(queue, "c"), draw(queue, "d")
    for worker in ("here%/1", "here%/2", "Here%/3", "here%/4"):
        queue.lease(worker, 1)
    queue.cancel(cancelled.id)
    queue.fail(twice.id, "here%/4", "no", again=True)
    queue.lease("here%/5", 1)
    assert queue.recover("here%/") == 3
    states = [queue.get(job.id).state for job in (mine, cancelled, theirs, twice)]
    assert states == ["queued", "cancelled", "running", "failed"]
    assert queue.get(mine.id).attempts == 1
    assert queue.recover("here%/") == 0


def test_passing_events_do_not_pile_up(queue: JobQueue) -> None:
    job = draw(queue)
    queue.lease("w", 1)
    queue.append(job.id, "w", [Event("warning", "kept")])
    for start in range(0, 600, 60):
        queue.append(job.id, "w", [Event("progress", done=start + step, total=600) for step in range(60)])
        assert len(queue.events(job.id)) < 400
    queue.finish(job.id, "w", {})
    events = queue.events(job.id)
    assert [e.kind for e in events[:3]] == ["queued", "started", "warning"]
    assert [e.done for e in events[3:-1]] == list(range(400, 600))
    assert events[-1].kind == "done"


def test_pictures_that_jobs_name_are_kept_as_long_as_the_jobs(queue: JobQueue) -> None:
    blobs, store = queue.store.blobs, queue.store
    given, seen, made, loose = (blobs.put(words) for words in (b"given", b"seen", b"made", b"loose"))
    job = queue.submit("local", "edit", {"picture": given, "instruction": "make it night"})
    queue.lease("w", 1)
    queue.append(job.id, "w", [Event("preview", data={"picture": seen})])
    with pytest.raises(LimnerError, match=f"{'d' * 64} of the result is not in the store"):
        queue.finish(job.id, "w", {"pictures": [{"picture": made}, {"picture": "d" * 64}]})
    assert queue.get(job.id).state == "running"
    queue.finish(job.id, "w", {"pictures": [{"picture": made}]})
    store.tidy([given, seen, made, loose])
    assert set(blobs) == {given, seen, made}
    assert queue.sweep(1) == 0
    age(queue, 2)
    waiting = draw(queue)
    assert queue.sweep(1) == 1
    assert [job.id for job in queue.list()] == [waiting.id]
    assert queue.events(job.id) == []
    store.tidy([given, seen, made])
    assert set(blobs) == set()


def test_changes_are_told(sqlite: JobQueue) -> None:
    calls: list[int] = []
    sqlite.on_change.append(lambda: calls.append(len(sqlite.list())))
    draw(sqlite)
    assert calls == [1]  # And only when it is safe.
    sqlite.lease("w", 1)
    sqlite.lease("w", 1)
    assert calls == [1, 1]


def test_threads_share_a_queue(sqlite: JobQueue) -> None:
    sqlite.bound = 100
    taken: list[str] = []

    def work(name: str) -> None:
        for _ in range(5):
            draw(sqlite, name)
            for job in sqlite.lease(name, 1):
                sqlite.finish(job.id, name, {})
                taken.append(job.id)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken)
    assert sorted(taken) == sorted(job.id for job in sqlite.list(states=["done"]))


def test_a_full_disk_is_told_and_loses_nothing(sqlite: JobQueue) -> None:
    job = draw(sqlite)
    sqlite.lease("w", 1)
    before = sqlite.get(job.id), sqlite.events(job.id)
    with pytest.raises(LimnerError, match="its disk is full or fails"), small_disk(100_000):
        sqlite.append(job.id, "w", [Event("warning", "x" * 200_000)])
    assert (sqlite.get(job.id), sqlite.events(job.id)) == before
    assert sqlite.store.check() == []
    sqlite.finish(job.id, "w", {})
