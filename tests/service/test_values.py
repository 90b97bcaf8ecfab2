from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from limner.service.values import ENDS, STATES, Full, Job, JobEvent, Kind, NotFound, event_json, job_json, key
from limner.types import BadInput, LimnerError

ID = "0123456789abcdef" * 2


def made(kind: Kind, **params: Any) -> Job:
    return Job(ID, "local", kind, params, "queued", 1e9)


@pytest.mark.parametrize(
    ("job", "changes"),
    [
        (made("draw", prompt="a fox"), ""),
        (made("edit", picture="a" * 64, instruction="make it night"), ""),
        (made("look", picture="a" * 64), ""),
        (made("say", session="fox", text="a fox"), "session:fox"),
        (made("forget", session="fox", turn="b" * 64), "session:fox"),
        (made("learn", name="fox"), "concept:fox"),
        (made("learn", name="fox", session="den"), "session:den"),
        (made("synth", name="fox", classes=["fox"], count=1), "dataset:fox"),
    ],
)
def test_a_key_says_what_a_job_changes(job: Job, changes: str) -> None:
    assert key(job) == changes


def test_a_job_is_shown_with_its_links_and_without_its_user() -> None:
    shown = json.loads(json.dumps(job_json(made("draw", prompt="a fox"), 3)))
    assert shown["position"] == 3
    assert shown["params"] == {"prompt": "a fox"}
    assert shown["links"] == {
        "self": f"/api/jobs/{ID}",
        "events": f"/api/jobs/{ID}/events",
        "cancel": f"/api/jobs/{ID}/cancel",
    }
    assert "local" not in json.dumps(shown)


def test_an_event_is_shown_as_it_is() -> None:
    event = JobEvent(ID, 4, "progress", "drawing", 3, 20, {"eta_s": 1.5}, 1e9)
    assert JobEvent(**json.loads(json.dumps(event_json(event)))) == event
    assert not event.last


def test_ends_are_the_last_events_and_nothing_else() -> None:
    assert [JobEvent(ID, 1, state).last for state in STATES] == [state in ENDS for state in STATES]
    assert [Job(ID, "local", "draw", {}, state, 0.0).ended for state in STATES] == [False, False, True, True, True]


def test_values_are_frozen_and_errors_are_told() -> None:
    with pytest.raises(FrozenInstanceError):
        made("draw").state = "done"  # pyright: ignore[reportAttributeAccessIssue]
    assert issubclass(NotFound, BadInput)
    full = Full("the queue is full", "wait", 7)
    assert isinstance(full, LimnerError)
    assert (full.retry_after, str(full)) == (7, "the queue is full (wait)")
