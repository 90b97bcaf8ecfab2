"""Strange words: what stands in for a known word, and that nothing which training is never to see comes of it."""

from __future__ import annotations

import re
from random import Random

from limner.backends.pairs import pairs
from limner.train.dialogue import new_tokenizer, world_dialogues
from limner.train.strange import STRANGE_COLOURS, common_words, exchanged, nouns, stranger
from limner.train.strange_turns import ANSWERS, estranged, is_answer, learned_samples
from limner.world.vocabulary import COLOURS, CONCEPTS

DIALOGUES = world_dialogues(300, "strange")
TURNS = list(pairs(DIALOGUES))


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text))


def test_a_word_is_exchanged_throughout_with_its_plural_and_article() -> None:
    texts = ("an owl, two owls and a red owl", "replace the owl with an owl", "a howl")
    assert exchanged(texts, "owl", "banjo") == [
        "a banjo, two banjos and a red banjo",
        "replace the banjo with a banjo",
        "a howl",
    ]
    assert exchanged(["a box and two boxes"], "box", "igloo") == ["an igloo and two iglooes"]


def test_no_stranger_names_a_thing_of_the_world() -> None:
    rng = Random(0)
    drawn = {stranger(rng) for _ in range(3000)}
    assert len(drawn) > 1500
    assert not drawn & nouns()
    assert not drawn & {word for each in CONCEPTS.values() for word in words(f"{each.name} {each.general}")}
    assert not drawn & {*COLOURS, *STRANGE_COLOURS, "make", "remove", "left", "the", "night"}
    assert drawn & set(common_words())
    assert drawn - set(common_words())


def test_what_is_said_of_a_strange_thing_stands_in_what_was_read() -> None:
    rng = Random(1)
    strange = [(old, estranged(*old, rng)) for old in TURNS]
    changed = [(old, new) for old, new in strange if old != new]
    assert len(changed) > len(TURNS) / 2
    for (read, say), (new_read, new_say) in changed:
        added = words(new_say) - words(say)
        assert added <= words(new_read) | {"a", "an"}
        assert not added & (nouns() | set(COLOURS))
        assert len(words(new_read) - words(read) - {"a", "an"}) <= 2


def test_a_kind_of_thing_is_never_asked_of_a_strange_word() -> None:
    rng = Random(2)
    kept = [turn for turn in TURNS if "animal" in words(turn[0])]
    assert kept
    assert all(estranged(*turn, rng) == turn for turn in kept)


def test_what_settles_a_question_is_told_from_other_turns() -> None:
    for dialogue in DIALOGUES:
        asked = False
        for exchange, (read, say) in zip(dialogue.exchanges(), pairs([dialogue]), strict=True):
            assert is_answer(read, say) == (asked and bool(exchange.instruction))
            asked = exchange.asks


def test_answers_are_learned_several_times_and_a_share_is_strange() -> None:
    tokenizer = new_tokenizer(DIALOGUES, 500)
    plain, strange = (learned_samples(tokenizer, DIALOGUES, share) for share in (0.0, 0.5))
    answers = sum(is_answer(*turn) for turn in TURNS)
    assert answers > len(TURNS) / 10
    assert len(plain) == len(strange) == len(TURNS) + (ANSWERS - 1) * answers
    share = sum(a != b for a, b in zip(plain, strange, strict=True)) / len(plain)
    assert 0.2 < share < 0.6
