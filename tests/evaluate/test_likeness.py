"""The measures of one-shot learning against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limner.evaluate.likeness import (
    DETAIL,
    OTHERS,
    average_score,
    detail_score,
    feature_spread,
    image_similarity,
    perceptual_distance,
    style_loss,
    text_similarity,
)

Array = npt.NDArray[np.float64]
POOL = tuple(f"thing{letter}" for letter in "abcdefghijklmnop")
VALUES = st.floats(-10, 10, width=32)
MAPS = hnp.arrays(np.float64, (3, 2, 4), elements=VALUES)


def layer(*channels: Sequence[float]) -> Array:
    """A feature map one pixel high: one row of numbers a channel."""
    return np.array(channels, float)[:, None, :]


RIGHT, UP = layer([1, 1], [0, 0]), layer([0, 0], [1, 1])


def test_equal_pictures_lie_at_no_distance() -> None:
    assert perceptual_distance([[RIGHT, UP]], [[RIGHT, UP]]) == 0
    assert style_loss([[RIGHT, UP]], [[RIGHT, UP]]) == 0


def test_orthogonal_features_lie_two_apart_a_layer_and_opposite_ones_four() -> None:
    assert perceptual_distance([[RIGHT]], [[UP]]) == pytest.approx(2)
    assert perceptual_distance([[RIGHT, RIGHT]], [[UP, UP]]) == pytest.approx(4)
    assert perceptual_distance([[RIGHT]], [[-RIGHT]]) == pytest.approx(4)


def test_places_are_averaged_and_channels_are_not() -> None:
    half = layer([1, 0], [0, 1])  # like RIGHT on the left only
    assert perceptual_distance([[RIGHT]], [[half]]) == pytest.approx(1)
    between = layer([3, 3], [4, 4])  # (0.6, 0.8): 0.4² + 0.8²
    assert perceptual_distance([[RIGHT]], [[between]]) == pytest.approx(0.8)


def test_a_place_where_nothing_fires_counts_as_zeros() -> None:
    assert perceptual_distance([[RIGHT]], [[0 * RIGHT]]) == pytest.approx(1)
    assert perceptual_distance([[0 * RIGHT]], [[0 * RIGHT]]) == 0


@given(MAPS, MAPS, st.floats(0.25, 8))
def test_distance_is_symmetric_bounded_and_blind_to_strength(first: Array, second: Array, strength: float) -> None:
    distance = perceptual_distance([[first]], [[second]])
    assert 0 <= distance <= 4 + 1e-9
    assert perceptual_distance([[second]], [[first]]) == pytest.approx(distance)
    assert perceptual_distance([[first]], [[first]]) == 0
    lit = np.abs(first).max(axis=0).min() > 1e-6
    if lit:
        assert perceptual_distance([[first * strength]], [[second]]) == pytest.approx(distance, abs=1e-6)


def test_one_reference_serves_for_all_pictures() -> None:
    made = [[RIGHT], [UP], [UP]]
    assert perceptual_distance(made, [[RIGHT]]) == pytest.approx(4 / 3)
    assert perceptual_distance(made, [[RIGHT], [UP], [RIGHT]]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("measure", [perceptual_distance, style_loss])
def test_pictures_that_do_not_match_are_refused(measure: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="one real one, or one for each"):
        measure([[RIGHT]] * 3, [[RIGHT]] * 2)
    with pytest.raises(ValueError, match="0 made"):
        measure([], [[RIGHT]])
    with pytest.raises(ValueError):  # noqa: PT011 (zip's own words, which Python may change)
        measure([[RIGHT, UP]], [[RIGHT]])
    with pytest.raises(ValueError, match="maps of"):
        measure([[RIGHT]], [[layer([1, 1])]])


def test_sizes_may_differ_for_textures_only() -> None:
    wide = layer([1, 1, 1], [0, 0, 0])
    assert style_loss([[RIGHT]], [[wide]]) == 0
    with pytest.raises(ValueError, match="maps of shapes"):
        perceptual_distance([[RIGHT]], [[wide]])


def test_the_style_loss_is_the_mean_square_of_grams_per_number() -> None:
    # Grams of (2, 2) maps: [[2, 0], [0, 0]] / 4 and [[0, 0], [0, 2]] / 4; two of four entries differ by a half.
    assert style_loss([[RIGHT]], [[UP]]) == pytest.approx((0.5**2 + 0.5**2) / 4)
    # The second layer is equal, and layers are averaged.
    assert style_loss([[RIGHT, UP]], [[UP, UP]]) == pytest.approx((0.5**2 + 0.5**2) / 8)


@given(MAPS, st.permutations(range(8)))
def test_texture_does_not_ask_where(maps: Array, order: Sequence[int]) -> None:
    moved = maps.reshape(3, -1)[:, list(order)].reshape(maps.shape)
    assert style_loss([[maps]], [[moved]]) == pytest.approx(0, abs=1e-18)


def test_spread_is_the_unbiased_deviation_over_pictures() -> None:
    assert feature_spread(np.array([[0.0, 5.0], [2.0, 5.0]])) == pytest.approx((np.sqrt(2) + 0) / 2)
    assert feature_spread(np.ones((4, 3, 2))) == 0
    rows = np.random.default_rng(0).normal(0, 1.7, (4000, 5, 2))
    assert feature_spread(rows + 40) == pytest.approx(1.7, rel=0.03)


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_has_no_spread(count: int) -> None:
    with pytest.raises(ValueError, match="at least two"):
        feature_spread(np.ones((count, 3)))


def pointing(**directions: Sequence[float]) -> Callable[[Sequence[str]], Array]:
    """An encoder that knows a few words («little_detail») and puts all other texts where nothing points."""
    known = {text.replace("_", " "): vector for text, vector in directions.items()}
    width = len(next(iter(known.values())))
    return lambda texts: np.array([known.get(text, [0.0] * width) for text in texts])


def test_detail_is_the_chance_of_detailed() -> None:
    encode = pointing(detailed=[1, 0], little_detail=[0, 1])
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    sure = 1 / (1 + np.exp(-2.0))
    assert detail_score(rows[:1], encode, scale=2) == pytest.approx(sure)
    assert detail_score(rows[1:], encode, scale=2) == pytest.approx(1 - sure)
    assert detail_score(rows, encode, scale=2) == pytest.approx(0.5)


def test_detail_is_even_for_an_encoder_that_does_not_know_the_words() -> None:
    assert detail_score(np.array([[0.6, 0.8]]), pointing(fox=[1, 0])) == 0.5
    assert DETAIL == ("little detail", "detailed")


@pytest.mark.parametrize("others", [1, 4, OTHERS])
def test_equal_cosines_give_the_chance_level(others: int) -> None:
    rows, encode = np.ones((2, 1)), pointing(nothing=[1])
    score = average_score(rows, ["a fox", "a cat"], [["fox"], ["cat", "snow"]], POOL, encode, others=others)
    assert score == pytest.approx(1 / (others + 1))


def test_what_is_there_scores_one_and_what_is_not_nothing() -> None:
    encode, rows = pointing(fox=[1, 0], snow=[-1, 0]), np.array([[1.0, 0.0]])
    assert average_score(rows, ["a fox"], [["fox"]], POOL, encode) == pytest.approx(1)
    assert average_score(rows, ["snow"], [["snow"]], POOL, encode) == pytest.approx(0)
    # Phrases are averaged within a picture before pictures are.
    both = average_score(np.repeat(rows, 2, 0), ["fox, snow", "fox"], [["fox", "snow"], ["fox"]], POOL, encode)
    assert both == pytest.approx(0.75)


def test_the_score_is_the_softmax_of_scaled_cosines() -> None:
    encode, rows = pointing(fox=[0.6, 0.8]), np.array([[1.0, 0.0]])
    expected = np.exp(3 * 0.6) / (np.exp(3 * 0.6) + 4)
    assert average_score(rows, ["fox"], [["fox"]], POOL, encode, scale=3, others=4) == pytest.approx(expected)


def shown_to(
    descriptions: Sequence[str], phrases: Sequence[Sequence[str]], pool: Sequence[str], **how: int
) -> list[str]:
    """Every text that the encoder was given."""
    seen: list[str] = []

    def encode(texts: Sequence[str]) -> Array:
        seen.extend(texts)
        return np.zeros((len(texts), 1))

    average_score(np.ones((len(descriptions), 1)), descriptions, phrases, pool, encode, **how)
    return seen


def test_what_was_said_is_never_drawn_to_stand_against_it() -> None:
    pool = ("Red Car", "car", "underwater", "snow", "carrot", "snowman", "carrot")
    seen = shown_to(["a red car in the snow"], [["red car", "underwater"]], pool, others=2)
    assert sorted(seen) == sorted(["red car", "underwater", *["carrot", "snowman"] * 2])


def test_too_small_a_pool_and_nothing_to_ask_are_refused() -> None:
    with pytest.raises(ValueError, match="leaves 2 phrases"):
        shown_to(["a fox"], [["fox"]], ["fox", "cat", "dog"], others=3)
    with pytest.raises(ValueError, match="without a phrase"):
        shown_to(["a fox"], [[]], POOL)
    with pytest.raises(ValueError):  # noqa: PT011 (zip's own words, which Python may change)
        shown_to(["a fox", "a cat"], [["fox"]], POOL)


def test_the_others_depend_on_seed_and_words_only() -> None:
    alone = shown_to(["a fox"], [["fox"]], POOL)
    together = shown_to(["a cat", "a fox"], [["cat"], ["fox"]], POOL)
    assert together[OTHERS + 1 :] == alone
    assert set(alone[1:]) != set(together[1 : OTHERS + 1])
    assert set(shown_to(["a fox"], [["fox"]], POOL, seed=1)) != set(alone)
    assert len(set(alone)) == OTHERS + 1


@given(hnp.arrays(np.float64, (3, 4), elements=VALUES), st.integers(0, 99))
def test_the_score_is_a_probability_whatever_the_features(rows: Array, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(POOL) + 1, 4))

    def encode(texts: Sequence[str]) -> Array:
        return np.array([vectors[POOL.index(text) if text in POOL else -1] for text in texts])

    score = average_score(rows, ["a fox"] * 3, [["fox"]] * 3, POOL, encode, seed=seed)
    assert 0 <= score <= 1


def test_image_similarity_is_the_mean_of_all_pairs() -> None:
    made, given_ = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 0.0]])
    assert image_similarity(made, given_) == pytest.approx(0.5)
    assert image_similarity(given_, -given_) == pytest.approx(-1)
    assert image_similarity(made, made) == pytest.approx(0.5)


def test_text_similarity_takes_the_mean_picture_first() -> None:
    made, text = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0])
    assert text_similarity(made, text) == pytest.approx(np.sqrt(0.5))  # not 0.5, the mean of both cosines
    assert text_similarity(made[:1], 5 * text) == pytest.approx(1)
