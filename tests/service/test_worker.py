"""A worker in this process, in the painter's world: what jobs tell, how they end, and what is left when it stops."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from limner.image import decode_picture
from limner.protocols import DrawRequest
from limner.service import steps
from limner.service.desk import Shop
from limner.service.queue import JobQueue
from limner.service.values import Job
from limner.service.watch import Bell
from limner.service.worker import Worker
from limner.store.jobs import reading
from limner.types import BadInput, LimnerError, Picture
from tests.painter import paint
from tests.service.easels import StepPainter, until
from tests.service.workplace import SlowPainter, ended, shop_in

PROMPT = "a red circle and a blue square"


class Workplace:
    """A queue and workers around one painter."""

    def __init__(self, folder: Path, painter: StepPainter, **changes: Any) -> None:
        self.shop = shop_in(folder, painter)
        self.queue = JobQueue(self.shop.conversations.store, **changes)
        self.workers: list[tuple[Worker, threading.Thread]] = []

    def hire(self, name: str = "w1", shop: Shop | None = None, at_once: int = 8) -> Worker:
        bell, shop = Bell(), shop or self.shop
        queue = JobQueue(shop.conversations.store, lease_s=self.queue.lease_s, tries=self.queue.tries)
        worker = Worker(name, queue, shop, bell, at_once)
        thread = threading.Thread(target=worker.work, daemon=True)
        thread.start()
        self.workers.append((worker, thread))
        self.queue.on_change.append(bell.ring)
        return worker

    def stop(self) -> None:
        for worker, _ in self.workers:
            worker.stop.set()
            worker.bell.ring()
        for _, thread in self.workers:
            thread.join(10)
            assert not thread.is_alive()

    def submit(self, seed: int = 1, user: str = "local", **params: Any) -> Job:
        return self.queue.submit(user, "draw", {"prompt": PROMPT, "seed": seed, **params}, "48x48")

    def kinds(self, job: Job) -> list[str]:
        return [event.kind for event in self.queue.events(job.id)]


@contextmanager
def workplace(folder: Path, painter: StepPainter, **changes: Any) -> Generator[Workplace]:
    place = Workplace(folder, painter, **changes)
    try:
        yield place
    finally:
        if painter.gate:
            painter.let(10_000)
        place.stop()


def test_jobs_are_done_and_tell_what_happens(tmp_path: Path) -> None:
    with workplace(tmp_path, SlowPainter(0.2)) as place:
        place.hire()
        [job] = ended(place.queue, place.submit())
        assert job.state == "done", job.error
        assert job.result
        assert place.queue.store.blobs.has(job.result["pictures"][0]["picture"])
        events = place.queue.events(job.id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        kinds = place.kinds(job)
        assert (kinds[:2], kinds[-1]) == (["queued", "started"], "done")
        assert {"load", "keywords", "progress", "preview", "draw"} <= set(kinds)
        steps = [(event.done, event.total) for event in events if event.kind == "progress"]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1] == 4 * job.result["drawn"]
        shown = [event.data["picture"] for event in events if event.kind == "preview"]
        assert all(place.queue.store.blobs.has(sha256) for sha256 in shown)


def test_jobs_of_one_shape_are_drawn_together_as_each_would_be_alone(tmp_path: Path) -> None:
    painter = StepPainter()
    with workplace(tmp_path, painter) as place:
        jobs = [place.submit(seed, count=1, rounds=1) for seed in range(1, 9)]
        place.hire()
        for seed, job in enumerate(ended(place.queue, *jobs), 1):
            assert job.result
            assert job.result["pictures"][0]["seed"] == seed
        assert max(len(call) for call in painter.calls) > 1


def test_no_previews_are_made_where_none_are_wanted(tmp_path: Path) -> None:
    with workplace(tmp_path, SlowPainter(0.05)) as place:
        place.hire()
        [job] = ended(place.queue, place.submit(partial_images=0))
        assert "preview" not in place.kinds(job)


def test_a_job_that_is_called_off_leaves_its_mates_alone(tmp_path: Path) -> None:
    painter = StepPainter(gate=True)
    with workplace(tmp_path, painter) as place:
        place.shop.stock(place.shop.settings).company.window_s = 5
        jobs = [place.submit(seed, count=1, rounds=1) for seed in (1, 2)]
        place.hire()
        until(lambda: [sorted(call) for call in painter.calls] == [[1, 2]])
        started = time.monotonic()
        place.queue.cancel(jobs[0].id)
        [off] = ended(place.queue, jobs[0])
        assert time.monotonic() - started < 1.0  # the painter stands still meanwhile
        assert (off.state, off.result) == ("cancelled", None)
        painter.let(8)
        [mate] = ended(place.queue, jobs[1])
        assert mate.state == "done"
        assert place.kinds(off)[-1] == "cancelled"


def test_when_the_last_one_is_called_off_the_painter_stops(tmp_path: Path) -> None:
    painter = StepPainter(gate=True)
    with workplace(tmp_path, painter) as place:
        job = place.submit(steps=500)
        place.hire()
        assert painter.begun.acquire(timeout=10)
        painter.let(3)
        until(lambda: painter.steps == [3])
        place.queue.cancel(job.id)
        ended(place.queue, job)
        painter.let(100)
        time.sleep(0.2)
        assert painter.steps == [4]


def test_what_the_user_did_wrong_is_told_in_words_and_not_tried_again(tmp_path: Path) -> None:
    painter = StepPainter(bad=[5])
    with workplace(tmp_path, painter) as place:
        place.hire()
        bad, good = ended(place.queue, place.submit(5), place.submit(1))
        assert (bad.state, bad.attempts, good.state) == ("failed", 1, "done")
        assert bad.error == {"message": "seed 5", "hint": ""}


class _Broken(StepPainter):
    def draw(self, requests: Sequence[DrawRequest], **given: Any) -> list[Picture]:
        raise ZeroDivisionError("/secret/path")


def test_a_fault_of_ours_is_tried_again_and_never_shown_from_inside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with workplace(tmp_path, _Broken()) as place:
        place.hire()
        [job] = ended(place.queue, place.submit())
        assert (job.state, job.attempts) == ("failed", 2)
        assert job.error
        assert "ZeroDivisionError" in job.error["message"]
        assert "secret" not in json.dumps([dict(event.data) for event in place.queue.events(job.id)])
        assert "ZeroDivisionError: /secret/path" in caplog.text


def test_one_line_is_logged_for_each_state_without_what_was_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "limner.service")
    with workplace(tmp_path, StepPainter()) as place:
        place.hire()
        [job] = ended(place.queue, place.submit())
        until(lambda: len(caplog.messages) == 2)
        lines = [json.loads(line) for line in caplog.messages]
        assert [(line["job"], line["state"]) for line in lines] == [(job.id, "running"), (job.id, "done")]
        assert "circle" not in caplog.text


def test_a_worker_that_stops_gives_back_what_it_has_as_if_it_had_not_begun(tmp_path: Path) -> None:
    painter = StepPainter(gate=True)
    with workplace(tmp_path, painter) as place:
        job = place.submit(count=1, rounds=1)
        worker = place.hire()
        assert painter.begun.acquire(timeout=10)
        started = time.monotonic()
        worker.stop.set()
        worker.bell.ring()
        until(lambda: place.queue.get(job.id).state == "queued")
        assert time.monotonic() - started < 2
        assert place.queue.get(job.id).attempts == 0
        place.hire("w2", shop_in(tmp_path, StepPainter()))
        assert ended(place.queue, job)[0].state == "done"


def test_a_job_that_another_worker_took_over_is_left(tmp_path: Path) -> None:
    painter = StepPainter(gate=True)
    with workplace(tmp_path, painter, lease_s=4.0) as place:
        job = place.submit(count=1, rounds=1)
        place.hire()
        assert painter.begun.acquire(timeout=10)
        place.queue.recover("w1")
        place.hire("w2", shop_in(tmp_path, StepPainter()))
        [done] = ended(place.queue, job)
        assert (done.state, done.attempts) == ("done", 2)
        painter.let(10)
        time.sleep(0.3)
        assert place.kinds(done).count("done") == 1


def test_leases_are_renewed_as_long_as_it_takes(tmp_path: Path) -> None:
    painter = StepPainter(gate=True)
    with workplace(tmp_path, painter, lease_s=3.0) as place:
        job = place.submit(count=1, rounds=1)
        place.hire()
        assert painter.begun.acquire(timeout=10)
        first = lease_of(place.queue, job)
        # Asked when the lease is new, not at a set time: on a busy machine a worker may come late to renew it.
        until(lambda: lease_of(place.queue, job) > first + 3.0)
        assert place.queue.lease("w2", 1) == []
        painter.let(4)
        assert ended(place.queue, job)[0].attempts == 1


def lease_of(queue: JobQueue, job: Job) -> float:
    """When a running job's lease runs out, by the database's clock."""
    with reading(queue.store.database) as jobs:
        return steps.known(jobs, job.id)["lease"]


def test_a_database_that_fails_for_a_moment_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with workplace(tmp_path, SlowPainter(0.05)) as place:
        worker = place.hire()
        failures = iter(range(3))
        write, finish = worker.queue.append_all, worker.queue.finish

        def fail_first(of: Any) -> Any:
            def call(*given: Any) -> Any:
                if next(failures, None) is not None:
                    raise LimnerError("the database is locked by another process")
                return of(*given)

            return call

        monkeypatch.setattr(worker.queue, "append_all", fail_first(write))
        monkeypatch.setattr(worker.queue, "finish", fail_first(finish))
        [job] = ended(place.queue, place.submit())
        assert job.state == "done"
        assert {"load", "keywords"} <= set(place.kinds(job))


def test_sentences_of_one_session_are_heard_one_after_the_other(tmp_path: Path) -> None:
    with workplace(tmp_path, SlowPainter(0.02)) as place:
        place.shop.conversations.open("talk")
        said = ["a red circle and a blue square", "make the circle green", "make the square red"]
        jobs = [place.queue.submit("local", "say", {"session": "talk", "text": text}) for text in said]
        place.hire()
        place.hire("w2", shop_in(tmp_path, SlowPainter(0.02)))
        done = ended(place.queue, *jobs)
        assert [job.state for job in done] == ["done"] * 3
        tips = [job.result["tip"] for job in done if job.result]
        assert [turn.id for turn in place.shop.conversations.existing("talk").path if turn.picture] == tips


def test_previews_and_pictures_are_what_the_painter_paints(tmp_path: Path) -> None:
    with workplace(tmp_path, StepPainter()) as place:
        place.hire()
        [job] = ended(place.queue, place.submit(3, count=1, rounds=1))
        assert job.result
        [told] = job.result["pictures"]
        drawn = decode_picture(place.queue.store.blobs.get(told["picture"]), "it")
        assert drawn.sha256 == paint(told["prompt"], told["seed"]).sha256


def test_a_look_at_nothing_is_refused_as_bad_input(tmp_path: Path) -> None:
    with workplace(tmp_path, StepPainter()) as place:
        with pytest.raises(BadInput):
            place.queue.submit("local", "look", {"picture": "0" * 64})
        place.hire()
        job = place.queue.submit("local", "say", {"session": "nobody", "text": "hello"})
        [failed] = ended(place.queue, job)
        assert failed.error
        assert "nobody" in failed.error["message"]


def test_a_worker_that_has_begun_knows_its_words(tmp_path: Path) -> None:
    """What the first prompt needs is loaded by then: seconds that nobody has to wait for."""
    code = f"""
import sys
from pathlib import Path
from limner import rules, writer
from limner.backends.language import RulesModel
from limner.config import Settings
from limner.service.watch import Bell
from limner.service.worker import Terms, begin

begin(Settings(data=Path({str(tmp_path)!r})), "host:1/w", Terms(), Bell())
known = set(sys.modules)
writer.extract_keywords("seven green apples and a boat in the snow", RulesModel())
rules.singular("two boats")
print(sorted(set(sys.modules) - known))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
