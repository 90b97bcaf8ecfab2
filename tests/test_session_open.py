"""A picture that was brought along is what a conversation goes on from; what was marked in one is where it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from limner import archive, commands
from limner.image import read_metadata, save_png
from limner.protocols import Mask
from limner.session import Session
from limner.types import BadInput, Picture
from tests.retoucher import show
from tests.test_session import finish
from tests.workshop import PaintersTools, open_session, say, shown

CIRCLE, LARGE = (4.0, 4.0, 20.0, 20.0), (26.0, 26.0, 44.0, 44.0)


def two_circles() -> Picture:
    return show(("red circle", CIRCLE), ("red circle", LARGE))


def marked(box: tuple[float, float, float, float]) -> Mask:
    mask = np.zeros((48, 48), dtype=bool)
    x0, y0, x1, y1 = map(int, box)
    mask[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = True
    return mask


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """One that was begun with a picture of two red circles."""
    opened = open_session(tmp_path)
    finish(opened.open(two_circles(), "circles.png"))
    return opened


def test_an_opened_picture_is_what_the_conversation_is_about(session: Session) -> None:
    [turn] = session.path
    assert (turn.kind, turn.content["source"]) == ("open", "circles.png")
    assert session.now.prompt == turn.content["prompt"]
    assert session.bench.picture(str(turn.picture)).sha256 == two_circles().sha256
    say(session, "add a blue square")
    assert shown(session) == {"red circle", "blue square"}


def test_a_whole_change_of_an_opened_picture_is_made_in_it(session: Session) -> None:
    say(session, "make it night")
    assert [turn.kind for turn in session.path] == ["open", "edit"]


def test_it_can_be_taken_back_kept_and_made_again(tmp_path: Path, session: Session) -> None:
    say(session, "add a blue square")
    assert all(each.same for each in finish(session.replay()))
    archive.export_session(session.store, "test", tmp_path / "session.zip")
    archive.import_session(session.store, tmp_path / "session.zip", "other")
    assert open_session(tmp_path, "other").turns == session.turns
    session.undo()
    session.undo()
    assert session.now.picture is None


def test_without_eyes_nothing_is_opened(tmp_path: Path) -> None:
    blind = open_session(tmp_path, tools=PaintersTools(sees=False))
    with pytest.raises(BadInput, match="nothing here can look"):
        finish(blind.open(two_circles()))
    assert blind.turns == []


def test_a_file_is_opened_by_command_and_saved_without_a_recipe(tmp_path: Path, session: Session) -> None:
    save_png(tmp_path / "mine.png", show(("green triangle", CIRCLE)))
    told = finish(commands.run(session, f"/open '{tmp_path / 'mine.png'}'"))
    assert told["text"].startswith("opened mine.png: ")
    finish(commands.run(session, f"/save {tmp_path / 'saved.png'}"))
    with pytest.raises(BadInput, match="holds no recipe"):
        _ = read_metadata(tmp_path / "saved.png").recipe


def test_what_is_marked_is_changed_and_nothing_is_asked(session: Session) -> None:
    before = session.bench.picture(str(session.now.picture)).pixels
    [turn] = finish(session.say("paint the circle green", marked(LARGE)))
    after = session.bench.picture(str(turn.picture)).pixels
    assert turn.kind == "edit"
    assert shown(session) == {"red circle", "green circle"}
    assert np.array_equal(before[:22, :22], after[:22, :22])
    assert all(each.same for each in finish(session.replay()))


def test_a_thing_that_is_only_named_is_put_where_it_was_marked(session: Session) -> None:
    free = (26.0, 4.0, 44.0, 20.0)
    [turn] = finish(session.say("a blue square", marked(free)))
    assert turn.content["instruction"] == "add a blue square"
    assert shown(session) == {"red circle", "blue square"}


def test_a_mask_of_another_size_is_refused(session: Session) -> None:
    with pytest.raises(BadInput):
        finish(session.say("paint the circle green", np.ones((8, 8), dtype=bool)))
    assert len(session.turns) == 1


def test_nothing_can_be_marked_before_there_is_a_picture(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no picture to change"):
        finish(open_session(tmp_path, "empty").say("a blue square", marked(CIRCLE)))
