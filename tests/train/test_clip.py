"""The contrastive recipe: labels that are exactly true, near misses that differ in one respect, and thresholds."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from limner.train.calibrate import PRECISION, least_threshold
from limner.train.chimera import Shown, spoilt
from limner.train.clip import NEAR_MISSES, STAGE_SHARES, keyword_batch, near_misses, patch_labels, sigmoid_loss, wrong
from limner.train.ship import kind_of
from limner.world.caption import facts
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Fact, Scene, Thing, is_true
from limner.world.vocabulary import COLOURS, SHAPE_CONCEPTS

NAMES = tuple(SHAPE_CONCEPTS)
SHAPES = Palette(concepts=NAMES, styles=("shapes",))


def scenes(count: int) -> list[Scene]:
    rng = Random(0)
    return [sample_scene(rng, rng.choice(list(STAGE_SHARES)), SHAPES) for _ in range(count)]


def as_rendered(batch: list[Scene]) -> list[Shown]:
    return [Shown(scene, render(scene, 16)) for scene in batch]


def test_a_spoilt_thing_is_asked_for_and_is_not_there() -> None:
    rng = Random(4)
    pair = [sample_scene(rng, "pair", SHAPES) for _ in range(8)]
    shown = [spoilt(scene, rng, SHAPES) for scene in pair]
    keywords = keyword_batch(shown, Random(1))
    texts = [text.removeprefix("a ").removeprefix("an ") for text in keywords.texts]
    for row, each in enumerate(shown):
        for fact in each.false:
            columns = [i for i, text in enumerate(texts) if text == fact.text and keywords.near[row, i]]
            assert columns
            assert not any(bool(keywords.labels[row, i]) for i in columns)


def test_bare_nouns_and_coloured_ones_are_labelled_as_the_scenes_are() -> None:
    batch = scenes(24)
    keywords = keyword_batch(as_rendered(batch), Random(1))
    assert keywords.labels.shape == keywords.near.shape == (len(batch), len(keywords.texts))
    checked = 0
    for column, text in enumerate(keywords.texts):
        bare = text.removeprefix("a ").removeprefix("an ")
        colour, _, noun = bare.rpartition(" ")
        if noun in NAMES and colour in ("", *COLOURS):
            fact = Fact("colour", bare, noun, colour or None)
            truth = [float(is_true(fact, scene)) for scene in batch]
            assert keywords.labels[:, column].numpy().tolist() == truth
            checked += 1
    assert checked > 20


def test_every_scene_is_near_its_own_keywords_true_and_false() -> None:
    keywords = keyword_batch(as_rendered(scenes(24)), Random(1))
    assert int(keywords.near.sum(1).min()) >= 2
    assert bool((keywords.near.sum(0) >= 1).all())
    assert 0.2 < float((keywords.near * keywords.labels).sum() / keywords.near.sum()) < 0.9
    assert float(keywords.near.mean()) < 0.3


def test_a_near_miss_differs_in_one_respect() -> None:
    rng = Random(0)
    for fact in (fact for scene in scenes(200) for fact in facts(scene)):
        miss = wrong(fact, rng)
        if fact.kind in ("background", "time", "weather", "style"):
            assert miss == fact
        elif fact.kind == "relation":
            assert miss == replace(fact, relation=miss.relation)
            assert miss.relation != fact.relation
        else:
            assert miss.concept == fact.concept
            assert (miss.colour != fact.colour) + (miss.count != fact.count) == 1


def test_relations_and_counts_always_bring_their_near_misses() -> None:
    rng = Random(0)
    for scene in scenes(200):
        true = facts(scene, rng)
        misses = near_misses(true, rng)
        assert len(misses) == NEAR_MISSES
        for fact in true:
            if fact.kind == "count":
                others = [replace(miss, kind="count") for miss in misses if miss.concept == fact.concept]
                assert any(not is_true(other, scene) for other in others)
            if fact.kind == "relation":
                assert replace(fact, concept=fact.other, other=fact.concept) in misses


def test_patches_that_an_object_covers_are_marked() -> None:
    scene = Scene((Thing(NAMES[0], "shapes", 0.25, 0.75, 0.3),), "snow")
    labels = patch_labels([scene], NAMES[:2]).view(8, 8, 2)
    assert torch.nonzero(labels[..., 0]).numpy().tolist() == [[y, x] for y in (5, 6) for x in (1, 2)]
    assert float(labels[..., 1].sum()) == 0


def test_the_sigmoid_loss_falls_as_logits_agree_with_labels() -> None:
    labels = torch.eye(4)
    right = labels * 20 - 10
    assert float(sigmoid_loss(right, labels)) < 1e-3 < float(sigmoid_loss(torch.zeros(4, 4), labels))
    assert sigmoid_loss(torch.zeros(4, 4), labels) < sigmoid_loss(-right, labels)


def test_the_least_threshold_of_the_wanted_precision_is_found() -> None:
    rows = [(0.9 - i / 1000, True) for i in range(100)] + [(0.5 - i / 1000, False) for i in range(100)]
    threshold, precision, recall = least_threshold(rows)
    assert PRECISION <= precision < PRECISION + 0.02
    assert recall == 1
    assert threshold == pytest.approx(0.5 - 4 / 1000)  # as many false ones as the precision allows: 5 of 105
    passed = [label for cosine, label in rows if cosine >= threshold]
    assert sum(passed) / len(passed) == precision


def test_without_that_precision_the_best_with_half_of_what_is_there_is_taken() -> None:
    labels = [False, True, True, True, False, False, True, True, True, False, True, True]
    rows = [(0.9 - i / 10, label) for i, label in enumerate(labels)]
    # Three of the first four are true, but only 3 of all 8. With half of all, 6/9 and 8/12 are best: the higher wins.
    assert least_threshold(rows) == (pytest.approx(0.1), pytest.approx(6 / 9), 6 / 8)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("three foxes", "count"),
        ("fox to the left of a castle", "relation"),
        ("at night", "time"),
        ("in fog", "weather"),
        ("flat style", "style"),
        ("Red car", "colour"),
        ("fox", "object"),
    ],
)
def test_keywords_are_told_apart_by_their_words(text: str, kind: str) -> None:
    assert kind_of(text) == kind
