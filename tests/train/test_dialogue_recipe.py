"""The recipe of the dialogue model: sizes, tokenizer, batches, learning, and the fine-tuning of another base."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import BlenderbotForConditionalGeneration, BlenderbotTokenizer

from limner.backends.pairs import LENGTH, encoded, perplexity, samples
from limner.train.dialogue import (
    Course,
    Sizes,
    new_model,
    new_tokenizer,
    parameters,
    random_batch,
    read_dialogues,
    train_base,
    train_small,
    world_dialogues,
)
from limner.train.finetune import Recipe
from limner.train.libraries import from_folder, to_folder
from limner.train.loop import Budget
from limner.train.optim import MixedOptimizer, Rates
from limner.types import BadInput, ModelUnavailable
from limner.world.dialogue import to_json
from limner.world.vocabulary import CORE_CONCEPTS
from tests.tiny_dialogue import LEARNED, SIZES

DIALOGUES = world_dialogues(400, "test")


def test_the_shipped_sizes_fit_the_package_and_keep_the_worlds_words_whole() -> None:
    tokenizer = new_tokenizer(DIALOGUES, Sizes().tokens)
    model = new_model(tokenizer, Sizes())
    size = 2 * sum(parameter.numel() for parameter in model.parameters())
    assert 2_000_000 < size < 3_200_000
    lengths = {name: len(encoded(tokenizer, name)) - 1 for name in CORE_CONCEPTS}
    assert sum(length == name.count(" ") + 1 for name, length in lengths.items()) > 50


def test_the_tokenizer_is_read_by_its_class_as_it_was_saved(tmp_path: Path) -> None:
    tokenizer = new_tokenizer(LEARNED * 4, 220)
    to_folder(tokenizer, tmp_path)
    again = from_folder(BlenderbotTokenizer, tmp_path)
    text = "paint the left car turquoise  and undo it, please!"
    assert encoded(again, text) == encoded(tokenizer, text)
    assert (again.pad_token_id, again.bos_token_id, again.eos_token_id, again.unk_token_id) == (0, 1, 2, 3)


def test_the_model_is_what_the_library_expects() -> None:
    model = new_model(new_tokenizer(LEARNED * 4, 220), SIZES)
    assert model.config.decoder_start_token_id == 1
    assert model.config.max_position_embeddings == LENGTH
    assert model.get_input_embeddings().weight is model.lm_head.weight


def test_tables_of_words_stay_with_adam() -> None:
    model = new_model(new_tokenizer(LEARNED * 4, 220), SIZES)
    optimizer = MixedOptimizer(parameters(model), Rates())
    assert not any("shared" in name or "positions" in name for name in optimizer.matrices)
    assert any("encoder_attn" in name for name in optimizer.matrices)


def test_a_batch_holds_dialogues_of_like_length() -> None:
    pool = samples(new_tokenizer(DIALOGUES, 500), DIALOGUES)
    rng = Random(0)
    shares = [float(random_batch(rng, pool, 16).mask.float().mean()) for _ in range(20)]
    assert sum(shares) / len(shares) > 0.75


def test_learning_keeps_the_best(tmp_path: Path) -> None:
    best = train_small(
        LEARNED * 4, LEARNED, Budget(steps=200, minutes=9, warm_up=10), tmp_path, Course(SIZES, strange=0.0)
    )
    assert best < 2
    model = from_folder(BlenderbotForConditionalGeneration, tmp_path / "model").eval()
    tokenizer = from_folder(BlenderbotTokenizer, tmp_path / "model")
    assert perplexity(model, samples(tokenizer, LEARNED)) == pytest.approx(best, rel=1e-3)


def test_another_base_is_fine_tuned(tmp_path: Path) -> None:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    tokenizer = new_tokenizer(LEARNED * 4, 220)
    model = new_model(tokenizer, SIZES)
    before = perplexity(model, samples(tokenizer, LEARNED))
    for part in (model, tokenizer):
        to_folder(part, tmp_path / "base")
    recipe = Recipe(rate=3e-3, batch=4, accumulate=1, warm_up=2, stop=3)
    best = train_base(str(tmp_path / "base"), LEARNED * 20, LEARNED, tmp_path / "out", recipe, minutes=0.1)
    assert best < 0.8 * before
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no model at"):
        train_base(str(tmp_path / "none"), LEARNED, LEARNED, tmp_path, Recipe(), 1)


def test_a_file_is_parted_for_validation(tmp_path: Path) -> None:
    path = tmp_path / "dialogues.jsonl"
    path.write_text("\n".join(map(to_json, DIALOGUES[:40])) + "\n\n")
    train, validation = read_dialogues(path)
    assert (len(train), len(validation)) == (37, 3)
    assert sorted(map(to_json, train + validation)) == sorted(map(to_json, DIALOGUES[:40]))
    path.write_text(json.dumps({"caption": "a cat"}))
    with pytest.raises(BadInput):
        read_dialogues(path)
