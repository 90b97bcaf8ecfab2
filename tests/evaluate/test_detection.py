"""Overlaps and average precision, against figures worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from limner.evaluate.detection import average_precision, coco_average_precision, mask_iou, mean_average_precision
from limner.regions import box_iou
from limner.types import Box, Region

HERE, THERE, NOWHERE = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 70.0, 60.0), (90.0, 90.0, 99.0, 99.0)


def fox(box: Box, score: float = 1.0) -> Region:
    return Region("fox", box, score)


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        (HERE, HERE, 1.0),
        (HERE, THERE, 0.0),
        (HERE, (10.0, 0.0, 20.0, 10.0), 0.0),
        (HERE, (5.0, 0.0, 15.0, 10.0), 1 / 3),
        (HERE, (2.0, 2.0, 7.0, 6.0), 0.2),
        ((3.0, 3.0, 3.0, 3.0), (3.0, 3.0, 3.0, 3.0), 0.0),
    ],
)
def test_boxes_overlap(first: Box, second: Box, overlap: float) -> None:
    assert box_iou(first, second) == box_iou(second, first) == pytest.approx(overlap)


def test_masks_overlap() -> None:
    first, second = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    assert mask_iou(first, second) == 1
    first[:2], second[1:] = True, True
    assert mask_iou(first, second) == 6 / 24
    assert mask_iou(first, ~first) == 0


def test_all_found_is_one_and_nothing_found_is_nought() -> None:
    truth = [[fox(HERE), fox(THERE)], [fox(HERE)]]
    assert mean_average_precision(truth, truth) == 1
    assert mean_average_precision([[], []], truth) == 0


def test_average_precision_by_hand() -> None:
    truth = [[fox(HERE), fox(THERE)], [fox(HERE)]]
    # In order of score: right, wrong, right, wrong (taken already). Precisions 1, 1/2, 2/3, 1/2; one is never found.
    found = [[fox(HERE, 0.9), fox(THERE, 0.5), fox(HERE, 0.3)], [fox(NOWHERE, 0.7)]]
    assert average_precision(found, truth, "fox") == pytest.approx((1 + 2 / 3) / 3)


def test_a_lower_precision_is_raised_to_the_best_at_higher_recall() -> None:
    truth = [[fox(HERE), fox(THERE)]]
    # Wrong, right, right: 1/2 at the first hit is raised to the 2/3 of the second.
    found = [[fox(NOWHERE, 0.9), fox(HERE, 0.8), fox(THERE, 0.7)]]
    assert average_precision(found, truth, "fox") == pytest.approx(2 / 3)


def test_the_overlap_that_counts_can_be_chosen() -> None:
    truth, found = [[fox(HERE)]], [[fox((0.0, 0.0, 10.0, 6.0))]]
    assert mean_average_precision(found, truth) == 1
    assert mean_average_precision(found, truth, iou=0.75) == 0


def test_labels_weigh_alike_and_are_kept_apart() -> None:
    truth = [[fox(HERE), fox(THERE), Region("red car", HERE)], [fox(HERE)]]
    found = [[fox(HERE), fox(THERE), Region("car", HERE)], [fox(HERE), Region("red car", HERE)]]
    assert mean_average_precision(found, truth) == 0.5


def test_pictures_are_kept_apart() -> None:
    assert mean_average_precision([[], [fox(HERE)]], [[fox(HERE)], []]) == 0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="2 pictures"):
        mean_average_precision([[], []], [[fox(HERE)]])
    with pytest.raises(ValueError, match="no truth"):
        mean_average_precision([[fox(HERE)]], [[]])
    with pytest.raises(ValueError, match="'cat'"):
        average_precision([[]], [[fox(HERE)]], "cat")


@st.composite
def any_region(draw: st.DrawFn) -> Region:
    """One of two labels, with sides in whole pixels and one of few scores, so that many are equal."""
    x, y, width, height = (draw(st.integers(*bounds)) for bounds in ((0, 20), (0, 20), (1, 12), (1, 12)))
    score = draw(st.integers(1, 8)) / 8
    return Region(draw(st.sampled_from(["fox", "cat"])), (x, y, x + width, y + height), score)


def three_pictures(most: int) -> st.SearchStrategy[list[list[Region]]]:
    return st.lists(st.lists(any_region(), max_size=most), min_size=3, max_size=3)


def reference(found: list[list[Region]], truth: list[list[Region]]) -> tuple[float, float]:
    """What pycocotools says."""
    coco: Any = pytest.importorskip("pycocotools.coco")
    evaluation: Any = pytest.importorskip("pycocotools.cocoeval")

    def rows(pictures: list[list[Region]]) -> list[dict[str, Any]]:
        flat = [(number, region) for number, regions in enumerate(pictures) for region in regions]
        return [
            {
                "id": i,
                "image_id": number,
                "category_id": region.label,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "score": region.score,
            }
            for i, (number, region) in enumerate(flat, 1)
            for x0, y0, x1, y1 in [region.box]
        ]

    both: list[Any] = []
    for pictures in (truth, found):
        index = coco.COCO()
        labels = sorted({region.label for regions in truth for region in regions})
        index.dataset = {
            "images": [{"id": n} for n in range(len(truth))],
            "categories": [{"id": label} for label in labels],
            "annotations": [row for row in rows(pictures) if row["category_id"] in labels],
        }
        index.createIndex()
        both.append(index)
    judged = evaluation.COCOeval(*both, "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


@given(three_pictures(4), three_pictures(8))
@settings(max_examples=25, deadline=None)
def test_coco_says_the_same(truth: list[list[Region]], found: list[list[Region]]) -> None:
    assume(any(truth))
    assert coco_average_precision(found, truth) == pytest.approx(reference(found, truth), abs=1e-9)


def test_coco_average_precision_by_hand() -> None:
    truth = [[fox(HERE)]]
    # IoU 0.8: right at 0.5, 0.55, ..., 0.8, seven of ten overlaps.
    ap, ap50 = coco_average_precision([[fox((0.0, 0.0, 10.0, 8.0))]], truth)
    assert (ap, ap50) == (pytest.approx(0.7), pytest.approx(1.0))
    assert coco_average_precision([[]], truth) == (0, 0)


def test_coco_counts_the_best_hundred_of_a_picture() -> None:
    truth = [[fox(HERE)]]
    wrong = [fox(NOWHERE, 0.5)] * 99
    assert coco_average_precision([[*wrong, fox(HERE, 0.4)]], truth)[1] == pytest.approx(0.01)
    assert coco_average_precision([[*wrong, fox(NOWHERE, 0.5), fox(HERE, 0.4)]], truth)[1] == 0


def test_coco_refuses_what_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="2 pictures"):
        coco_average_precision([[], []], [[fox(HERE)]])
    with pytest.raises(ValueError, match="no truth"):
        coco_average_precision([[fox(HERE)]], [[]])
