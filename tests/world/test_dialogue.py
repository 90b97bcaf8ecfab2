"""Dialogues: every settled turn is understood, questions come just where they must, and no split is crossed."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.instruction import parse_instruction
from limner.seen import Seen
from limner.types import BadInput
from limner.world.dialogue import (
    EDIT,
    KINDS,
    UNDO,
    Dialogue,
    DialogueKind,
    Utterance,
    from_json,
    sample_dialogue,
    to_json,
)
from limner.world.vocabulary import binding_held_out, concept, pair_held_out

SEEDS = st.integers(0, 2**32)
MANY = [sample_dialogue(Random(seed), held_out=seed % 4 == 0) for seed in range(3000)]


def test_every_settled_turn_is_understood_and_every_dialogue_ends_in_one() -> None:
    for dialogue in MANY:
        turns = list(dialogue.exchanges())
        assert not turns[-1].asks
        for turn in turns:
            if turn.asks:
                assert turn.reply.endswith("?")
            elif turn.instruction:
                change = parse_instruction(turn.instruction)
                assert change.target or change.value
            else:
                assert turn.reply == UNDO


def test_what_is_changed_is_named_so_that_it_is_seen_once() -> None:
    """«remove the left car»: of all things seen, one only has this place, colour and name."""
    kinds = set[str]()
    for turn in (turn for dialogue in MANY for turn in dialogue.exchanges() if turn.instruction):
        change = parse_instruction(turn.instruction)
        kinds.add(change.kind)
        if change.target:
            assert turn.seen is not None
            assert len([each for each in turn.seen if fits(change.target, each)]) == 1
    assert len(kinds) == 8


def fits(words: str, thing: Seen) -> bool:
    left = words.removesuffix(thing.name)
    return left != words and set(left.split()) <= {thing.colour, thing.where}


def test_kinds_ask_as_their_names_say() -> None:
    for dialogue in MANY:
        asked = [turn.asks for turn in dialogue.exchanges()]
        settled = asked.count(False)
        assert asked[0] or dialogue.kind != "ambiguous"
        assert not any(asked) or dialogue.kind != "clear"
        assert settled == 1 or dialogue.kind in ("several", "forget")
        assert any(u.text == UNDO for u in dialogue.utterances) == (dialogue.kind == "forget")
        assert settled > 1 or dialogue.kind != "several"


def test_a_question_offers_only_what_is_seen() -> None:
    questions = [turn for dialogue in MANY for turn in dialogue.exchanges() if turn.asks]
    assert len(questions) > 800
    for turn in questions:
        if "do you mean: " in turn.reply:
            offered = turn.reply.partition(": ")[2].rstrip("?").replace(" or ", ", ").split(", ")
            assert turn.seen is not None
            assert len(offered) > 1
            assert set(offered) <= {f"the {each.text}" for each in turn.seen}


def test_a_clear_request_and_an_unclear_one_never_read_alike() -> None:
    """The same picture, history and words must always get the same reply, or nobody could learn which."""
    replies: dict[object, str] = {}
    for dialogue in MANY:
        for turn in dialogue.exchanges():
            key = turn.seen, turn.history, turn.said
            assert replies.setdefault(key, turn.reply) == turn.reply


def test_what_is_seen_follows_the_edits() -> None:
    for dialogue in MANY:
        turns = list(dialogue.exchanges())
        for now, then in pairwise(turns):
            assert now.seen is not None
            assert then.seen is not None
            if now.asks:
                assert now.seen == then.seen
            elif now.instruction.startswith("remove "):
                assert len(then.seen) == len(now.seen) - 1
            elif now.instruction.startswith("add "):
                assert len(then.seen) == len(now.seen) + 1
            assert len(set(then.seen)) == len(then.seen)


def names_and_bindings(dialogue: Dialogue) -> bool:
    """Whether something held out can be read off what was seen; of colours only those that were put on."""
    for state in dialogue.states:
        if any(pair_held_out(*pair) for pair in combinations(sorted({each.name for each in state}), 2)):
            return True
    return False


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(KINDS))
def test_training_never_sees_what_is_held_out(seed: int, kind: DialogueKind) -> None:
    dialogue = sample_dialogue(Random(seed), kind)
    assert dialogue.kind == kind
    assert not names_and_bindings(dialogue)
    tinted = [s for state in dialogue.states for s in state if s.colour and not concept(s.name).native]
    assert not any(binding_held_out(s.colour, s.name) for s in tinted)


def test_most_of_the_held_out_side_shows_held_out_pairs() -> None:
    held_out = [sample_dialogue(Random(seed), held_out=True) for seed in range(100)]
    assert sum(map(names_and_bindings, held_out)) > 50


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_a_seed_gives_its_dialogue_again_and_json_keeps_it(seed: int) -> None:
    dialogue = sample_dialogue(Random(seed))
    assert sample_dialogue(Random(seed)) == dialogue
    assert from_json(to_json(dialogue)) == dialogue
    assert json.loads(to_json(dialogue)).keys() == {"caption", "kind", "dialogue", "states"}


def test_without_what_was_seen_the_caption_is_all_that_is_known() -> None:
    row = {"caption": "a cat", "dialogue": [{"speaker": "user", "text": "hi"}, {"speaker": "system", "text": "Yes?"}]}
    dialogue = from_json(json.dumps(row))
    assert dialogue == Dialogue("clear", "a cat", (Utterance("user", "hi"), Utterance("system", "Yes?")))
    assert dialogue.seen == ()
    [turn] = dialogue.exchanges()
    assert (turn.seen, turn.history, turn.asks) == (None, (), True)


@pytest.mark.parametrize(
    "line",
    ["", "[]", "{}", '{"caption": "a", "dialogue": []}', '{"caption": "a", "dialogue": [{"speaker": "user"}]}',
     '{"caption": "a", "dialogue": [{"speaker": "system", "text": "a"}, {"speaker": "user", "text": "b"}]}'],
)  # fmt: skip
def test_what_is_no_dialogue_is_refused(line: str) -> None:
    with pytest.raises(BadInput, match="no dialogue"):
        from_json(line)


def test_the_marker_stands_before_instructions_only() -> None:
    told = [turn for dialogue in MANY[:200] for turn in dialogue.exchanges()]
    assert all(turn.reply.startswith(EDIT) == bool(turn.instruction) for turn in told)
