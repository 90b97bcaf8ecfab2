"""A queue that several users share: none of them can take all of it, however much is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.service.queue import JobQueue
from limner.service.values import Full
from tests.service.queues import draw
from tests.service.workplace import queue_in
from tests.web.serving import bearer, client_of, service_in, with_tokens

DRAW = {"kind": "draw", "prompt": "a red fox"}


def filled(queue: JobQueue, user: str) -> int:
    """How many jobs of a user are taken until one is not."""
    taken = 0
    try:
        while taken < 1000:
            draw(queue, user)
            taken += 1
    except Full:
        pass
    return taken


def test_whoever_comes_next_finds_room(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, bound=64, shared=True)
    # Each takes what is left free at most as often as it is: half, then half of the rest, ...
    assert [filled(queue, user) for user in ("ann", "bob", "cid", "dan")] == [32, 16, 8, 4]
    with pytest.raises(Full, match="16 of your jobs wait, and the 4 places that are left are for others") as told:
        draw(queue, "bob")
    assert told.value.retry_after >= 1


def test_who_has_had_a_job_begun_may_ask_again(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, bound=4, shared=True)
    assert filled(queue, "ann") == 2
    assert len(queue.lease("w", 1)) == 1
    assert filled(queue, "ann") == 1  # What runs does not wait.


def test_a_single_user_has_all_of_it(tmp_path: Path) -> None:
    assert filled(queue_in(tmp_path, bound=4), "local") == 4


@pytest.mark.parametrize(("bound", "taken"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [2, 1, 0])])
def test_the_last_place_of_a_short_queue_is_for_who_has_none(bound: int, taken: list[int], tmp_path: Path) -> None:
    queue = queue_in(tmp_path, bound=bound, shared=True)
    assert [filled(queue, user) for user in ("ann", "bob", "cid")] == taken
    with pytest.raises(Full, match="the queue is full"):
        draw(queue, "dan")


def test_over_http_one_is_told_when_to_come_again_while_the_other_is_served(tmp_path: Path) -> None:
    with client_of(service_in(tmp_path, shared=True, queue=8), with_tokens()) as client:
        answers = [client.post("/api/jobs", json=DRAW, headers=bearer("ann")) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202] * 4 + [429]
        assert answers[-1].json()["error"]["message"].startswith("4 of your jobs wait")
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert client.post("/api/jobs", json=DRAW, headers=bearer("bob")).status_code == 202
        openai = client.post("/v1/images/generations", json={"prompt": "a fox"}, headers=bearer("ann"))
        assert (openai.status_code, "retry-after" in openai.headers) == (429, True)
