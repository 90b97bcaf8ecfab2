"""A session's tree, read: where one stands, what belongs together, and how turns are named."""

from __future__ import annotations

from typing import Any

import pytest

from limner.commands import tree_lines
from limner.history import (
    find,
    group_at,
    headline,
    now_at,
    prompt_difference,
    spoken_of,
    tree,
    turn_report,
    utterances,
)
from limner.perform import Now
from limner.turn import Turn, TurnKind
from limner.types import BadInput
from limner.world.dialogue import Utterance


def chain(*said: tuple[TurnKind, dict[str, Any]]) -> list[Turn]:
    """Turns below each other."""
    turns: list[Turn] = []
    for kind, content in said:
        turns.append(Turn(turns[-1].id if turns else None, kind, content))
    return turns


def draw(prompt: str, seed: int = 7, said: str = "") -> tuple[TurnKind, dict[str, Any]]:
    recipe = {"seed": seed}
    return "draw", {"said": said or prompt, "prompt": prompt, "picture": f"picture of {prompt}", "recipe": recipe}


def rewrite(instruction: str, prompt: str, seed: int = 7, said: str = "") -> tuple[TurnKind, dict[str, Any]]:
    return "rewrite", {**draw(prompt, seed)[1], "said": said or instruction, "instruction": instruction}


def edit(instruction: str, prompt: str, kind: str = "recolour", said: str = "") -> tuple[TurnKind, dict[str, Any]]:
    change = {"kind": kind}
    made = {"said": said or instruction, "instruction": instruction, "prompt": prompt, "picture": f"edit to {prompt}"}
    return "edit", {**made, "change": change, "from": "the one before", "seed": 99}


def ask(said: str, question: str) -> tuple[TurnKind, dict[str, Any]]:
    return "ask", {"said": said, "question": question, "choices": []}


def answer(said: str) -> tuple[TurnKind, dict[str, Any]]:
    return "answer", {"said": said}


def note(said: str) -> tuple[TurnKind, dict[str, Any]]:
    return "note", {"said": said, "reply": "I see a car."}


TALK = chain(
    draw("two cars"),
    ask("paint the car blue", "Which car?"),
    ask("hm", "Which car?"),
    answer("the left one"),
    edit("paint the left car blue", "a blue car and a car"),
    note("what do you see?"),
    rewrite("make it night", "a blue car and a car at night"),
    draw("a fox", 8),
    edit("make the fox red", "a red fox"),
)


@pytest.mark.parametrize(
    ("turns", "now"),
    [
        (0, Now()),
        (1, Now("two cars", "picture of two cars", 7, depth=1)),
        (4, Now("two cars", "picture of two cars", 7, depth=4)),
        (
            5,
            Now("a blue car and a car", "edit to a blue car and a car", 7, True, "the one before", "recolour", depth=5),
        ),
        (7, Now("a blue car and a car at night", "picture of a blue car and a car at night", 7, depth=7)),
        (8, Now("a fox", "picture of a fox", 8, depth=8)),
        (9, Now("a red fox", "edit to a red fox", 8, True, "the one before", "recolour", depth=9)),
    ],
)
def test_where_a_conversation_stands(turns: int, now: Now) -> None:
    assert now_at(TALK[:turns]) == now


def test_a_question_alone_is_no_picture() -> None:
    assert now_at(chain(ask("hello", "What should I draw?"))) == Now(depth=1)


def test_what_was_said_since_the_last_picture_was_drawn() -> None:
    assert utterances(TALK[:7]) == [
        Utterance("user", "paint the car blue"),
        Utterance("system", "Which car?"),
        Utterance("user", "hm"),
        Utterance("system", "Which car?"),
        Utterance("user", "the left one"),
        Utterance("system", "[EDIT] paint the left car blue"),
        Utterance("user", "make it night"),
        Utterance("system", "[EDIT] make it night"),
    ]
    assert utterances(TALK[:8]) == []
    assert [each.text for each in utterances(TALK)] == ["make the fox red", "[EDIT] make the fox red"]


