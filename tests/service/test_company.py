"""Jobs that draw together: the same pictures as alone, whoever joins, leaves or fails on the way."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from limner.backends.diffusion import DiffusionModel, load_text_to_image
from limner.backends.hardware import Plan
from limner.protocols import DrawRequest, TextToImage
from limner.service.company import Company, Seat
from limner.service.ticket import Cancelled, Ticket
from limner.types import BadInput, Picture
from tests.painter import paint
from tests.service.easels import Asked, StepPainter, ask, until


def seats(painter: StepPainter | DiffusionModel, number: int, window_s: float = 0.5) -> list[Seat]:
    company = Company(lambda: painter, window_s=window_s)
    return [taken(company, Ticket()) for _ in range(number)]


def taken(company: Company, ticket: Ticket) -> Seat:
    company.join()
    return company.seat(ticket)


def drawing(seat: Seat, *requests: DrawRequest) -> Asked:
    return Asked(lambda: seat.draw(requests))


def hashes(pictures: list[Picture]) -> list[str]:
    return [picture.sha256 for picture in pictures]


def alone(*requests: DrawRequest) -> list[str]:
    return [paint(request.prompt, request.seed).sha256 for request in requests]


def test_it_is_a_text_to_image_as_its_painter() -> None:
    [seat] = seats(StepPainter(), 1)
    role: TextToImage = seat
    assert (role.name, role.model_hash, role.sampler, role.max_batch) == ("painter", "0123", "brush", 8)
    assert role.unknown_words("a zyzzyva") == ["zyzzyva"]
    assert role.concepts("a fox") == []
    assert role.draw([]) == []


def test_what_is_asked_for_at_the_same_time_is_drawn_at_once() -> None:
    painter = StepPainter()
    asked = [drawing(seat, ask(number), ask(number + 10)) for number, seat in enumerate(seats(painter, 3))]
    for number, each in enumerate(asked):
        assert hashes(each.wait()) == alone(ask(number), ask(number + 10))
    assert [sorted(call) for call in painter.calls] == [[0, 1, 2, 10, 11, 12]]


def test_no_batch_is_larger_than_the_painter_takes() -> None:
    painter = StepPainter(max_batch=4)  # which asserts it
    asked = [
        drawing(seat, *[ask(10 * number + each) for each in range(3)]) for number, seat in enumerate(seats(painter, 3))
    ]
    for each in asked:
        each.wait()
    assert [len(call) for call in painter.calls] == [3, 3, 3]


def test_what_looks_different_is_not_drawn_together() -> None:
    painter = StepPainter()
    first, second = seats(painter, 2)
    asked = [drawing(first, ask(1)), drawing(second, ask(2, steps=9))]
    for each in asked:
        each.wait()
    assert sorted(painter.calls) == [[1], [2]]


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl"])
def test_pictures_have_the_same_bits_alone_and_in_company(checkpoints: Path, kind: str) -> None:
    model = load_text_to_image(str(checkpoints / kind), plan=Plan("cpu", 1, "bfloat16", ""))
    requests = [ask(seed, prompt="a red fox", steps=3, side=16) for seed in range(4)]
    expected = [model.draw([request])[0].sha256 for request in requests]
    asked = [drawing(seat, request) for seat, request in zip(seats(model, 4), requests, strict=True)]
    assert [hashes(each.wait())[0] for each in asked] == expected


def test_one_that_is_called_off_leaves_at_once_and_its_mates_go_on() -> None:
    painter = StepPainter(gate=True)
    first, second, third = seats(painter, 3)
    asked = [drawing(first, ask(1)), drawing(second, ask(2)), drawing(third, ask(3))]
    assert painter.begun.acquire(timeout=10)
    painter.let(1)
    until(lambda: painter.steps == [1])
    second.ticket.cancel()
    with pytest.raises(Cancelled):
        asked[1].wait()  # while the painter stands still
    painter.let(3)
    assert hashes(asked[0].wait()) == alone(ask(1))
    assert hashes(asked[2].wait()) == alone(ask(3))
    assert painter.steps == [4]


def test_when_all_have_left_the_drawing_ends_within_a_step() -> None:
    painter = StepPainter(gate=True)
    first, second, third = seats(painter, 3, window_s=0.1)
    asked = [drawing(first, ask(1)), drawing(second, ask(2))]
    assert painter.begun.acquire(timeout=10)
    painter.let(1)
    until(lambda: painter.steps == [1])
    first.ticket.cancel()
    second.ticket.cancel()
    for each in asked:
        with pytest.raises(Cancelled):
            each.wait()
    painter.let(1)  # the one in which it finds out
    last = drawing(third, ask(3))
    assert painter.begun.acquire(timeout=10)
    painter.let(4)
    assert hashes(last.wait()) == alone(ask(3))
    assert painter.steps == [2, 4]


def test_one_that_was_called_off_before_its_turn_is_not_drawn() -> None:
    painter = StepPainter(gate=True)
    first, second = seats(painter, 2, window_s=0)
    asked = drawing(first, ask(1))
    assert painter.begun.acquire(timeout=10)
    waiting = drawing(second, ask(2))
    until(lambda: len(second.company._calls) == 1)  # pyright: ignore[reportPrivateUsage]
    second.ticket.cancel()
    with pytest.raises(Cancelled):
        waiting.wait()
    painter.let(4)
    asked.wait()
    with pytest.raises(Cancelled):
        second.draw([ask(3)])
    assert painter.calls == [[1]]


def test_a_late_one_comes_with_the_next_batch() -> None:
    painter = StepPainter(gate=True)
    first, second, third = seats(painter, 3, window_s=0)
    early = drawing(first, ask(1))
    assert painter.begun.acquire(timeout=10)
    late = [drawing(second, ask(2)), drawing(third, ask(3))]
    until(lambda: len(first.company._calls) == 2)  # pyright: ignore[reportPrivateUsage]
    painter.let(8)
    assert hashes(early.wait()) == alone(ask(1))
    assert [hashes(each.wait()) for each in late] == [alone(ask(2)), alone(ask(3))]
    assert [sorted(call) for call in painter.calls] == [[1], [2, 3]]


def test_the_failure_of_one_is_not_that_of_its_mates() -> None:
    painter = StepPainter(bad=[2])
    asked = [drawing(seat, ask(number)) for number, seat in enumerate(seats(painter, 4))]
    with pytest.raises(BadInput, match="seed 2"):
        asked[2].wait()
    for number in (0, 1, 3):
        assert hashes(asked[number].wait()) == alone(ask(number))


def test_the_painter_outlives_every_failure() -> None:
    painter = StepPainter(bad=[1])
    [seat] = seats(painter, 1)
    for _ in range(3):
        with pytest.raises(BadInput):
            seat.draw([ask(1)])
    assert hashes(seat.draw([ask(2)])) == alone(ask(2))


def test_nobody_waits_for_those_who_have_left() -> None:
    painter = StepPainter()
    first, second = seats(painter, 2, window_s=5)
    second.company.leave()
    started = time.monotonic()
    first.draw([ask(1)])
    assert time.monotonic() - started < 2


def test_others_are_waited_for_only_for_a_moment() -> None:
    painter = StepPainter()
    first, _ = seats(painter, 2, window_s=0.1)
    started = time.monotonic()
    first.draw([ask(1)])
    assert 0.1 <= time.monotonic() - started < 2


def test_company_costs_a_lone_job_next_to_nothing() -> None:
    painter = StepPainter()
    [seat] = seats(painter, 1)
    seconds = [_seconds(seat) - _seconds(painter) for _ in range(20)]
    assert statistics.median(seconds) < 0.02


def _seconds(painter: TextToImage) -> float:
    started = time.perf_counter()
    painter.draw([ask(1)])
    return time.perf_counter() - started


def test_each_hears_of_its_own_steps_and_sees_its_own_first_picture() -> None:
    painter, steps, shown = StepPainter(), dict[int, list[tuple[int, int]]](), dict[int, list[Picture]]()
    company = Company(lambda: painter, window_s=0.5)
    asked: list[Asked] = []
    for number, previews in enumerate([0, 2]):
        steps[number], shown[number] = [], []
        ticket = Ticket(lambda d, t, heard=steps[number]: heard.append((d, t)), shown[number].append, previews)
        asked.append(drawing(taken(company, ticket), ask(number), ask(number + 10)))
    for each in asked:
        each.wait()
    assert steps[0] == steps[1] == [(0, 8), (2, 8), (4, 8), (6, 8), (8, 8)]
    assert [hashes(shown[number]) for number in (0, 1)] == [[], 2 * alone(ask(1))]


@pytest.fixture
def held() -> Iterator[threading.Lock]:
    lock = threading.Lock()
    with lock:
        yield lock


def test_who_waits_for_a_model_can_be_called_off(held: threading.Lock) -> None:
    ticket = Ticket()

    def hold() -> None:
        with ticket.holding(held):
            raise AssertionError("nobody gave it back")

    waiting = Asked(hold)
    time.sleep(0.05)
    ticket.cancel()
    with pytest.raises(Cancelled):
        waiting.wait()


def test_many_who_come_and_go_are_all_answered() -> None:
    """Nobody waits for ever, and nobody gets another one's picture."""
    painter = StepPainter(bad=[7, 77])
    company = Company(lambda: painter, window_s=0.001)

    def live(number: int) -> list[int]:
        wrong: list[int] = []
        for turn in range(10):
            ticket = Ticket()
            seat, seed = taken(company, ticket), 10 * number + turn
            if seed % 3 == 0:
                threading.Timer(0.001 * (seed % 5), ticket.cancel).start()
            try:
                wrong += [seed] if hashes(seat.draw([ask(seed)])) != alone(ask(seed)) else []
            except (Cancelled, BadInput):
                wrong += [] if seed % 3 == 0 or seed in (7, 77) else [seed]
            company.leave()
        return wrong

    asked = [Asked(lambda number=number: live(number)) for number in range(8)]
    assert [each.wait() for each in asked] == [[]] * 8
