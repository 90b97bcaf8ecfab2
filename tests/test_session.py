"""A conversation, turn by turn, in a world where every effect is exact."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from limner.session import Session
from limner.types import BadInput, Event, LimnerError
from tests.scripted import Scripted
from tests.workshop import PaintersTools, open_session, say, shown

Result = TypeVar("Result")
FIRST = "a red circle and a blue square"


def finish(work: Generator[Event, None, Result]) -> Result:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """One that has drawn a red circle and a blue square."""
    opened = open_session(tmp_path)
    say(opened, FIRST)
    return opened


def kinds(session: Session) -> list[str]:
    return [turn.kind for turn in session.path]


TWELVE = (
    (FIRST, ["draw"], {"red circle", "blue square"}),
    ("paint the circle green", ["edit"], {"green circle", "blue square"}),
    ("remove it", ["edit"], {"blue square"}),
    ("no, go back", list[str](), {"green circle", "blue square"}),
    ("add a green triangle", ["edit"], {"green circle", "blue square", "green triangle"}),
    ("make the shape red", ["ask"], {"green circle", "blue square", "green triangle"}),
    ("the square", ["answer", "edit"], {"green circle", "red square", "green triangle"}),
    ("make it night", ["edit"], {"green circle", "red square", "green triangle"}),
    ("how many circles are there?", ["note"], {"green circle", "red square", "green triangle"}),
    ("forget the triangle", ["ask"], set[str]()),
    ("start over with a green square", ["draw"], {"green square"}),
    ("make it night", ["rewrite"], {"green square"}),
)


def test_a_long_conversation_goes_as_it_is_told(tmp_path: Path) -> None:
    session = open_session(tmp_path)
    for sentence, made, there in TWELVE:
        if sentence == "forget the triangle":
            forgotten = [turn for turn in session.path if turn.content.get("instruction") == "add a green triangle"]
            assert len(finish(session.forget(forgotten[0].id)).removed) == 1
            assert shown(session) == {"green circle", "red square"}
            continue
        _, turns = say(session, sentence)
        assert [turn.kind for turn in turns] == made, sentence
        assert shown(session) == there, sentence
    assert session.store.check() == []
    assert all(each.same and each.same_picture for each in finish(session.replay()) if each.turn.picture)


def test_the_explicit_instruction_is_shown_before_it_runs(session: Session) -> None:
    say(session, "paint it green")
    events, turns = say(session, "the square")
    told = [event.kind for event in events]
    assert told.index("instruction") < told.index("attempt")
    [instruction] = [event.message for event in events if event.kind == "instruction"]
    assert instruction == "edit: paint the square green"
    assert turns[0].content["instruction"] == turns[1].content["instruction"] == "paint the square green"


def test_a_question_offers_what_is_in_the_picture(session: Session) -> None:
    _, [asked] = say(session, "remove the triangle")
    assert asked.kind == "ask"
    assert asked.content["question"].startswith("I see no triangle.")
    assert {choice.split(" on ")[0].split(" at ")[0].split(" in ")[0] for choice in asked.content["choices"]} == {
        "red circle",
        "blue square",
    }
    assert shown(session) == {"red circle", "blue square"}


def test_nothing_is_asked_when_nothing_may_be(tmp_path: Path) -> None:
    session = open_session(tmp_path, ask="never")
    say(session, FIRST)
    events, turns = say(session, "make the thing green")
    assert [turn.kind for turn in turns] == ["edit"]
    assert any("assumed" in event.message for event in events if event.kind == "warning")
    assert len(shown(session) & {"green circle", "green square"}) == 1


def test_much_is_asked_when_much_may_be(tmp_path: Path) -> None:
    session = open_session(tmp_path, ask="often")
    say(session, "a red circle")
    _, [asked] = say(session, "paint it green")
    assert asked.content["question"] == "Do you mean: paint the circle green?"
    _, turns = say(session, "yes please")
    assert [turn.kind for turn in turns] == ["answer", "edit"]
    assert shown(session) == {"green circle"}


def test_a_no_leaves_all_as_it_is(tmp_path: Path) -> None:
    session = open_session(tmp_path, ask="often")
    say(session, "a red circle")
    say(session, "paint it green")
    events, turns = say(session, "no")
    assert turns == ()
    assert events[-1].message == "then it stays as it is"
    assert session.open_question is None
    assert shown(session) == {"red circle"}


def test_what_nobody_understands_is_not_added_to_the_prompt(session: Session) -> None:
    with pytest.raises(BadInput, match="not understood"):
        say(session, "xyzzy plugh")
    session.set("mode", "rewrite")
    _, [turn] = say(session, "xyzzy plugh")
    assert turn.content["prompt"] == f"{FIRST}, xyzzy plugh"


def test_the_step_that_was_unclear_is_the_one_that_is_answered(session: Session) -> None:
    say(session, "add a green triangle and paint the shape green")
    assert session.open_question is not None
    _, turns = say(session, "the square")
    assert turns[-1].content["instruction"] == "paint the square green"
    assert shown(session) == {"red circle", "green square", "green triangle"}


def test_several_requests_of_one_sentence_are_several_turns(session: Session) -> None:
    _, turns = say(session, "paint the circle green and remove the square")
    assert [turn.kind for turn in turns] == ["edit", "edit"]
    assert shown(session) == {"green circle"}


@pytest.mark.parametrize(("mode", "kind"), [("rewrite", "rewrite"), ("edit", "edit"), ("auto", "edit")])
def test_the_user_may_choose_between_prompt_and_picture(session: Session, mode: str, kind: str) -> None:
    session.set("mode", mode)
    events, [turn] = say(session, "paint the circle green")
    assert turn.kind == kind
    assert [event.data["way"] for event in events if event.kind == "instruction"] == [kind]
    assert turn.content["prompt"] == "a green circle and a blue square"


def test_a_rewrite_is_shown_as_a_word_diff_and_drawn_from_the_same_seed(session: Session) -> None:
    session.set("mode", "rewrite")
    before = session.path[-1]
    events, [turn] = say(session, "paint the circle green")
    [diff] = [event.message for event in events if event.kind == "rewrite"]
    assert diff == "a [-red-] {+green+} circle and a blue square"
    assert turn.content["options"]["seed"] == before.content["recipe"]["seed"]


def test_a_change_of_the_whole_picture_would_not_lose_edits(session: Session) -> None:
    _, [first] = say(session, "make it night")
    assert first.kind == "rewrite"
    say(session, "paint the circle green")
    _, [second] = say(session, "make it sunset")
    assert second.kind == "edit"
    _, [third] = say(session, "make it day")
    assert third.content["from"] == second.content["from"]


def test_undo_takes_a_question_and_its_answer_with_it(session: Session) -> None:
    say(session, "paint it green")
    say(session, "the square")
    assert kinds(session) == ["draw", "ask", "answer", "edit"]
    session.undo()
    assert kinds(session) == ["draw"]
    assert session.redo().kind == "edit"
    assert shown(session) == {"red circle", "green square"}


def test_undo_and_redo_have_ends(session: Session) -> None:
    assert session.undo() is None
    with pytest.raises(BadInput, match="nothing to undo"):
        session.undo()
    session.redo()
    with pytest.raises(BadInput, match="nothing to redo"):
        session.redo()


def test_branches_are_places_to_come_back_to(session: Session) -> None:
    session.branch("calm")
    say(session, "remove the circle")
    session.goto("calm")
    say(session, "remove the square")
    assert shown(session) == {"red circle"}
    assert session.goto("2").content["instruction"] == "remove the circle"
    assert shown(session) == {"blue square"}
    assert session.goto(session.turns[0].id[:8]).kind == "draw"


@pytest.mark.parametrize("name", ["", "7", "a b", "x" * 65, "../up"])
def test_bad_names_of_branches_are_refused(session: Session, name: str) -> None:
    with pytest.raises(BadInput, match="name for a branch"):
        session.branch(name)


def test_forgetting_makes_the_later_turns_again_without_one(session: Session) -> None:
    say(session, "paint the circle green")
    say(session, "add a green triangle")
    done = finish(session.forget(session.turns[1].id))
    assert shown(session) == {"red circle", "blue square", "green triangle"}
    assert [turn.content["instruction"] for turn in done.remade] == ["add a green triangle"]
    assert done.dropped == ()
    assert [turn.kind for turn in session.turns] == ["draw", "edit", "edit", "edit"]


def test_forgetting_says_what_no_longer_applies(session: Session) -> None:
    say(session, "add a green triangle")
    say(session, "remove the triangle")
    say(session, "paint the circle green")
    done = finish(session.forget(session.turns[1].id))
    assert [reason for _, reason in done.dropped]
    assert shown(session) == {"green circle", "blue square"}


def test_what_is_not_on_the_way_cannot_be_forgotten(session: Session) -> None:
    say(session, "remove the circle")
    session.undo()
    with pytest.raises(BadInput, match="not on the way"):
        finish(session.forget(session.turns[1].id))


def test_forgetting_in_words(session: Session) -> None:
    say(session, "add a green triangle")
    say(session, "paint the circle green")
    say(session, "forget the triangle")
    assert shown(session) == {"green circle", "blue square"}
    with pytest.raises(BadInput, match="nothing was said of «the moon»"):
        say(session, "forget the moon")


def test_two_turns_side_by_side(session: Session) -> None:
    say(session, "paint the circle green")
    found = session.diff(*session.turns)
    assert found.prompt == [("same", "a"), ("out", "red"), ("in", "green"), ("same", "circle and a blue square")]
    assert found.pictures is not None
    assert found.pictures.width > 2 * 48


def test_tomorrow_it_goes_on_as_it_was(tmp_path: Path, session: Session) -> None:
    say(session, "paint it green")
    session.store.close()
    again = open_session(tmp_path)
    assert again.open_question is not None
    say(again, "the square")
    assert shown(again) == {"red circle", "green square"}


def test_another_process_is_noticed(tmp_path: Path, session: Session) -> None:
    other = open_session(tmp_path)
    say(other, "remove the circle")
    with pytest.raises(LimnerError, match="another process"):
        say(session, "remove the square")
    assert open_session(tmp_path).store.check() == []


def test_a_step_that_is_stopped_leaves_nothing(session: Session) -> None:
    work = session.say("paint the circle green")
    while next(work).kind != "attempt":
        pass
    work.close()
    assert len(session.turns) == len(session.store.turns("test")) == 1
    assert shown(session) == {"red circle", "blue square"}


def test_the_same_words_give_the_same_turns(tmp_path: Path) -> None:
    one, two = open_session(tmp_path / "one"), open_session(tmp_path / "two")
    for session in (one, two):
        say(session, FIRST)
        say(session, "paint the circle green")
    assert [turn.id for turn in one.turns] == [turn.id for turn in two.turns]


def test_a_replay_notices_what_changed(tmp_path: Path, session: Session) -> None:
    tools = PaintersTools()
    session.bench = replace(session.bench, tools=replace_versions(tools))
    [made] = finish(session.replay())
    assert made.same_picture
    assert not made.same
    assert made.reason == "differs in recipe"


def replace_versions(tools: PaintersTools) -> PaintersTools:
    return PaintersTools(tools.language, tools.edit_models, versions={"painter": "2"})


def test_without_eyes_changes_are_made_in_the_prompt(tmp_path: Path) -> None:
    session = open_session(tmp_path, tools=PaintersTools(sees=False))
    say(session, FIRST)
    _, [turn] = say(session, "paint the circle green")
    assert turn.kind == "rewrite"
    assert shown(session) == {"green circle", "blue square"}


def test_replies_of_a_language_model_are_replayed(tmp_path: Path) -> None:
    plan = '{"steps": [{"kind": "draw", "text": "a red circle and a blue square"}]}'
    keywords = '{"keywords": ["red circle", "blue square"]}'
    session = open_session(tmp_path, tools=PaintersTools(Scripted(plan, keywords)))
    _, [turn] = say(session, "something round and something not")
    assert [exchange["request"]["task"] for exchange in turn.content["heard"]] == ["plan"]
    assert [exchange["reply"] for exchange in turn.content["exchanges"]] == [keywords]
    unplugged = open_session(tmp_path, tools=PaintersTools(Scripted()))
    assert [each.same for each in finish(unplugged.replay())] == [True]


def test_a_language_model_that_is_away_does_not_end_the_conversation(tmp_path: Path) -> None:
    session = open_session(tmp_path, tools=PaintersTools(Scripted()))
    events, [turn] = say(session, FIRST)
    assert turn.kind == "draw"
    assert any("the rules answered instead" in event.message for event in events if event.kind == "warning")


@pytest.mark.parametrize("sentence", ["", "   ", "a\x00b", "x" * 20_000])
def test_what_is_no_sentence_is_refused(session: Session, sentence: str) -> None:
    with pytest.raises(BadInput):
        say(session, sentence)
    assert len(session.turns) == 1


@pytest.mark.parametrize(("name", "value"), [("mode", "both"), ("ask", "always")])
def test_a_setting_has_its_values(session: Session, name: str, value: str) -> None:
    with pytest.raises(BadInput, match=name):
        session.set(name, value)  # pyright: ignore[reportArgumentType]
