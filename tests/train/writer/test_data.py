"""Rows as ids: where the target begins, where it ends, and what is masked."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from limner.train.writer.base import new_tokenizer
from limner.train.writer.data import (
    IGNORED,
    Sample,
    encode,
    encode_all,
    end_of,
    ids_of,
    in_turn,
    padding_of,
    random_batch,
    to_batch,
)
from limner.types import BadInput
from tests.train.writer.tiny import listed, rows, tokenizer


def merging() -> Any:
    """A tokenizer that has learned " A" as one token."""
    return new_tokenizer(["Output: A A A A cat A dog"] * 9, 300)


def test_the_first_token_of_a_target_is_learned() -> None:
    """Fault of the group's SFT: a prefix that ends in a blank, whose length masks the target's first token."""
    known = merging()
    sample = encode(known, "Output:", "A cat")
    assert known.decode(sample.target[:-1]) == " A cat"
    assert known.decode(sample.target[:1]) == " A"
    with_blank = len(ids_of(known, "Output: "))
    whole = ids_of(known, "Output: A cat")
    assert known.decode(whole[with_blank:]) != " A cat"  # what the faulty way learns


def test_ids_are_joined_as_inference_has_them() -> None:
    row, known = rows()[0], tokenizer()
    sample = encode(known, row.prefix, row.y)
    assert list(sample.prefix) == ids_of(known, row.prefix)
    assert sample.target[-1] == end_of(known)


def test_the_end_is_learned_and_padding_is_not() -> None:
    """Fault: pad = EOS, which masks the end with the padding."""
    known = tokenizer()
    assert padding_of(known) != end_of(known)
    batch = to_batch([Sample((5, 6), (7, 1)), Sample((5,), (8, 9, 10, 1))], padding_of(known))
    assert listed(batch.labels) == [[IGNORED, IGNORED, 7, 1, IGNORED], [IGNORED, 8, 9, 10, 1]]
    assert listed(batch.mask) == [[1, 1, 1, 1, 0], [1] * 5]
    assert int((batch.labels == end_of(known)).sum()) == 2


def test_a_pad_that_is_the_end_is_not_taken() -> None:
    known = merging()
    known.pad_token = known.eos_token
    assert padding_of(known) != end_of(known)
    known.pad_token = None
    assert padding_of(known) != end_of(known)


def test_a_tokenizer_without_an_end_is_refused() -> None:
    known = merging()
    known.eos_token = None
    with pytest.raises(BadInput, match="no token that ends"):
        encode(known, "a", "b")


def test_what_is_too_long_is_left_out() -> None:
    known = merging()
    assert len(encode_all(known, [("Output:", "A"), ("Output:", "A" * 500)], longest=40)) == 1
    with pytest.raises(BadInput, match="none of 1 rows"):
        encode_all(known, [("Output:", "A" * 500)], longest=40)


def test_batches_hold_samples_of_like_length_and_all_of_them() -> None:
    pool = encode_all(tokenizer(), [(row.prefix, row.y) for row in rows()])
    batch = random_batch(Random(0), pool, 8, 0)
    assert float(batch.mask.float().mean()) > 0.8
    assert sum(len(each.ids) for each in in_turn(pool, 7, 0)) == len(pool)