def test_user_and_system_speak_in_turn() -> None:
    for end in range(len(TALK) + 1):
        speakers = [each.speaker for each in utterances(TALK[:end])]
        assert speakers == ["user", "system"] * (len(speakers) // 2) + ["user"] * (len(speakers) % 2)


@pytest.mark.parametrize(
    ("index", "group"), [(0, "0"), (1, "1234"), (2, "1234"), (3, "1234"), (4, "1234"), (5, "5"), (6, "6"), (8, "8")]
)
def test_question_answer_and_what_came_of_it_belong_together(index: int, group: str) -> None:
    assert list(group_at(TALK, index)) == [int(each) for each in group]


def test_a_question_that_nobody_answered_stands_alone() -> None:
    path = chain(draw("two cars"), ask("paint it", "Which?"), draw("a fox"), ask("paint it", "Which?"), note("what?"))
    assert [len(group_at(path, index)) for index in range(len(path))] == [1] * 5


BRANCHES = {"night": TALK[6].id, "fox": TALK[8].id, "12": TALK[0].id}


def test_a_turn_is_named_by_number_branch_or_the_beginning_of_its_id() -> None:
    assert find(TALK, BRANCHES, "5") is TALK[4]
    assert find(TALK, BRANCHES, "night") is TALK[6]
    assert find(TALK, BRANCHES, "12") is TALK[0]
    assert find(TALK, BRANCHES, TALK[3].id) is TALK[3]
    assert find(TALK, BRANCHES, TALK[3].id[:12]) is TALK[3]


@pytest.mark.parametrize("named", ["", "0", "99", "-1", "nowhere", TALK[3].id[:3]])
def test_what_names_no_turn_is_bad_input(named: str) -> None:
    with pytest.raises(BadInput, match=f"no turns are called «{named}»"):
        find(TALK, BRANCHES, named)


def test_the_beginning_of_several_ids_names_none() -> None:
    known: dict[str, list[Turn]] = {}
    for number in range(5000):
        turn = Turn(None, "note", {"said": str(number)})
        known.setdefault(turn.id[:4], []).append(turn)
    start, twins = next((start, turns) for start, turns in known.items() if len(turns) == 2)
    with pytest.raises(BadInput, match="2 turns are called"):
        find(twins, {}, start)
    assert find(twins, {}, twins[0].id[:16]) is twins[0]


SPOKEN = chain(
    draw("a fox and a dog"),
    edit("paint the dog red", "a fox and a red dog", said="paint the animal on the left red, then add a cat"),
    edit("add a cat", "a fox, a red dog and a cat", said="paint the animal on the left red, then add a cat"),
    rewrite("make it night", "a fox, a red dog and a cat at night", said="make it dark"),
)


@pytest.mark.parametrize(
    ("words", "index"),
    [
        ("the cat", 2),
        ("the dog", 1),
        ("the red dog", 1),
        ("painting", 1),
        ("the animal", 2),
        ("the night", 3),
        ("dark", 3),
        ("that", 3),
    ],
)
def test_what_was_spoken_of_is_found(words: str, index: int) -> None:
    assert spoken_of(SPOKEN, words) is SPOKEN[index]


def test_a_later_picture_may_be_forgotten_but_not_the_first() -> None:
    assert spoken_of(TALK, "the fox") is TALK[8]
    assert spoken_of(TALK[:8], "the fox") is TALK[7]
    with pytest.raises(BadInput, match="«the fox» belongs to the first picture"):
        spoken_of(SPOKEN, "the fox")


@pytest.mark.parametrize("path", [[], SPOKEN])
def test_what_nobody_spoke_of_is_said(path: list[Turn]) -> None:
    with pytest.raises(BadInput, match="nothing was said of «the castle» here"):
        spoken_of(path, "the castle")


ASIDE = Turn(TALK[0].id, *edit("make it rain", "two cars in the rain"))
TREE = tree([*TALK[:2], ASIDE], ASIDE.id, {"rain": ASIDE.id, "wet": ASIDE.id})


def test_a_tree_has_numbers_names_and_where_one_is() -> None:
    [root] = TREE
    assert (root.number, root.turn, root.names, root.current) == (1, TALK[0], (), False)
    assert [child.number for child in root.children] == [2, 3]
    assert root.children[1].names == ("rain", "wet")
    assert [child.current for child in root.children] == [False, True]
    assert tree([], None, {}) == ()


def test_a_tree_is_drawn_with_its_forks_moved_in() -> None:
    below = Turn(TALK[1].id, *answer("the left one"))
    nodes = tree([*TALK[:2], ASIDE, below], below.id, {"rain": ASIDE.id})
    assert list(tree_lines(nodes)) == [
        "1. draw: two cars",
        "├ 2. asked: Which car?",
        "│ 4. answered: the left one  ← here",
        "└ 3. edit: make it rain [rain]",
    ]


def test_a_long_talk_is_a_tree_too() -> None:
    turns = chain(draw("a fox"), *[note(str(number)) for number in range(3000)])
    [node] = tree(turns, turns[-1].id, {})
    depth = 1
    while node.children:
        [node] = node.children
        depth += 1
    assert depth == 3001
    assert node.current


@pytest.mark.parametrize(
    ("turn", "line"),
    [
        (draw("a fox"), "draw: a fox"),
        (rewrite("make it night", "a fox at night"), "rewrite: make it night"),
        (edit("make it red", "a red fox"), "edit: make it red"),
        (("edit", {**edit("make it red", "a red fox")[1], "passed": False}), "edit: make it red (not quite)"),
        (ask("paint it", "Which?"), "asked: Which?"),
        (answer("the left one"), "answered: the left one"),
        (note("what is there?"), "note: what is there?"),
    ],
)
def test_a_headline_says_what_a_turn_was(turn: tuple[TurnKind, dict[str, Any]], line: str) -> None:
    assert headline(Turn(None, *turn)) == line


def test_a_report_holds_all_of_a_turn() -> None:
    turn = Turn(TALK[0].id, "note", {"said": "what?"}, 1.5, 1e9)
    assert turn_report(turn, 1) == {
        "id": turn.id,
        "kind": "note",
        "headline": "note: what?",
        "parent": 1,
        "seconds": 1.5,
        "created": 1e9,
        "content": {"said": "what?"},
    }


def test_two_turns_differ_in_the_prompts_of_their_pictures() -> None:
    assert prompt_difference(TALK, TALK[3], TALK[6]) == [
        ("out", "two cars"),
        ("in", "a blue car and a car at night"),
    ]
    assert prompt_difference(TALK, TALK[4], TALK[5]) == [("same", "a blue car and a car")]
