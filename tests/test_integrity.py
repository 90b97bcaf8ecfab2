"""Content integrity by hand-worked examples, and what must hold of it whatever the texts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.integrity import THRESHOLD, PrefixIntegrity, ci_score, covered, integrity, reference, retained
from limner.world.instructions import world_rows

X_O, ASKED, Y_O = "a horse running in a field", "turn the horse into a zebra", "a zebra running in a large field"
WANTED = reference(X_O, ASKED, Y_O)
ROWS = list(world_rows(60, 5))
WORDS = st.lists(
    st.sampled_from("zebra horse running large big field red cars, two 2 and. in the (snow:1.2)".split()), max_size=12
)


def test_what_the_instruction_brings_in_is_highlighted() -> None:
    """Four keywords, one of them highlighted, as in the notes on Listing 1."""
    assert [term.lemma for term in WANTED.keywords] == ["zebra", "run", "large", "field"]
    assert WANTED.highlighted == (True, False, False, False)


def test_what_was_there_before_is_not_highlighted_though_the_instruction_names_it() -> None:
    wanted = reference("a blue car", "make the car red", "a red car")
    assert [term.lemma for term in wanted.keywords] == ["red", "car"]
    assert wanted.highlighted == (True, False)


@pytest.mark.parametrize(
    ("y", "listing", "weighted"),
    [
        ("a zebra, a field", Fraction(3, 4), Fraction(3, 5)),
        ("a zebra, a large field", Fraction(1), Fraction(4, 5)),  # the new word pays for a missing one
        ("a zebra running, a large field", Fraction(1), Fraction(1)),  # never over 1
        ("a horse running in a large field", Fraction(3, 4), Fraction(3, 5)),
        ("a horse", Fraction(0), Fraction(0)),
        ("", Fraction(0), Fraction(0)),
    ],
)
def test_worked_examples(y: str, listing: Fraction, weighted: Fraction) -> None:
    assert integrity(WANTED, y) == float(listing)
    assert integrity(WANTED, y, weighted=True) == float(weighted)


def test_a_synonym_of_a_highlighted_word_counts_twice_too() -> None:
    """The listing looks for the synonym among the highlighted words, where it never is."""
    wanted = reference("a boat on the sea", "replace the boat with a car", "a car on the sea at night")
    assert wanted.highlighted == (True, False, False)
    assert integrity(wanted, "an automobile") == integrity(wanted, "a car") == pytest.approx(2 / 3)


def test_numbers_in_figures_and_in_words_are_the_same() -> None:
    wanted = reference("a fox", "make it two foxes", "two foxes")
    assert integrity(wanted, "2 foxes, 4k") == 1
    assert integrity(reference("a fox", "make it 2 foxes", "2 foxes"), "two foxes") == 1


def test_the_threshold_takes_what_is_too_little() -> None:
    assert THRESHOLD == 0.7
    assert ci_score(X_O, ASKED, Y_O, "a zebra, a field") == 0.75
    assert ci_score(X_O, ASKED, Y_O, "a zebra") == 0.0
    assert ci_score(X_O, ASKED, Y_O, "a zebra", thres=0) == 0.5
    assert integrity(reference("", "", "ten words: " + " ".join("abcdefgh")), "") == 0.0


def test_exactly_the_threshold_passes() -> None:
    wanted = reference("", "", "fox, cat, dog, lion, bear, frog, owl, bee, cow, pig")
    assert len(wanted.keywords) == 10
    assert integrity(wanted, "fox cat dog lion bear frog owl", threshold=THRESHOLD) == 0.7
    assert integrity(wanted, "fox cat dog lion bear frog", threshold=THRESHOLD) == 0.0


@pytest.mark.parametrize("y_o", ["", "it", "the of in"])
def test_without_a_keyword_nothing_can_be_missing(y_o: str) -> None:
    assert ci_score("a", "b", y_o, "") == 1.0
    assert PrefixIntegrity(reference("a", "b", y_o)).over(["x"]) == [1.0]


def test_the_share_of_keywords_that_a_long_prompt_keeps() -> None:
    assert retained("a red fox in the snow", "crimson fox, snow, highly detailed") == 1
    assert retained("a red fox in the snow", "a fox in a wood") == pytest.approx(1 / 3)


def test_covered_tells_which() -> None:
    assert covered(WANTED, "big zebra") == (True, False, True, False)


@settings(max_examples=80, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_it_lies_between_0_and_1_and_only_rises_with_more_words(
    x_o: list[str], i: list[str], y_o: list[str], y: list[str]
) -> None:
    wanted = reference(" ".join(x_o), " ".join(i), " ".join(y_o))
    scores = [integrity(wanted, " ".join(y[:end])) for end in range(len(y) + 1)]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores)
    assert integrity(wanted, " ".join(y_o)) == 1.0


@settings(max_examples=80, deadline=None)
@given(WORDS, WORDS, st.data())
def test_pieces_of_any_length_come_to_the_same_as_the_whole(y_o: list[str], y: list[str], data: st.DataObject) -> None:
    wanted, text = reference("", " ".join(y_o[:3]), " ".join(y_o)), " ".join(y)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    scores = PrefixIntegrity(wanted).over(pieces)
    assert len(scores) == len(pieces)
    assert scores == sorted(scores)
    assert scores[-1] == integrity(wanted, text)


def test_a_word_counts_when_it_is_finished() -> None:
    wanted = reference("a dog", "make it a fox", "a fox")
    assert PrefixIntegrity(wanted).over([" a", " fox", "glove", " or", " fox", "es"]) == [0, 0, 0, 0, 0, 1]
    assert PrefixIntegrity(wanted).over([" a", " fox", ",", " x"]) == [0, 0, 1, 1]


def test_prefixes_that_end_with_a_word_score_as_the_whole_does() -> None:
    for row in ROWS:
        wanted = reference(row.x_o, row.i, row.reference)
        said = row.y.split(" ")
        scores = PrefixIntegrity(wanted).over([f"{word} " for word in said])
        assert scores == [integrity(wanted, " ".join(said[:end])) for end in range(1, len(said) + 1)]


def test_a_threshold_holds_for_prefixes_as_well() -> None:
    plain = PrefixIntegrity(WANTED).over(["a field ", "zebra ", "running "])
    assert plain == [0.25, 0.75, 1.0]
    assert PrefixIntegrity(WANTED, threshold=0.8).over(["a field ", "zebra ", "running "]) == [0, 0, 1.0]
    assert PrefixIntegrity(WANTED, weighted=True).over(["a field ", "zebra "]) == [0.2, 0.6]
