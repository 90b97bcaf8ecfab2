"""The kinds of jobs that take long: a concept learned by a tiny model, a dataset made in the painter's world."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner import factory
from limner.config import Profile, Settings
from limner.dataset import check
from limner.image import decode_picture
from limner.service import kinds
from limner.service.desk import Desk, Shop
from limner.service.ticket import Cancelled, Ticket
from limner.service.values import Job, Kind
from limner.types import BadInput, Picture
from tests.service.workplace import desk_in, job, upload
from tests.test_factory import painters_maker

GIZMO = Picture(np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8))
LESSON = {"name": "gizmo", "like": "red fox", "steps": 2}


@pytest.fixture
def desk(tmp_path: Path, checkpoints: Path) -> Desk:
    model = str(checkpoints / "stable_diffusion")
    settings = Settings(data=tmp_path, cache=tmp_path / "cache", model=model, precision="float32", threads=1)
    return Desk(Shop(settings), Ticket())


def done(desk: Desk, asked: Job) -> Any:
    work = kinds.run(desk, asked)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def lesson(desk: Desk, **more: object) -> Job:
    return job("learn", picture=upload(desk, GIZMO), **LESSON, **more)


def test_a_concept_is_learned_and_shown_and_nothing_of_the_server_is_told(desk: Desk, tmp_path: Path) -> None:
    result = done(desk, lesson(desk, box=[2, 2, 18, 18]))
    assert (result["word"], result["steps"], result["like"]) == ("<gizmo>", 2, "red fox")
    assert desk.lessons.shelf.names() == ("gizmo",)
    shown = decode_picture(desk.blobs.get(result["previews"]["picture"]), "previews")
    assert shown.width > 24
    assert str(tmp_path) not in str(result)
    with pytest.raises(BadInput, match="known already"):
        done(desk, lesson(desk))
    assert done(desk, lesson(desk, again=True))["word"] == "<gizmo>"


def test_a_lesson_is_done_again_only_where_a_dead_worker_had_done_it(desk: Desk) -> None:
    done(desk, lesson(desk))
    again = replace(lesson(desk), attempts=2, created=time.time() - 60)
    assert done(desk, again)["word"] == "<gizmo>"
    os.utime(desk.lessons.shelf.path("gizmo"), (1, 1))
    with pytest.raises(BadInput, match="known already"):
        done(desk, again)


def test_a_lesson_shows_on_the_way_what_is_drawn_with_it(desk: Desk) -> None:
    work = kinds.run(desk, job("learn", picture=upload(desk, GIZMO), **{**LESSON, "steps": 20, "preview_every": 10}))
    [look] = [event for event in work if event.kind == "preview"]
    assert look.data["step"] == 10
    assert look.data["prompts"][0] == "a <gizmo>"
    shown = [decode_picture(desk.blobs.get(sha256), "a look") for sha256 in look.data["pictures"]]
    assert len(shown) == len(look.data["prompts"])


def test_a_lesson_that_is_called_off_while_it_shows_something_ends_there_and_keeps_what_it_has(desk: Desk) -> None:
    work = kinds.run(desk, job("learn", picture=upload(desk, GIZMO), **{**LESSON, "steps": 500, "preview_every": 10}))
    while next(work).kind != "learn":
        pass
    desk.ticket.cancel()
    with pytest.raises(Cancelled) as ended:
        next(work)
    assert "_look" in [entry.name for entry in ended.traceback]
    assert desk.lessons.shelf.names() == ("gizmo",)


def test_a_lesson_that_is_called_off_keeps_what_it_has_learned(desk: Desk) -> None:
    work = kinds.run(desk, job("learn", picture=upload(desk, GIZMO), **{**LESSON, "steps": 500}))
    for event in work:
        if event.done:
            break
    desk.ticket.cancel()
    with pytest.raises(Cancelled):
        next(work)
    assert desk.lessons.shelf.names() == ("gizmo",)


@pytest.mark.parametrize("kind", ["learn", "synth"])
@pytest.mark.parametrize("name", ["../x", "a/b", ""])
def test_no_path_is_a_name(tmp_path: Path, kind: Kind, name: str) -> None:
    desk = desk_in(tmp_path)
    with pytest.raises(BadInput, match="name"):
        done(desk, job(kind, name=name, picture=upload(desk, GIZMO), classes="red square", count=1))


def open_vocabulary(profile: Profile) -> dict[str, list[str]]:
    """The painter knows other words than the embedded model."""
    return {}


def test_a_dataset_is_made_in_the_place_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "maker", painters_maker)
    monkeypatch.setattr(factory, "vocabulary", open_vocabulary)
    desk = desk_in(tmp_path)
    asked = job(
        "synth", name="shapes", classes=["red square", "blue square"], count=2, formats=["coco", "yolo"], seed=1
    )
    result = done(desk, asked)
    assert (result["out"], result["accepted"], result["forms"]) == ("shapes", 2, ["coco", "yolo"])
    assert check(tmp_path / "datasets" / "shapes") == []
    assert str(tmp_path) not in str(result)
    assert done(desk, asked)["accepted"] == 2  # as after the death of a worker: it is told at once
