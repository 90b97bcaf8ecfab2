"""Negative samples: one keyword gone or exchanged, and nothing else."""

from __future__ import annotations

from random import Random

from limner.lexicon import Term, accepted, keywords
from limner.train.writer.adm import SHARE, spoil, wordstock

TEXTS = ["two red cars in the snow", "a blue automobile, a large dog", "a fox glows in the desert", "three cats"]
STOCK = wordstock(TEXTS)


def test_the_stock_has_the_words_as_they_are_written() -> None:
    assert ("cars", "car") in STOCK.words["noun"]
    assert {word for word, _ in STOCK.words["number"]} == {"two", "three"}
    assert "red" in {word for word, _ in STOCK.words["adjective"]}


def test_one_keyword_is_gone_or_another_of_its_kind_stands_there() -> None:
    """A replacement is the same part of speech, and never a synonym: «car» would hide nothing as «automobile»."""
    rng, text = Random(0), "two red cars in the snow"
    before = set(keywords(text))
    lost: set[Term] = set()
    found = [spoil(text, STOCK, rng, share=1.0) for _ in range(200)]
    for worse in found:
        assert worse is not None
        gone = before - set(keywords(worse))
        assert len(gone) == 1
        lost |= gone
        here = worse.split()
        assert not (Term("car", "noun") in gone and "automobile" in here)
        assert len(here) in (len(text.split()), len(text.split()) - 1)
    assert lost == before
    shorter = sum(len((worse or "").split()) < 6 for worse in found)
    assert 60 < shorter < 140
    assert any("automobile" in (worse or "") for worse in found)  # in place of the snow
    assert accepted(Term("car", "noun")) >= {"car", "automobile"}


def test_few_texts_are_spoiled() -> None:
    rng = Random(0)
    share = sum(spoil(TEXTS[0], STOCK, rng) is not None for _ in range(4000)) / 4000
    assert abs(share - SHARE) < 0.012


def test_commas_and_blanks_are_tidied() -> None:
    rng = Random(0)
    stock = wordstock(["x"])
    found = {spoil("a fox, snow, night", stock, rng, share=1.0) for _ in range(60)}
    assert "a fox, night" in found
    assert not any(", ," in text or "  " in text or text.endswith(",") for text in found if text)


def test_what_has_no_keyword_is_left() -> None:
    assert spoil("", STOCK, Random(0), share=1.0) is None
    assert spoil("of the and", STOCK, Random(0), share=1.0) is None
