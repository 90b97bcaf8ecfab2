"""Labels: every place named once, with a mask where something was cut out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.label import SAME, fuse, label
from limner.protocols import Eyes, Mask
from limner.regions import box_iou
from limner.types import BadInput, Box, Picture, Region
from tests.painter import COLOURS
from tests.retoucher import EYES, ShapeCaptioner, ShapeDetector, ShapeSegmenter, show

PICTURE = show(("red circle", (28, 6, 40, 18)), ("blue square", (4, 30, 16, 42)))


class Stuck(ShapeDetector):
    """A Detector that says the same of every picture."""

    def __init__(self, *regions: Region) -> None:
        self.regions = list(regions)
        self.thresholds: list[float | None] = []

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        self.thresholds.append(threshold)
        return [self.regions for _ in pictures]


class Blind(ShapeSegmenter):
    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        return [np.zeros((picture.height, picture.width), np.bool_) for _ in boxes]


def test_a_picture_is_labelled_with_what_is_in_it() -> None:
    found = label(EYES, PICTURE, ("blue square", "red circle", "green triangle"))
    assert found.picture is PICTURE
    assert found.caption == "a red circle and a blue square"
    assert [(region.label, region.box) for region in found.regions] == [
        ("red circle", (28, 6, 40, 18)),
        ("blue square", (4, 30, 16, 42)),
    ]
    for region in found.regions:
        truth = (PICTURE.pixels == COLOURS[region.label.split()[0]]).all(axis=2)
        assert region.mask is not None
        assert np.array_equal(region.mask, truth)


def test_only_the_classes_are_looked_for() -> None:
    assert [region.label for region in label(EYES, PICTURE, ("red circle",)).regions] == ["red circle"]
    assert label(EYES, show(), ("red circle",)).regions == []
    with pytest.raises(BadInput, match="no class"):
        label(EYES, PICTURE, ())


def test_a_label_needs_a_sure_find() -> None:
    sure, unsure = Region("car", (0, 0, 10, 10), 0.5), Region("car", (30, 30, 40, 40), 0.3)
    detector = Stuck(sure, unsure)
    detector.present = 0.4
    eyes = Eyes(detector, ShapeSegmenter(), ShapeCaptioner())
    assert [region.score for region in label(eyes, PICTURE, ("car",)).regions] == [0.5]
    assert [region.score for region in label(eyes, PICTURE, ("car",), threshold=0.2).regions] == [0.5, 0.3]
    assert label(eyes, PICTURE, ("car",), threshold=0.6).regions == []
    assert detector.thresholds == [0.4, 0.2, 0.6]


def test_what_could_not_be_cut_out_has_no_mask() -> None:
    eyes = Eyes(ShapeDetector(), Blind(), ShapeCaptioner())
    [region] = label(eyes, PICTURE, ("red circle",)).regions
    assert region.mask is None
    assert region.box == (28, 6, 40, 18)


def test_the_class_with_more_evidence_gets_the_place() -> None:
    bus = Region("bus", (0, 0, 20, 20), 0.6)
    cars = [Region("car", (0, 0, 20, 20), 0.4), Region("car", (1, 0, 21, 20), 0.35)]
    assert fuse([bus, cars[0]]) == [bus]
    # Two finds of a car in one place outweigh one of a bus, but are no probability of 0.75.
    assert fuse([bus, *cars]) == [cars[0]]


def test_things_side_by_side_stay_two() -> None:
    pair = [Region("car", (0, 0, 20, 20), 0.6), Region("car", (10, 0, 30, 20), 0.9)]
    assert fuse(pair) == [pair[1], pair[0]]
    assert fuse(pair, same=0.3) == [pair[1]]
    assert fuse([]) == []


_SIDES = st.integers(0, 12)


@st.composite
def boxed(draw: st.DrawFn) -> Region:
    x, y, width, height = (draw(_SIDES) for _ in range(4))
    name = draw(st.sampled_from(("car", "bus", "fox")))
    return Region(name, (x, y, x + width + 1, y + height + 1), draw(st.floats(0.01, 1)))


@given(st.lists(boxed(), max_size=12))
def test_no_place_is_named_twice_and_nothing_is_invented(regions: list[Region]) -> None:
    kept = fuse(regions)
    assert all(each in regions for each in kept)
    assert all(box_iou(a.box, b.box) <= SAME for a, b in combinations(kept, 2))
    assert [each.score for each in kept] == sorted((each.score for each in kept), reverse=True)
    # What is gone lies where something was kept, or where a better one of its class had stood.
    assert bool(kept) == bool(regions)
    assert fuse(kept) == kept
