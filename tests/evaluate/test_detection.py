"""Overlaps and average precision, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from limner.evaluate.detection import average_precision, mask_iou, mean_average_precision
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
