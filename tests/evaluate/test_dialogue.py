"""The dialogue table: one who knows all is perfect, one who only asks or never asks is told apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from limner.evaluate.dialogue import (
    Clarify,
    DialogueRow,
    ReplyLike,
    clarify_by,
    evaluate_dialogue,
    held_out_dialogues,
    slots,
)
from limner.seen import Seen
from limner.types import LanguageModelFailed
from limner.world.dialogue import KINDS, UNDO, Dialogue, Utterance
from tests.scripted import Scripted

DIALOGUES = held_out_dialogues(60)
ANSWERS = {(turn.seen, turn.history, turn.said): turn for dialogue in DIALOGUES for turn in dialogue.exchanges()}


@dataclass(frozen=True, slots=True)
class Reply:
    instruction: str = ""
    question: str = ""
    undo: bool = False


def always(reply: Reply) -> Clarify:
    def clarify(*_: object) -> Reply:
        return reply

    return clarify


def knowing(seen: Sequence[Seen], history: Sequence[Utterance], said: str) -> ReplyLike:
    turn = ANSWERS[tuple(seen), tuple(history), said]
    return Reply(turn.instruction, turn.reply if turn.asks else "", turn.reply == UNDO)


def scores(rows: list[DialogueRow]) -> dict[str, float]:
    return {row.measure: row.score for row in rows}


def test_who_knows_all_is_perfect() -> None:
    rows = evaluate_dialogue(knowing, DIALOGUES, perplexity=lambda dialogues: float(len(dialogues)))
    expected = {"clear asked": 0.0, "perplexity": 60.0}
    assert scores(rows) == {row.measure: expected.get(row.measure, 1.0) for row in rows}
    counts = {row.measure: row.count for row in rows}
    assert counts["final instruction, slots right"] == 60
    assert sum(counts[f"slots right, {kind}"] for kind in KINDS) == 60
    assert counts["ambiguous asked"] + counts["clear asked"] == len(ANSWERS)


def test_who_always_asks() -> None:
    found = scores(evaluate_dialogue(always(Reply(question="What?")), DIALOGUES))
    assert (found["ambiguous asked"], found["clear asked"]) == (1.0, 1.0)
    assert found["slots right, every turn"] == found["final instruction exact"] == 0.0
    assert "perplexity" not in found


def test_who_never_asks() -> None:
    found = scores(evaluate_dialogue(lambda _seen, _history, said: Reply(instruction=said), DIALOGUES))
    assert (found["ambiguous asked"], found["clear asked"]) == (0.0, 0.0)
    assert 0 < found["slots right, every turn"] < 0.6


def test_other_words_that_mean_the_same_are_right_but_not_exact() -> None:
    def rephrasing(seen: Sequence[Seen], history: Sequence[Utterance], said: str) -> ReplyLike:
        reply = knowing(seen, history, said)
        return Reply(reply.instruction.replace("remove the ", "Please delete the "), reply.question, reply.undo)

    found = scores(evaluate_dialogue(rephrasing, DIALOGUES))
    assert found["final instruction, slots right"] == 1.0
    assert found["final instruction exact"] < 1.0


def test_a_failure_is_wrong_and_not_asked() -> None:
    def failing(*_: object) -> ReplyLike:
        raise LanguageModelFailed("unplugged")

    found = scores(evaluate_dialogue(failing, DIALOGUES))
    assert found["ambiguous asked"] == found["clear asked"] == found["slots right, every turn"] == 0.0


def test_taking_back_must_be_said() -> None:
    forget = [dialogue for dialogue in DIALOGUES if dialogue.utterances[-1].text == UNDO]
    assert forget
    assert scores(evaluate_dialogue(always(Reply(undo=True)), forget))["final instruction exact"] == 1.0
    assert scores(evaluate_dialogue(always(Reply("make it night")), forget))["final instruction exact"] == 0.0


def test_a_language_model_is_asked_with_what_is_seen_and_was_said() -> None:
    model = Scripted(json.dumps({"question": "Which?", "choices": ["a"]}))
    reply = clarify_by(model)(
        [Seen("car", "red", "left")], [Utterance("user", "hi"), Utterance("system", "Yes?")], "go"
    )
    assert (reply.question, reply.instruction, reply.undo) == ("Which?", "", False)
    assert model.asked == [
        {
            "task": "clarify",
            "seen": ["red car on the left"],
            "history": [{"speaker": "user", "text": "hi"}, {"speaker": "system", "text": "Yes?"}],
            "said": "go",
        }
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_dialogues_are_the_same_each_time(seed: int) -> None:
    first: list[Dialogue] = held_out_dialogues(3, seed=seed)
    assert first == held_out_dialogues(3, seed=seed)
    assert first != held_out_dialogues(3, seed=seed + 1)


def test_slots() -> None:
    assert slots("Paint the Car blue.") == slots("make the car blue") == ("recolour", "car", "blue", "")
    assert slots("") is None
