"""The local language model on a tiny random checkpoint, saved to disk and loaded as anybody's would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from limner.backends.language import load_language_model
from limner.types import LanguageModelFailed, ModelUnavailable
from limner.writer import extract_keywords

WINDOW = 64
TEMPLATE = "{% for m in messages %}<s>{{ m['content'] }}{% endfor %}</s>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A two-layer Llama of 32 dimensions with a byte tokenizer and no chat template."""
    letters = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    raw.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    config = LlamaConfig(
        vocab_size=len(letters),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        bos_token_id=0,
        eos_token_id=1,
    )
    model: Any = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path)
    return tmp_path


def test_greedy_bounded_and_the_same_again(folder: Path) -> None:
    model = load_language_model(f"local:{folder}")
    first = model.reply("s", "u", schema={}, max_tokens=8)
    assert first
    assert model.reply("s", "u", schema={}, max_tokens=8) == first
    longer = model.reply("s", "u", schema={}, max_tokens=16)
    assert len(longer) > len(first)


def test_the_reply_ends_with_the_window(folder: Path) -> None:
    model = load_language_model(f"local:{folder}")
    assert model.reply("s", "u" * (WINDOW - 10), schema={}, max_tokens=500)
    with pytest.raises(LanguageModelFailed, match=f"reads {WINDOW} tokens"):
        model.reply("s", "u" * WINDOW, schema={})


def test_a_chat_template_is_used_when_there_is_one(folder: Path) -> None:
    plain = load_language_model(f"local:{folder}").reply("s", "u", schema={}, max_tokens=12)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    assert load_language_model(f"local:{folder}").reply("s", "u", schema={}, max_tokens=12) != plain


def test_time_runs_out(folder: Path) -> None:
    model = load_language_model(f"local:{folder}", timeout_s=0.0)
    with pytest.raises(LanguageModelFailed, match="within 0 s"):
        model.reply("s", "u", schema={}, max_tokens=40)


def test_random_words_leave_the_answer_to_the_rules(folder: Path) -> None:
    found = extract_keywords("a red fox", load_language_model(f"local:{folder}"))
    assert (found.keywords, found.source) == (("red fox",), "rules")


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="pickled"):
        load_language_model(f"local:{folder}")


def test_code_beside_the_weights_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    with pytest.raises(ModelUnavailable, match="asks to run code"):
        load_language_model(f"local:{folder}")


def test_a_model_of_another_kind_is_refused_in_one_line(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelUnavailable, match="could not be loaded") as caught:
        load_language_model(f"local:{folder}")
    assert "\n" not in str(caught.value)
