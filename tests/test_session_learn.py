"""Learning is a turn: recorded, taken back, made again, kept in files; the concept itself lies on the shelf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limner import archive, commands, history
from limner.backends.hub import WEIGHTS
from limner.blobs import Blobs
from limner.chat import Plainly, converse
from limner.config import load_settings
from limner.conversations import Conversations
from limner.image import save_png
from limner.plan import by_rules, lesson, plan
from limner.session import Session
from limner.store import Store
from limner.turn import Turn
from limner.types import BadInput, LimnerError, Picture
from tests.retoucher import found_in, show
from tests.scripted import Scripted
from tests.test_session import finish
from tests.workshop import PaintersTools, open_session, say, shown

FIRST = "a red circle"
STAYS = "<gizmo> stays on the shelf; limner concepts rm takes it off"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """One that has drawn a red circle."""
    opened = open_session(tmp_path)
    say(opened, FIRST)
    return opened


def tools(session: Session) -> PaintersTools:
    found = session.bench.tools
    assert isinstance(found, PaintersTools)
    return found


def told(session: Session, line: str) -> str:
    return str(finish(commands.run(session, line))["text"])


def triangle(folder: Path) -> Path:
    file = folder / "my triangle.png"
    save_png(file, show(("green triangle", (10, 10, 30, 30))))
    return file


def test_a_turn_says_what_was_learned_and_how(session: Session) -> None:
    before = session.now
    assert told(session, "/learn <gizmo>") == "say it: a <gizmo> in the snow"
    turn = session.turns[-1]
    assert turn.kind == "learn"
    assert turn.content == {
        "name": "gizmo",
        "like": "red circle",
        "method": "naming",
        "steps": 2,
        "settings": {"name": "gizmo", "like": "red circle", "steps": 2, "method": "naming"},
        "reference": session.bench.picture(str(before.picture)).sha256,
        "concept": tools(session).concept_file("gizmo"),
        "source": "what the picture shows",
        "picture_learned": before.picture,
    }
    assert replace(session.now, depth=1) == before
    assert history.headline(turn) == "learned <gizmo> from what the picture shows, like red circle"
    assert turn.picture is None
    assert turn.kept == before.picture


def test_later_turns_use_it(session: Session) -> None:
    told(session, "/learn gizmo")
    say(session, "start over with a <gizmo> and a blue square")
    assert shown(session) == {"red circle", "blue square"}
    say(session, "replace the square with a <gizmo>")
    assert all(region.label == "red circle" for region in found_in(session.bench.picture(str(session.now.picture))))
    assert all(each.same for each in finish(session.replay()))
    assert tools(session).lessons == ["gizmo"]


@pytest.mark.parametrize(
    ("line", "like"),
    [
        ("/learn gizmo {}", "green triangle"),
        ("/learn gizmo '{}'", "green triangle"),
        ("/learn gizmo {} like a blue square", "a blue square"),
    ],
)
def test_from_a_file(tmp_path: Path, line: str, like: str) -> None:
    session = open_session(tmp_path)
    file = triangle(tmp_path)
    told(session, line.format(file))
    turn = session.turns[-1]
    assert (turn.content["like"], turn.content["source"]) == (like, "my triangle.png")
    assert session.now.picture is None
    kept = session.bench.picture(turn.content["picture_learned"])
    assert [region.label for region in found_in(kept)] == ["green triangle"]
    say(session, "a blue square")
    assert shown(session) == {"blue square"}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/learn", "not said what to learn it as"),
        ("/learn gizmo like", "not said what to learn it as"),
        ("/learn ../up", "cannot be a concept's name"),
        ("/learn gizmo nowhere.png", "nowhere.png"),
        ("/learn gizmo-neg", "cannot be a concept's name"),
    ],
)
def test_what_cannot_be_learned_is_refused(session: Session, line: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        told(session, line)
    assert [turn.kind for turn in session.turns] == ["draw"]


def test_without_a_picture_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    session = open_session(tmp_path)
    for said in (lambda: told(session, "/learn gizmo"), lambda: say(session, "learn this as gizmo")):
        with pytest.raises(BadInput, match="no picture to learn from"):
            said()


def test_a_name_is_learned_once(session: Session) -> None:
    told(session, "/learn gizmo")
    with pytest.raises(BadInput, match="known already"):
        told(session, "/learn gizmo")
    assert len(session.turns) == 2


SENTENCES = {
    "learn this as gizmo": "<gizmo>",
    "Please learn it as <gizmo>.": "<gizmo>",
    "call this <gizmo>": "<gizmo>",
    "name the picture <my-cat>, it's like a cat, please": "<my-cat> like a cat",
    "remember what you see as gizmo like a toy robot": "<gizmo> like a toy robot",
}


@pytest.mark.parametrize("said", SENTENCES)
@pytest.mark.parametrize("has_picture", [True, False])
def test_sentences_that_learn(said: str, has_picture: bool) -> None:
    [step] = by_rules(said, has_picture=has_picture)
    assert (step.kind, step.text) == ("learn", SENTENCES[said])


@pytest.mark.parametrize("said", ["call it off", "call it a day", "learn this", "learn it as two words", "name it"])
def test_sentences_that_do_not(said: str) -> None:
    assert [step.kind for step in by_rules(said, has_picture=True)] == ["change"]


def test_a_language_model_may_say_it_too() -> None:
    model = Scripted('{"steps": [{"kind": "learn", "text": "<gizmo>"}]}')
    [step] = plan(model, "that thing is to be my gizmo", prompt=FIRST, seen=(), asked=False).steps
    assert lesson(step.text) == ("gizmo", "")
    assert lesson("<gizmo> like a toy robot.") == ("gizmo", "toy robot")
    with pytest.raises(BadInput, match="cannot be a concept's name"):
        lesson("two words")


def test_in_words(session: Session) -> None:
    events, [turn] = say(session, "learn this as gizmo like a blue square")
    assert [event.kind for event in events] == ["plan", "learn", "learn", "turn"]
    assert turn.content["said"] == "learn this as gizmo like a blue square"
    assert turn.content["like"] == "blue square"
    assert tools(session).shelf == {"gizmo": "blue square"}


def test_undo_leaves_it_on_the_shelf_and_says_so(session: Session) -> None:
    told(session, "/learn gizmo")
    assert told(session, "/undo") == f"at: draw: {FIRST}\n{STAYS}"
    assert "gizmo" in tools(session).shelf
    assert told(session, "/redo").startswith("at: learned <gizmo>")
    events, _ = say(session, "undo")
    assert events[-1].message == f"undone; {STAYS}"
    say(session, "draw a <gizmo>")
    assert told(session, "/undo") == f"at: draw: {FIRST}"


def test_the_tree_and_the_terminal_show_it(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    converse(session, ["/learn gizmo", "/history"], Plainly(lambda _: "PICTURE"))
    assert capsys.readouterr().out.splitlines() == [
        "learned <gizmo> from what the picture shows, like red circle",
        "say it: a <gizmo> in the snow",
        f"1. draw: {FIRST}",
        "2. learned <gizmo> from what the picture shows, like red circle  ← here",
    ]


def test_forgetting_what_came_before_does_not_learn_again(session: Session) -> None:
    say(session, "paint the circle green")
    told(session, "/learn gizmo")
    say(session, "add a <gizmo>")
    done = finish(session.forget(session.turns[1].id))
    assert [turn.kind for turn in done.remade] == ["learn", "edit"]
    assert done.remade[0].content == session.turns[2].content
    assert tools(session).lessons == ["gizmo"]
    assert shown(session) == {"red circle", "green circle"}


def test_forgetting_the_lesson_itself(session: Session) -> None:
    told(session, "/learn gizmo")
    say(session, "add a <gizmo>")
    assert STAYS in told(session, "/forget 2")
    assert [turn.kind for turn in session.path] == ["draw", "edit"]


def test_replay_learns_again_only_what_is_not_there(session: Session) -> None:
    told(session, "/learn gizmo")
    tools(session).shelf.clear()
    assert all(each.same for each in finish(session.replay()))
    assert tools(session).lessons == ["gizmo", "gizmo"]
    assert tools(session).shelf == {"gizmo": "red circle"}


def test_replay_does_not_replace_what_was_learned_since(session: Session) -> None:
    told(session, "/learn gizmo")
    tools(session).shelf["gizmo"] = "blue square"
    _, again = finish(session.replay())
    assert not again.same
    assert "<gizmo> is another one by now" in again.reason
    assert tools(session).shelf == {"gizmo": "blue square"}


def test_the_picture_learned_from_is_kept_with_the_session(tmp_path: Path) -> None:
    session = open_session(tmp_path / "one")
    told(session, f"/learn gizmo {triangle(tmp_path)}")
    [turn] = session.turns
    assert session.store.check() == []
    assert archive.export_session(session.store, "test", tmp_path / "a.zip")["pictures"] == 1
    blobs = Blobs(str(tmp_path / "two" / "pictures"))
    other = Store(f"sqlite:///{tmp_path / 'two' / 'limner.db'}", blobs)
    archive.import_session(other, tmp_path / "a.zip")
    assert other.turns("test") == [turn]
    assert blobs.has(str(turn.kept))
    assert other.check() == []
    again = open_session(tmp_path / "two")
    assert all(each.same for each in finish(again.replay()))
    assert tools(again).lessons == ["gizmo"]
    session.store.remove("test")
    assert list(session.store.blobs) == []


def test_a_lost_picture_is_noticed(tmp_path: Path) -> None:
    session = open_session(tmp_path)
    told(session, f"/learn gizmo {triangle(tmp_path)}")
    [turn] = session.turns
    session.store.blobs.remove(str(turn.kept))
    assert any("missing" in problem or str(turn.kept)[:12] in problem for problem in session.store.check())
    with pytest.raises(LimnerError):
        archive.export_session(session.store, "test", tmp_path / "a.zip")
    lost = Turn(None, "learn", {"picture_learned": "0" * 64})
    with pytest.raises(LimnerError, match="not in the store"):
        session.store.save(session.state, [lost])


def test_only_a_lesson_keeps_what_it_learned_from() -> None:
    assert Turn(None, "draw", {"picture": "a", "picture_learned": "b"}).kept == "a"
    assert Turn(None, "learn", {"picture": "a", "picture_learned": "b"}).kept == "b"
    assert Turn(None, "learn", {"picture_learned": 7}).kept is None


def test_a_lesson_that_is_stopped_leaves_no_turn(session: Session) -> None:
    work = session.learn("gizmo")
    assert next(work).kind == "learn"
    work.close()
    assert [turn.kind for turn in session.turns] == ["draw"]
    assert tools(session).shelf == {}


def test_two_lessons_of_the_same_are_the_same(tmp_path: Path) -> None:
    made: Callable[[str], Session] = lambda name: open_session(tmp_path / name)  # noqa: E731
    one, two = made("one"), made("two")
    for each in (one, two):
        say(each, FIRST)
        told(each, "/learn gizmo")
    assert [turn.id for turn in one.turns] == [turn.id for turn in two.turns]


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.joinpath("editor").is_dir(), reason="the embedded models are not here")
@pytest.mark.long
def test_on_the_models_that_ship(tmp_path: Path) -> None:
    """Learned, drawn, replayed from the shelf, and learned again to the same bytes when the shelf is empty."""
    settings = load_settings({"data": tmp_path, "seed": 5, "count": 1, "rounds": 1}, environment={})
    conversations = Conversations(settings)
    session = conversations.open("gizmo")
    reference = Picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    [turn] = finish(session.learn("gizmo", reference, source="noise", like="robot", chosen={"steps": 2}))
    assert (turn.content["steps"], turn.content["like"], turn.content["method"]) == (2, "robot", "dreamartist")
    assert "seconds" not in turn.content["settings"]
    say(session, "a <gizmo>")
    assert any("<gizmo> is checked as «robot»" in warning for warning in session.turns[-1].content["warnings"])
    assert all(each.same for each in finish(conversations.replay("gizmo")))
    file = tmp_path / "concepts" / "gizmo.safetensors"
    before = file.read_bytes()
    file.unlink()
    assert all(each.same for each in finish(conversations.replay("gizmo")))
    assert file.read_bytes() == before
    assert session.store.check() == []
