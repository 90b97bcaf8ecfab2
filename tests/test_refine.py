"""The rules of GPTDrawer, each by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.refine import (
    HEAVIEST,
    KEPT_SEEDS,
    SEEDS,
    Drawn,
    Trial,
    Variant,
    choose_best,
    choose_next,
    emphasise,
    plan_pictures,
    promising_seeds,
    raise_weights,
    rank,
    refine,
    reworded,
    said_first,
    shortfall,
    variants,
)
from limner.types import Keyword, Picture, Recipe, Scorecard

_FOX, _CASTLE = Keyword("fox", "fox"), Keyword("castle", "castle")


def _drawn(*scores: float, seed: int = 0, overall: float = 0.0, prompt: str = "p", kept: bool = False) -> Drawn:
    names = [f"k{i}" for i in range(len(scores))]
    card = Scorecard(dict(zip(names, scores, strict=True)), dict.fromkeys(names, 0.2), overall)
    recipe = Recipe(prompt, seed, steps=1, guidance=1.0, width=1, height=1, model="m")
    blank = Picture(np.zeros((1, 1, 3), np.uint8))
    return Drawn(blank, recipe, card, prompt, np.zeros(1, np.float32), kept)


_cosines = st.floats(-1, 1, width=32)
_pictures = st.lists(st.tuples(_cosines, _cosines, _cosines), min_size=1, max_size=8)


@given(_pictures)
def test_no_picture_lacks_less_or_as_much_with_a_better_least_keyword(rows: list[tuple[float, ...]]) -> None:
    pictures = [_drawn(*row) for row in rows]
    best, fewest = choose_best(pictures), min(len(drawn.card.missing) for drawn in pictures)
    assert len(best.card.missing) == fewest
    alike = [drawn.card.margin for drawn in pictures if len(drawn.card.missing) == fewest]
    assert min(best.card.margin, 0) == min(max(alike), 0)


def test_one_keyword_that_is_far_off_is_better_than_two_that_are_near() -> None:
    assert choose_best([_drawn(0.19, 0.19, 0.5), _drawn(0.0, 0.5, 0.5)]).card.scores["k1"] == 0.5


@given(_pictures)
def test_a_picture_that_passes_beats_one_that_does_not(rows: list[tuple[float, ...]]) -> None:
    pictures = [_drawn(*row) for row in rows]
    assert choose_best(pictures).card.passed == any(drawn.card.passed for drawn in pictures)


@given(_pictures, st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order(rows: list[tuple[float, ...]], random: Random) -> None:
    pictures = [_drawn(*row) for row in rows]
    shuffled = random.sample(pictures, len(pictures))
    assert rank(choose_best(pictures).card) == rank(choose_best(shuffled).card)


def test_ties_go_to_the_mean_then_to_the_whole_prompt_then_to_the_first() -> None:
    assert choose_best([_drawn(0.3, 0.3), _drawn(0.3, 0.5)]).card.scores["k1"] == 0.5
    assert choose_best([_drawn(0.1, 0.3), _drawn(0.1, 0.5)]).card.scores["k1"] == 0.5
    assert choose_best([_drawn(0.3, overall=0.1), _drawn(0.3, overall=0.2)]).card.overall == 0.2
    assert choose_best([_drawn(0.3, seed=1), _drawn(0.3, seed=2)]).recipe.seed == 1


def test_of_pictures_that_pass_the_mean_decides_and_not_the_least() -> None:
    assert choose_best([_drawn(0.25, 0.25), _drawn(0.21, 0.9)]).card.scores["k1"] == 0.9


def test_a_strong_keyword_does_not_hide_a_missing_one() -> None:
    assert choose_best([_drawn(0.9, 0.1), _drawn(0.21, 0.21)]).card.passed


@given(_pictures)
def test_nothing_falls_short_exactly_when_the_picture_passes(rows: list[tuple[float, ...]]) -> None:
    for card in [_drawn(*row).card for row in rows]:
        assert (shortfall(card) == 0.0) == card.passed
        assert shortfall(card) <= 0.0


def test_only_missing_keywords_grow_heavier_and_not_for_ever() -> None:
    keywords = (_FOX, _CASTLE)
    for _ in range(10):
        keywords = raise_weights(keywords, ["castle"])
    assert [k.weight for k in keywords] == [1.0, HEAVIEST]


def _shout(texts: Sequence[str]) -> list[str]:
    return [text.upper() for text in texts]


def test_refinement_takes_turns_and_remembers_what_the_user_said() -> None:
    heavier = refine((_FOX, _CASTLE), ["fox"], 1, _shout)
    broader = refine(heavier, ["fox"], 2, _shout)
    assert heavier == (Keyword("fox", "fox", 1.1), _CASTLE)
    assert broader == (Keyword("FOX", "fox", 1.1), _CASTLE)


def test_weights_stand_in_the_sentence_where_the_words_are() -> None:
    keywords = raise_weights((_FOX, _CASTLE), ["fox"])
    assert emphasise("a fox by a castle", keywords) == "a (fox:1.1) by a castle"


def test_the_raw_description_is_always_offered_first_and_no_prompt_twice() -> None:
    keywords = (_FOX, _CASTLE)
    assert variants("a fox by a castle", keywords, ()) == [Variant("description", "a fox by a castle")]
    unraised = variants("a fox by a castle", keywords, ["castle"])
    assert [v.name for v in unraised] == ["description", "said first"]
    offered = variants(
        "a fox by a castle", raise_weights(keywords, ["castle"]), ["castle"], (_FOX, Keyword("house", "castle"))
    )
    assert [v.prompt for v in offered] == [
        "a fox by a castle",
        "a castle, a fox by a castle",
        "a fox by a (castle:1.1)",
        "a castle, a fox by a (castle:1.1)",
        "a fox by a house",
    ]


@pytest.mark.parametrize(
    ("sentence", "missing", "said"),
    [
        ("An owl on a red house", ["red house"], "a red house, An owl on a red house"),
        ("an (owl:1.1) in the snow", ["owl", "snow"], "an owl, the snow, an (owl:1.1) in the snow"),
        ("two owls at night", ["owls", "fog"], "owls, fog, two owls at night"),
        (r"a cat \(grey\)", ["cat (grey)"], r"a cat \(grey\), a cat \(grey\)"),
    ],
)
def test_what_is_missing_is_said_first_as_it_was_said(sentence: str, missing: list[str], said: str) -> None:
    assert said_first(sentence, missing) == said


def test_every_choice_is_tried_before_any_is_trusted() -> None:
    assert choose_next(["a", "b", "c"], [Trial("a", 5.0)]) == "b"
    assert choose_next(["a", "b", "c"], [Trial("a", 5.0)], ["b"]) == "c"


@pytest.mark.parametrize("seed", range(5))
def test_the_better_choice_gets_most_of_the_pictures_and_the_other_a_second_chance(seed: int) -> None:
    luck = np.random.default_rng(seed)
    trials: list[Trial] = []
    for _ in range(100):
        choice = choose_next(["plain", "better"], trials)
        trials.append(Trial(choice, luck.normal(0.2 if choice == "better" else 0.0, 0.2)))
    tries = Counter(trial.choice for trial in trials)
    assert tries["better"] > 70
    assert tries["plain"] >= 2


def test_one_batch_is_shared_out_when_nothing_is_known() -> None:
    plans = plan_pictures([Variant("a", "a"), Variant("b", "b")], [], 7, 4)
    assert [(p.variant.name, p.seed) for p in plans] == [("a", 7), ("b", 8), ("a", 9), ("b", 10)]


def test_promising_seeds_are_those_that_lack_least() -> None:
    pictures = [_drawn(-0.9, 0.5, 0.5, seed=1), _drawn(0.1, 0.1, 0.1, seed=2), _drawn(0.3, 0.1, 0.5, seed=3)]
    assert promising_seeds(pictures, 2) == [3, 2]


@given(st.lists(st.tuples(_cosines, st.integers(0, 5), st.sampled_from("pq")), max_size=20), st.integers(1, 8))
def test_no_picture_is_planned_that_was_drawn_before(rows: list[tuple[float, int, str]], number: int) -> None:
    before = [_drawn(score, seed=100 + seed, prompt=prompt, kept=i > 0) for i, (score, seed, prompt) in enumerate(rows)]
    plans = plan_pictures([Variant("p", "p"), Variant("q", "q")], before, 500, number)
    pairs = [(p.seed, p.variant.prompt) for p in plans]
    assert len(set(pairs)) == number
    assert not {(d.recipe.seed, d.recipe.prompt) for d in before} & set(pairs)
    assert {p.seed for p in plans if p.kept} <= set(promising_seeds(before, KEPT_SEEDS))


def test_seeds_wrap_around() -> None:
    plans = plan_pictures([Variant("a", "a")], [], SEEDS - 1, 2)
    assert [p.seed for p in plans] == [SEEDS - 1, 0]


def test_there_is_no_best_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        choose_best([])


@pytest.mark.parametrize(
    ("sentence", "keywords", "said"),
    [
        ("A red fox by a foxglove", [Keyword("animal", "red fox"), _CASTLE], "A animal by a foxglove"),
        ("a (red fox:1.2) runs", [Keyword("cat (big)", "red fox")], r"a (cat \(big\):1.2) runs"),
        ("a fox", [_FOX, Keyword("house", "castle")], "a fox"),
    ],
)
def test_broader_words_stand_where_the_words_were(sentence: str, keywords: list[Keyword], said: str) -> None:
    assert reworded(sentence, keywords) == said
