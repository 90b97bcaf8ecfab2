"""A learned concept is a noun: it survives in everything that is said, and is looked for by what it is like."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limner import commands, rules
from limner.draw import DrawOptions, DrawResult, algorithm1, draw
from limner.easel import set_up
from limner.edit import EditOptions, EditResult, edit
from limner.image.paste import box_mask
from limner.instruction import parse_instruction
from limner.plan import by_rules
from limner.protocols import EditModels, Models
from limner.requests import read
from limner.rewrite import rewrite_by_rules, word_diff
from limner.session import Session
from limner.sight import things_seen
from limner.types import BadInput, Event
from tests.painter import Painter, PixelScorer
from tests.retoucher import EYES, Filler, Retoucher, found_in, models, show
from tests.scripted import Scripted
from tests.test_session import finish as finished
from tests.workshop import PaintersTools, open_session, say, shown

PICTURE = show(("red circle", (4, 4, 18, 18)), ("blue square", (26, 26, 44, 44)))
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,12}", fullmatch=True)
STRENGTHS = st.sampled_from(["", ":0.8", ":1", ":.5", ":0.8:0.5"])


@given(NAMES, STRENGTHS)
@settings(max_examples=20, deadline=None)
def test_the_tagger_takes_a_concept_for_one_noun(name: str, strength: str) -> None:
    word = f"<{name}{strength}>"
    prompt = f"a red {word} and two {word}s next to a castle"
    assert rules.extract_keywords(prompt)[:3] == (f"red {word}", f"two {word}s", "castle")
    assert rules.content_words(word) == rules.content_words(f"the <{name}>")


@given(NAMES, STRENGTHS)
@settings(max_examples=20, deadline=None)
@example("0-", "")
@example("now", ":0.8")
@example("and", "")
def test_instructions_keep_the_word_as_it_was_said(name: str, strength: str) -> None:
    word = f"<{name}{strength}>"
    meant = {
        f"add a {word} to the left of the castle": ("add", "", word, "left of the castle"),
        f"replace the car with {word}": ("replace", "car", word, ""),
        f"turn the {word} into a car": ("replace", word, "car", ""),
        f"make the {word} red": ("recolour", word, "red", ""),
        f"please remove the {word}!": ("remove", word, "", ""),
        f"put a hat on the {word}": ("add", "", "hat", f"on the {word}"),
        f"draw it in the style of {word}": ("restyle", "", word, ""),
    }
    for said, expected in meant.items():
        change = parse_instruction(said)
        assert (change.kind, change.target, change.value, change.place) == expected, said


@given(NAMES, STRENGTHS)
@settings(max_examples=20, deadline=None)
def test_who_is_spoken_of_has_no_strength_and_keeps_its_capitals(name: str, strength: str) -> None:
    referent = read(f"Paint the <{name}{strength}> blue").referent
    assert referent is not None
    assert referent.noun == f"<{name}>"


PROMPT = "a blue castle and a <gizmo:0.8> in the snow"
REWRITTEN = {
    "make the <gizmo> red": "a blue castle and a red <gizmo:0.8> in the snow",
    "make the <gizmo:0.5> red": "a blue castle and a red <gizmo:0.8> in the snow",
    "remove the <gizmo>": "a blue castle in the snow",
    "replace the <gizmo> with a car": "a blue castle and a car in the snow",
    "replace the castle with <blob>": "a <blob> and a <gizmo:0.8> in the snow",
    "add a <blob:0.5>": "a blue castle and a <gizmo:0.8> and a <blob:0.5> in the snow",
    "put it on the beach": "a blue castle and a <gizmo:0.8> on the beach",
    "make it in the style of <ink>": "a blue castle and a <gizmo:0.8> in the snow, <ink>",
}


@pytest.mark.parametrize("instruction", REWRITTEN)
def test_the_prompt_is_rewritten_around_it(instruction: str) -> None:
    found = rewrite_by_rules(PROMPT, instruction, parse_instruction(instruction))
    assert (found.prompt, found.warnings) == (REWRITTEN[instruction], ())


def test_names_that_differ_in_capitals_are_two_concepts() -> None:
    change = parse_instruction("remove the <Gizmo>")
    assert rewrite_by_rules("a <gizmo> and a <Gizmo>", change.instruction, change).prompt == "a <gizmo>"


def test_the_word_diff_keeps_it_whole() -> None:
    assert word_diff("a <gizmo:0.8> car", "a red <gizmo:0.8> car") == [
        ("same", "a"), ("in", "red"), ("same", "<gizmo:0.8> car")
    ]  # fmt: skip


@pytest.mark.parametrize("said", ["draw a <gizmo> on the beach", "draw <gizmo> on the beach"])
def test_a_scene_with_it_is_drawn_anew(said: str) -> None:
    [step] = by_rules(said, has_picture=True)
    assert (step.kind, step.text) == ("draw", said.removeprefix("draw "))


# Drawing: scored by what it is like, worded by its own word.


def drawing(likes: dict[str, str]) -> Models:
    return Models(Painter(likes=likes), PixelScorer(), Scripted('{"keywords": ["red circle", "blue square"]}'))


@pytest.mark.parametrize("loop", [draw, algorithm1])
def test_no_wording_leaves_it_out(loop: Callable[[Models, DrawOptions], Generator[Event, None, DrawResult]]) -> None:
    known = drawing({"gizmo": "red circle"})
    prompt = "a <gizmo:0.7> and a blue square"
    options = DrawOptions(prompt, count=4, rounds=5, seed=8, threshold=0.9)
    result = finished(loop(known, options))
    assert result.prompt == prompt
    painter = known.text_to_image
    assert isinstance(painter, Painter)
    wordings = {request.prompt for request in painter.drawn}
    assert len(wordings) > 1
    assert [w for w in wordings if "red circle" in w] == []
    first = [w[w.index("<") : w.index(">") + 1] for w in wordings if "<" in w]
    assert set(first) == {"<gizmo:0.7>"}
    assert "<gizmo> is checked as «red circle»" in result.warnings


@pytest.mark.parametrize(
    ("prompt", "likes", "kept"),
    [
        ("a <gizmo> and a red circle", {"gizmo": "red circle"}, True),
        ("a <gizmo> and a <other>", {"gizmo": "red circle", "other": "red circle"}, True),
        ("a <gizmo>", {"gizmo": ""}, True),
        ("a <gizmo>", {"gizmo": "red circle"}, False),
    ],
)
def test_what_may_be_meant_by_itself_stays_as_it_is(prompt: str, likes: dict[str, str], kept: bool) -> None:
    easel = set_up(drawing(likes), DrawOptions(prompt, seed=1))
    assert (easel.spoken("red circle, red circles") == "red circle, red circles") == kept
    assert easel.spoken(prompt) == prompt


# Editing: painted by its word, found and checked by what it is like.


def edited(said: str, with_models: EditModels, *, marked: bool = False, attempts: int = 4) -> EditResult:
    where = box_mask((2, 2, 20, 20), 48, 48) if marked else None
    wanted = EditOptions(parse_instruction(said), where, seed=3, attempts=attempts)
    return finished(edit(with_models, PICTURE, wanted))


def labels(result: EditResult) -> set[str]:
    return {region.label for region in found_in(result.best.picture)}


def test_a_thing_is_replaced_by_a_concept() -> None:
    result = edited("replace the blue square with a <gizmo:0.8>", models(likes={"gizmo": "green triangle"}))
    assert result.best.passed
    assert set(result.best.checks) == {"green triangle is there", "blue square is gone"}
    assert labels(result) == {"red circle", "green triangle"}
    assert result.change.value == "<gizmo:0.8>"
    assert result.warnings == ("<gizmo> is checked as «green triangle»",)


def test_a_fill_is_asked_for_the_concept_itself() -> None:
    likes = {"gizmo": "green triangle"}
    filler = Filler(likes=likes)
    result = edited("replace the blue square with a <gizmo>", models(Retoucher(deaf=range(9)), filler, likes))
    assert result.best.method == "fill"
    assert result.best.passed
    assert {request.prompt for request in filler.asked} == {"a <gizmo>"}


def test_a_concept_is_found_by_what_it_is_like() -> None:
    known = models(likes={"gizmo": "red circle"})
    assert labels(edited("remove the <gizmo>", known)) == {"blue square"}
    assert labels(edited("make the <gizmo> green", known)) == {"green circle", "blue square"}
    beside = edited("add a green triangle to the left of the <gizmo:0.5>", known)
    assert labels(beside) == {"red circle", "blue square", "green triangle"}


def test_what_is_like_nothing_is_not_checked_and_that_is_said() -> None:
    known = models(Retoucher(deaf=range(9)), likes={"blob": ""})
    result = edited("replace the blue square with a <blob>", known, attempts=1)
    assert set(result.best.checks) == {"blue square is gone"}
    assert result.best.directional is None
    assert "<blob> cannot be checked" in result.warnings
    styled = edited("change the style to <blob>", known, attempts=1)
    assert set(styled.best.checks) == {"the rest is kept"}


@pytest.mark.parametrize(
    "said",
    [
        "remove the <blob>",
        "make the <blob> green",
        "add a red square to the left of the <blob>",
        "make the <blob> bigger",
        "move the red circle to the left of the <blob>",
    ],
)
def test_what_is_like_nothing_cannot_be_found(said: str) -> None:
    with pytest.raises(BadInput, match="nothing tells what .*<blob> is like"):
        edited(said, models(likes={"blob": ""}))


def test_with_a_mask_it_need_not_be_found() -> None:
    result = edited("make the <blob> green", models(likes={"blob": ""}), marked=True, attempts=1)
    assert result.best.checks == {}
    assert "<blob> cannot be checked" in result.warnings


def test_with_a_mask_it_can_be_moved_all_the_same() -> None:
    result = edited("make the <blob> bigger", models(likes={"blob": ""}), marked=True, attempts=1)
    assert result.best.changed > 0
    assert "<blob> cannot be checked" in result.warnings


def test_an_unknown_concept_is_refused_before_anything_is_painted() -> None:
    with pytest.raises(BadInput, match="no concept 'gizmo'"):
        edited("replace the blue square with a <gizmo>", models())


# Looking and talking.


def names(texts: tuple[str, ...], likes: dict[str, str]) -> list[str]:
    return sorted(each.noun for each in things_seen(EYES, PICTURE, texts, likes))


def test_what_it_is_like_is_seen_as_the_concept() -> None:
    assert names(("a <gizmo> and a square",), {"gizmo": "circle"}) == ["blue square", "red <gizmo>"]
    assert names(("a <gizmo> and a square",), {"gizmo": ""}) == ["blue square", "red circle"]


def test_what_may_be_another_thing_is_seen_as_that() -> None:
    assert names(("a <gizmo> and a circle",), {"gizmo": "circle"}) == ["blue square", "red circle"]
    both = {"gizmo": "circle", "other": "circle"}
    assert names(("a <gizmo> and an <other>",), both) == ["blue square", "red circle"]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    opened = open_session(tmp_path, tools=PaintersTools(shelf={"gizmo": "red circle", "blob": "green triangle"}))
    say(opened, "a <gizmo:0.9> and a blue square")
    return opened


def instructions(session: Session, *sentences: str) -> list[str]:
    return [str(turn.content.get("instruction")) for said in sentences for turn in say(session, said)[1]]


def test_a_conversation_about_it(session: Session) -> None:
    assert shown(session) == {"red circle", "blue square"}
    assert instructions(session, "remove the <gizmo>") == ["remove the <gizmo>"]
    assert shown(session) == {"blue square"}
    assert session.now.prompt == "a blue square"
    assert instructions(session, "replace the square with <gizmo>") == ["replace the square with <gizmo>"]
    assert shown(session) == {"red circle"}
    assert session.now.prompt == "a <gizmo>"
    assert instructions(session, "add a <blob:0.5>") == ["add a <blob:0.5>"]
    assert shown(session) == {"red circle", "green triangle"}
    assert session.now.prompt == "a <gizmo> and a <blob:0.5>"
    assert all(each.same for each in finished(session.replay()))


def test_it_may_be_called_it(session: Session) -> None:
    say(session, "replace the square with a <blob>")
    assert instructions(session, "paint it blue") == ["paint the <blob> blue"]


def test_what_it_may_be_is_asked_and_answered_by_its_name(session: Session) -> None:
    _, [asked] = say(session, "remove the triangle")
    assert "<gizmo>" in asked.content["question"]
    assert instructions(session, "the gizmo")[-1] == "remove the <gizmo>"
    assert shown(session) == {"blue square"}


def test_questions_and_looking(session: Session) -> None:
    _, [note] = say(session, "what colour is the <gizmo>?")
    assert note.content["reply"] == "The <gizmo> is red."
    [row] = finished(commands.run(session, "/look <gizmo>"))["regions"]
    assert row["label"] == "red circle"


def test_it_is_rewritten_in_the_prompt(session: Session) -> None:
    session.set("mode", "rewrite")
    _, [turn] = say(session, "make the <gizmo> green")
    assert turn.content["prompt"] == "a green <gizmo:0.9> and a blue square"


def test_forgetting_in_words(session: Session) -> None:
    say(session, "add a <blob>")
    say(session, "paint the square green")
    say(session, "forget the <blob>")
    assert shown(session) == {"red circle", "green square"}


def test_a_concept_that_is_gone_does_not_stop_the_conversation(session: Session) -> None:
    tools = session.bench.tools
    assert isinstance(tools, PaintersTools)
    tools.shelf.clear()
    say(session, "paint the square green")
    with pytest.raises(BadInput, match="no concept"):
        say(session, "add a <blob>")
    say(session, "start over with a red square")
