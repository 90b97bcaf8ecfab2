"""Dialogues as the model reads them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from limner.backends.pairs import IGNORED, LENGTH, PAD, Sample, encoded, losses, pairs, perplexity, samples, to_batch
from limner.train.dialogue import new_model, new_tokenizer
from limner.world.dialogue import Dialogue
from tests.tiny_dialogue import LEARNED, SIZES, dialogue

TOKENIZER = new_tokenizer(LEARNED * 4, SIZES.tokens)


def test_what_is_read_ends_with_what_is_seen_and_what_was_said_last() -> None:
    first, second = pairs(LEARNED[:1])
    seen = "i see a red car on the left and a blue car on the right."
    assert first == (
        f"{seen}  remove the car",
        "which car do you mean: the red car on the left or the blue car on the right?",
    )
    assert second[0].startswith("remove the car  which car do you mean: ")
    assert second[0].endswith(f"  {seen}  the left one")
    assert second[1] == "[edit] remove the red car"


def test_where_nothing_is_known_of_the_picture_its_caption_stands() -> None:
    told = Dialogue("clear", "Two cars", LEARNED[1].utterances)
    assert list(pairs([told])) == [("two cars  make it night", "[edit] make it night")]


def test_the_last_tokens_are_kept_and_end_with_eos() -> None:
    ids = encoded(TOKENIZER, "remove " * 200 + "the car")
    assert len(ids) == LENGTH
    assert ids[-1] == TOKENIZER.eos_token_id == 2
    assert ids[:-1] == TOKENIZER("remove " * 200 + "the car", add_special_tokens=False)["input_ids"][-LENGTH + 1 :]
    assert encoded(TOKENIZER, "car").count(2) == 1


def test_padding() -> None:
    batch: Any = to_batch([Sample([5, 6, 2], [7, 2]), Sample([5, 2], [7, 8, 9, 2])])
    assert batch.ids.tolist() == [[5, 6, 2], [5, 2, PAD]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.labels.tolist() == [[7, 2, IGNORED, IGNORED], [7, 8, 9, 2]]


def test_padding_changes_no_loss() -> None:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    model = new_model(TOKENIZER, SIZES).eval()
    short, long = samples(TOKENIZER, [dialogue("go back", "[UNDO]"), LEARNED[0]])[:2]
    alone = float(losses(model, to_batch([short]))["loss"].detach())
    other = float(losses(model, to_batch([long]))["loss"].detach())
    both = float(losses(model, to_batch([short, long]))["loss"].detach())
    weights = len(short.say), len(long.say)
    assert both == pytest.approx((weights[0] * alone + weights[1] * other) / sum(weights), rel=1e-4)
    assert perplexity(model, [short, long]) == pytest.approx(math.exp(both), rel=1e-4)
    assert not model.training


def test_every_letter_survives_the_tokenizer() -> None:
    text = "replace the quixotic zebra (no. 7) with 'jam'?"
    tokenizer: Any = TOKENIZER
    assert tokenizer.decode(tokenizer(text)["input_ids"]).strip() == text
