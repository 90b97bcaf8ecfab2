"""Sides without leakage, and pictures that look the same."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.dataset import NEAR, Item, Split, dedupe, perceptual_hash, split
from limner.image import decode_picture
from limner.types import BadInput, Picture
from tests.dataset.samples import family

SHARES: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}


def items(sizes: Sequence[int]) -> list[Item]:
    return [item for number, size in enumerate(sizes) for item, _ in family(number, size)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(0, 2**32), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_families_stay_together_and_shares_are_met_to_a_family(sizes: list[int], seed: int, random: object) -> None:
    made = items(sizes)
    sides = split(made, SHARES, seed)
    assert set(sides) == {item.root for item in made}
    counts = Counter[str](sides[item.root] for item in made)
    assert all(abs(counts[side] - share * len(made)) <= 2 * max(sizes) for side, share in SHARES.items())
    random.shuffle(made)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert split(made, SHARES, seed) == sides


def test_sixty_pictures_leave_no_side_empty() -> None:
    for seed in range(30):
        assert set(split(items([4] * 15), SHARES, seed).values()) == {"train", "val", "test"}


def test_the_seed_says_which() -> None:
    made = items([1] * 40)
    assert split(made, SHARES, 0) == split(made, SHARES, 0) != split(made, SHARES, 1)


def test_a_side_without_a_share_gets_nothing() -> None:
    assert set(split(items([2] * 9), {"train": 1.0, "test": 0.0}, 0).values()) == {"train"}
    assert split([], SHARES, 0) == {}


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "val": -0.5}, {"train": float("nan")}, {"x": 1}])
def test_shares_that_are_none(shares: dict[Split, float]) -> None:
    with pytest.raises(BadInput):
        split(items([1]), shares, 0)


def scene(colour: tuple[int, int, int] = (200, 40, 40), x: int = 20, ground: int = 120) -> Picture:
    pixels = np.full((96, 96, 3), (90, 150, 220), np.uint8)
    pixels[60:] = (ground, 110, 60)
    pixels[40:75, x : x + 30] = colour
    return Picture(pixels)


def distance(first: Picture, second: Picture) -> int:
    return (perceptual_hash(first) ^ perceptual_hash(second)).bit_count()


def test_small_changes_stay_near() -> None:
    picture = scene()
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "JPEG", quality=70)
    smaller = np.array(Image.fromarray(picture.pixels).resize((64, 64)))
    noise = np.random.default_rng(0).normal(0, 4, picture.pixels.shape)
    noisy = (picture.pixels + noise).clip(0, 255).astype(np.uint8)
    brighter = (picture.pixels.astype(int) + 12).clip(0, 255).astype(np.uint8)
    for near in (decode_picture(file.getvalue(), "a"), Picture(smaller), Picture(noisy), Picture(brighter)):
        assert distance(picture, near) <= NEAR


def test_other_pictures_are_far() -> None:
    picture = scene()
    assert distance(picture, scene(colour=(40, 60, 200))) > NEAR
    assert distance(picture, scene(x=55)) > NEAR
    assert distance(picture, scene(ground=250)) > NEAR
    assert perceptual_hash(Picture(np.full((9, 9, 3), 77, np.uint8))) == 0


@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 63).map(lambda bit: 1 << bit), max_size=40), st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_the_first_of_those_nearly_the_same_is_kept(hashes: list[int], limit: int) -> None:
    same = dedupe(((str(number), value) for number, value in enumerate(hashes)), limit)
    kept: list[int] = []
    for number, value in enumerate(hashes):
        near = [other for other in kept if (hashes[other] ^ value).bit_count() <= limit]
        assert same.get(str(number)) == (str(near[0]) if near else None)
        kept += [] if near else [number]


def test_more_than_fit_at_first() -> None:
    hashes = [(str(number), number << 20) for number in range(3000)]
    assert dedupe([*hashes, ("again", 2999 << 20)], 0) == {"again": "2999"}
