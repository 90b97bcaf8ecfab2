"""What each kind of job does, in the painter's world: results that keep to their form, pictures in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.blobs import Blobs
from limner.image import decode_picture, from_rle, read_recipe
from limner.service import kinds
from limner.service.desk import Desk
from limner.service.telling import told
from limner.service.ticket import Cancelled, Ticket
from limner.service.values import JobEvent, Kind
from limner.types import BadInput, Event, LimnerError, Picture
from tests.painter import seen
from tests.retoucher import found_in, show
from tests.service.workplace import desk_in, job, shop_in, upload

CIRCLE = show(("red circle", (4, 4, 20, 20)), ("blue square", (26, 26, 44, 44)))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_in(tmp_path)


def done(desk: Desk, kind: Kind, past: list[JobEvent] | None = None, **params: Any) -> tuple[list[Event], Any]:
    """The events and the result of a job; both are JSON."""
    events: list[Event] = []
    work = kinds.run(desk, job(kind, **params), past or [])
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            json.dumps([[e.kind, e.message, e.done, e.total, e.data] for e in events], allow_nan=False)
            return events, json.loads(json.dumps(end.value, allow_nan=False))


def picture(blobs: Blobs, sha256: str) -> Picture:
    return decode_picture(blobs.get(sha256), sha256)


def white(height: slice, width: slice) -> Picture:
    pixels = np.zeros((48, 48, 3), np.uint8)
    pixels[height, width] = 255
    return Picture(pixels)


def kinds_of(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_a_drawing_shows_what_was_said_and_carries_its_recipe(desk: Desk) -> None:
    events, result = done(desk, "draw", prompt="a red circle and a blue square")
    assert kinds_of(events)[:2] == ["load", "keywords"]
    assert events[-1].data["best"]["passed"]
    [best] = result["pictures"]
    assert best["passed"]
    assert {"red circle", "blue square"} <= seen(picture(desk.blobs, best["picture"]))
    assert (best["width"], best["height"], result["drawn"] >= 1) == (48, 48, True)
    recipe = read_recipe(Path(desk.blobs.where(best["picture"])))
    assert (recipe.prompt, recipe.seed) == (best["prompt"], best["seed"])
    assert [keyword["original"] for keyword in result["keywords"]] == list(best["scores"])
    assert list(desk.blobs) == [best["picture"]]


def test_a_drawing_is_mended_by_models_that_take_turns(desk: Desk) -> None:
    mender = desk.tools.models.mender
    assert mender
    made = mender()
    assert made.segmenter is desk.tools.segmenter
    assert made.inpainter is desk.tools.inpainter is desk.tools.hands.inpainter


def test_many_wanted_are_many_good_and_different_ones(desk: Desk) -> None:
    _, result = done(desk, "draw", prompt="a green triangle", many=6, count=2, rounds=4)
    found = [each["picture"] for each in result["pictures"]]
    assert len(found) == len(set(found)) == 6
    assert all(each["passed"] for each in result["pictures"])
    assert all("green triangle" in seen(picture(desk.blobs, sha256)) for sha256 in found)


def test_many_wanted_stay_within_the_budget(desk: Desk) -> None:
    _, result = done(desk, "draw", prompt="a green triangle", many=8, count=2, budget=5)
    assert result["drawn"] <= 5
    scores = [each["passed"] for each in result["pictures"]]
    assert scores == sorted(scores, reverse=True)


def test_what_never_comes_out_ends_with_the_nearest(desk: Desk) -> None:
    events, result = done(
        desk, "draw", prompt="a red circle and a blue square", threshold=0.99, many=3, count=2, rounds=1
    )
    assert not any(each["passed"] for each in result["pictures"])
    assert len(result["pictures"]) == 3  # of more runs, as the first drew too few
    assert "round" not in kinds_of(events)


@pytest.mark.parametrize("many", [-1, 17])
def test_an_endless_number_is_refused(desk: Desk, many: int) -> None:
    with pytest.raises(BadInput, match="are wanted"):
        done(desk, "draw", prompt="a red circle", many=many)


def test_an_edit_changes_what_was_said_and_says_how(desk: Desk) -> None:
    before = upload(desk, CIRCLE)
    _, result = done(desk, "edit", picture=before, instruction="make the circle green", seed=1)
    assert result["passed"]
    assert {region.label for region in found_in(picture(desk.blobs, result["picture"]))} == {
        "green circle",
        "blue square",
    }
    assert (result["kind"], result["instruction"], result["tries"]) == ("recolour", "make the circle green", 1)
    assert read_recipe(Path(desk.blobs.where(result["picture"]))).prompt == "make the circle green"


@pytest.mark.parametrize("by", ["mask", "box"])
def test_an_edit_keeps_to_what_was_marked(desk: Desk, by: str) -> None:
    where: Mapping[str, Any] = {"box": [0, 0, 24, 24]}
    if by == "mask":
        where = {"mask": upload(desk, white(slice(0, 24), slice(0, 24)))}
    _, result = done(desk, "edit", picture=upload(desk, CIRCLE), instruction="make it sunset", **where)
    changed = (picture(desk.blobs, result["picture"]).pixels != CIRCLE.pixels).any(axis=2)
    assert changed[:24, :24].any()
    assert not changed[24:].any()
    assert not changed[:, 24:].any()


def test_a_box_and_a_mask_are_not_both_taken(desk: Desk) -> None:
    sha256 = upload(desk, CIRCLE)
    with pytest.raises(BadInput, match="both"):
        done(desk, "edit", picture=sha256, instruction="make it sunset", box=[0, 0, 8, 8], mask=sha256)


def test_a_look_says_what_is_where(desk: Desk) -> None:
    _, result = done(desk, "look", picture=upload(desk, CIRCLE), find="red circle")
    [region] = result["regions"]
    assert region["label"] == "red circle"
    assert from_rle(region["mask"]).sum() > 100


@pytest.mark.parametrize("name", ["../../etc/passwd", "f" * 63, "", "/etc/passwd", "F" * 64])
def test_no_path_is_a_picture(desk: Desk, name: str) -> None:
    with pytest.raises(BadInput, match="no name of a picture"):
        done(desk, "look", picture=name)


def test_a_picture_that_is_not_there_is_said_so(desk: Desk) -> None:
    with pytest.raises(LimnerError):
        done(desk, "look", picture="0" * 64)


@pytest.mark.parametrize("name", ["../x", "", "a/b", "-x", "x" * 200, "a b", None, 3])
def test_no_path_is_the_name_of_a_session_or_a_dataset(desk: Desk, name: Any) -> None:
    with pytest.raises(BadInput):
        done(desk, "say", session=name, text="a red circle")
    with pytest.raises(BadInput, match="is no name"):
        done(desk, "synth", name=name, classes="fox", count=1)


def talk(desk: Desk, *sentences: str) -> list[Any]:
    desk.session("talk", begin=True)
    return [done(desk, "say", session="talk", text=each)[1] for each in sentences]


def test_a_sentence_makes_turns(desk: Desk) -> None:
    first, second = talk(desk, "a red circle and a blue square", "make the circle green")
    events, _ = done(desk, "say", session="talk", text="undo")
    session = desk.session("talk")
    assert [turn.id for turn in session.turns] == [*first["turns"], *second["turns"]]
    assert (second["tip"], session.state.tip) == (second["turns"][-1], first["tip"])
    assert kinds_of(events) == ["session", "plan", "undo"]


def test_turns_are_told_by_their_ids(desk: Desk) -> None:
    desk.session("talk", begin=True)
    events, result = done(desk, "say", session="talk", text="a red circle")
    assert [event.data["turn"] for event in events if event.kind == "turn"] == result["turns"]


def test_a_session_is_not_begun_by_talking(desk: Desk) -> None:
    with pytest.raises(BadInput, match="nobody"):
        done(desk, "say", session="nobody", text="a red circle")


def test_a_picture_is_brought_along_and_changed_where_it_is_marked(desk: Desk) -> None:
    desk.session("talk", begin=True)
    opened = done(desk, "say", session="talk", open=upload(desk, CIRCLE))[1]
    mask = upload(desk, white(slice(24, 48), slice(24, 48)))
    [turn] = done(desk, "say", session="talk", text="make the square red", mask=mask)[1]["turns"]
    session = desk.session("talk")
    assert session.path[0].id == opened["turns"][0]
    assert session.path[-1].id == turn
    shown = picture(desk.blobs, str(session.now.picture))
    assert (shown.pixels[:24] == CIRCLE.pixels[:24]).all()


def test_nothing_can_be_marked_where_nothing_is(desk: Desk) -> None:
    desk.session("talk", begin=True)
    with pytest.raises(BadInput, match="no picture to mark"):
        done(desk, "say", session="talk", text="make it red", mask=upload(desk, CIRCLE))


def test_a_turn_is_forgotten(desk: Desk) -> None:
    talk(desk, "a red circle and a blue square", "make the circle green", "make the square red")
    path = desk.session("talk").path
    result = done(desk, "forget", session="talk", turn=path[1].id)[1]
    assert result["removed"] == [path[1].id]
    assert (len(result["remade"]), result["dropped"]) == (1, [])
    assert desk.session("talk").state.tip == result["tip"] == result["remade"][-1]


@pytest.mark.parametrize("sentence", ["draw a red circle", "make the square red", "undo"])
@pytest.mark.parametrize("reached", ["begun", "recorded"])
def test_what_a_dead_worker_did_of_a_sentence_is_not_done_twice(desk: Desk, sentence: str, reached: str) -> None:
    talk(desk, "a red circle and a blue square", "make the circle green")
    if reached == "recorded":
        events, first = done(desk, "say", session="talk", text=sentence)
    else:
        work = kinds.run(desk, job("say", session="talk", text=sentence))
        events, first = [next(work)], None
        work.close()
    past = [JobEvent("0" * 32, n, e.kind, e.message, data=e.data) for n, e in enumerate(events, 1)]
    before = len(desk.session("talk").turns)
    _, again = done(desk, "say", past, session="talk", text=sentence)
    session = desk.session("talk")
    if first:
        assert again == first
        assert len(session.turns) == before
    assert len(session.path) == (1 if sentence == "undo" else 3)


def test_a_first_sentence_is_done_again_from_nothing(desk: Desk) -> None:
    desk.session("talk", begin=True)
    events, first = done(desk, "say", session="talk", text="a red circle")
    past = [JobEvent("0" * 32, n, e.kind, e.message, data=e.data) for n, e in enumerate(events, 1)]
    assert done(desk, "say", past, session="talk", text="a red circle")[1] == first


def test_a_job_that_was_called_off_ends_at_the_next_event(tmp_path: Path) -> None:
    ticket = Ticket()
    work = kinds.run(desk_in(tmp_path, ticket), job("draw", prompt="a red circle"))
    next(work)
    ticket.cancel()
    with pytest.raises(Cancelled):
        next(work)


def test_models_are_loaded_once_and_a_choice_too_many_makes_room(tmp_path: Path) -> None:
    shop = shop_in(tmp_path)
    ours, others = shop.settings, [shop.settings.model_copy(update={"llm": name}) for name in ("local:a", "local:b")]
    first = shop.stock(ours)
    shop.stock(others[0])
    assert shop.stock(ours) is first
    second = shop.stock(others[1])
    assert shop.stock(ours) is first
    assert shop.stock(others[1]) is second


def test_what_is_no_json_is_left_out_of_an_event() -> None:
    data = {
        "eta": float("inf"),
        "none": None,
        "rows": (1, np.float32(0.5), float("nan")),
        "what": object(),
        "kind": "x",
    }
    assert told(Event("item", data=data)).data == {"none": None, "rows": [1, 0.5, None], "kind": "x"}
