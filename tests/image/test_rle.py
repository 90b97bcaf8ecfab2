from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.image import from_rle, to_rle
from limner.types import BadInput


def test_runs_go_down_the_columns_and_start_with_zeros() -> None:
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert to_rle(mask) == {"size": [2, 3], "counts": [2, 1, 1, 2]}
    assert to_rle(~mask) == {"size": [2, 3], "counts": [0, 2, 1, 1, 2]}


@pytest.mark.parametrize(("value", "counts"), [(False, [6]), (True, [0, 6])])
def test_plain_masks(value: bool, counts: list[int]) -> None:
    assert to_rle(np.full((2, 3), value))["counts"] == counts


@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_what_is_encoded_is_decoded(height: int, width: int, random: Any) -> None:
    mask = np.array([[random.random() < 0.5 for _ in range(width)] for _ in range(height)])
    decoded = from_rle(to_rle(mask))
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"size": [2, 3]},
        {"size": [2, 3], "counts": "52e"},
        {"size": [2, 3], "counts": [5]},
        {"size": [2, 3], "counts": [7]},
        {"size": [2, 3], "counts": [8, -2]},
        {"size": [2, 3], "counts": [2.0, 4]},
        {"size": [True, 6], "counts": [6]},
        {"size": [6], "counts": [6]},
        {"size": [0, 3], "counts": []},
        {"size": [-2, -3], "counts": [6]},
        {"size": [2**40, 2**40], "counts": [2**80]},
    ],
)
def test_anything_else_is_refused(content: object) -> None:
    with pytest.raises(BadInput, match="mask"):
        from_rle(content)
