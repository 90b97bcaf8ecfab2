"""The tokenizer's recipe: frequent words become one token, and what is saved reads alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPTokenizer

from limner.train.libraries import from_folder, to_folder
from limner.train.tokenizer import END, LENGTH, START, TOKENS, train_tokenizer

WORDS = ("castle", "penguin", "strawberry")


@pytest.fixture(scope="module")
def trained() -> Any:
    return train_tokenizer(iter([*WORDS * 50, "a castle in the snow", "it's fog , über all"]))


def test_words_often_repeated_become_one_token(trained: Any) -> None:
    assert [trained.tokenize(word) for word in WORDS] == [[f"{word}</w>"] for word in WORDS]
    assert len(trained.tokenize("zyxwv")) > 1


def test_words_never_seen_are_spelled_in_lower_case(trained: Any) -> None:
    ids = trained("Snowy stages, BERLIN").input_ids
    assert trained.decode(ids, skip_special_tokens=True) == "snowy stages , berlin"


def test_begin_and_end_stand_where_the_text_tower_expects_them(trained: Any) -> None:
    ids = trained("castle").input_ids
    assert (ids[0], ids[-1]) == (0, 1)
    assert trained.convert_ids_to_tokens(ids) == [START, "castle</w>", END]
    assert len(trained) <= TOKENS


def test_long_texts_are_cut_to_the_text_towers_length(trained: Any) -> None:
    assert len(trained("castle " * 100, truncation=True).input_ids) == LENGTH


def test_a_saved_tokenizer_reads_alike(trained: Any, tmp_path: Path) -> None:
    to_folder(trained, tmp_path)
    again: Any = from_folder(CLIPTokenizer, tmp_path)
    texts = ["a castle in the snow", "Penguin! 🦊", ""]
    assert again(texts).input_ids == trained(texts).input_ids
    assert again.model_max_length == LENGTH
