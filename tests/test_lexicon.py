"""Keywords as lemmas with their part of speech, and which words say them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner import wordnet
from limner.lexicon import (
    OWN,
    Lexicon,
    Term,
    accepted,
    default_lexicon,
    forms,
    keywords,
    lemma,
    mentions,
    own_synonyms,
    with_wordnet,
    words,
)
from limner.tagger import Token
from limner.world.instructions import world_rows
from tests.test_wordnet import write


def plain(text: str) -> list[str]:
    return [term.lemma for term in keywords(text)]


def test_content_words_are_kept_as_lemmas_in_order_each_once() -> None:
    assert keywords("Two red foxes are running in the snow, and a red fox") == (
        ("two", "number"),
        ("red", "adjective"),
        ("fox", "noun"),
        ("run", "verb"),
        ("snow", "noun"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a photo of a castle", ["photo", "castle"]),  # what sort of picture it is, is content
        ("a fox to the left of a castle", ["fox", "left", "castle"]),
        ("a fox in front of a castle", ["fox", "castle"]),
        ("make it a painting", ["painting"]),
        ("2 cars", ["two", "car"]),
        ("one fox", ["fox"]),  # «a fox» says it as well
        ("the fox's tail", ["fox", "tail"]),
        ("a lot of sheep and many geese", ["sheep", "goose"]),
        ("there should be something else", []),
        ("(a red fox:1.3) and <gizmo:0.8>", ["red", "fox", "gizmo"]),
        ("", []),
        ("🦊!", []),
    ],
)
def test_keywords(text: str, expected: list[str]) -> None:
    assert plain(text) == expected


def test_every_mention_is_where_it_says() -> None:
    text = "A red car left of two cars"
    found = [(mention.term.lemma, text[mention.start : mention.end]) for mention in mentions(text)]
    assert found == [("red", "red"), ("car", "car"), ("left", "left"), ("two", "two"), ("car", "cars")]


def test_a_verb_form_is_a_noun_where_it_is_one() -> None:
    assert lemma("paintings", "noun") == lemma("painting", "noun") == "painting"
    assert lemma("painting", "verb") == "paint"
    assert lemma("glowing", "adjective") == "glowing"


def test_a_word_has_every_lemma_it_may_have() -> None:
    assert {"glowing", "glow"} <= forms("glowing")
    assert {"snow-covered", "snow", "covered", "cover"} <= forms("snow-covered")
    assert "two" in forms("2")
    assert "fox" in forms("foxes") & forms("fox's")


def test_the_own_table_knows_what_people_say() -> None:
    assert "automobile" in own_synonyms(Term("car", "noun"))
    assert "crimson" in own_synonyms(Term("red", "adjective"))
    assert own_synonyms(Term("fox", "noun")).isdisjoint(own_synonyms(Term("dog", "noun")))
    assert accepted(Term("zyzzyva", "noun")) == {"zyzzyva"}


def test_weights_are_no_words() -> None:
    assert words("(Red fox:1.3), <gizmo:0.8>") == ["red", "fox", "gizmo"]


def test_wordnet_adds_to_the_own_table_by_part_of_speech(tmp_path: Path) -> None:
    lexicon = Lexicon("wordnet", synonyms=with_wordnet(wordnet.reader(write(tmp_path / "dict"))))
    assert {"railcar", "automobile"} <= accepted(Term("car", "noun"), lexicon)
    assert "race" in accepted(Term("run", "verb"), lexicon)
    assert "race" not in accepted(Term("run", "noun"), lexicon)
    assert accepted(Term("two", "number"), lexicon) >= {"two"}


def test_the_default_says_which_dictionary_it_is() -> None:
    assert default_lexicon().name == ("limner" if wordnet.find() is None else "wordnet")


def test_tagger_and_lemmatiser_can_be_exchanged() -> None:
    def tag_all_verbs(text: str) -> list[Token]:
        return [Token(word, 0, 0, "V") for word in text.split()]

    lexicon = Lexicon("mine", tag_all_verbs, lambda word, pos: word[:2], lambda term: frozenset({"synonym"}))
    assert keywords("cats sleep", lexicon) == (("ca", "verb"), ("sl", "verb"))
    assert accepted(Term("ca", "verb"), lexicon) == {"ca", "synonym"}
    assert "sl" in forms("sleep", lexicon)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    for mention in mentions(text):
        assert 0 <= mention.start < mention.end <= len(text)
        assert mention.term.lemma == mention.term.lemma.lower() or mention.term.lemma
    assert keywords(text, OWN) == keywords(text, OWN)


def test_twenty_thousand_prompts_are_a_matter_of_a_minute() -> None:
    prompts = [text for row in world_rows(100, 3) for text in (row.x, row.y)]
    seconds = list[float]()
    for _ in range(3):  # the best of three: other work on the machine must not decide
        began = time.process_time()
        for prompt in prompts:
            keywords(prompt)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 60 * len(prompts) / 20_000
