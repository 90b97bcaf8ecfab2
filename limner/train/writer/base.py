"""What the writer is made from: any causal language model, with or without LoRA, or a small Llama of our own.

The small one reads the world's long captions and instructions. Bytes are its last resort, so that it can copy a word
that it has never seen; the three pieces of the template are one token each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from limner.backends.causal import load_causal
from limner.train.writer.data import LENGTH
from limner.types import BadInput

SMALL = "small"
PAD, END = "<pad>", "</s>"


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the small writer is made of; together less than 3.9 MB in half precision."""

    tokens: int = 1500
    width: int = 128
    inner: int = 352
    heads: int = 4
    layers: int = 4


@dataclass(frozen=True, slots=True)
class Lora:
    """Adapters in place of the whole model: their rank and scale, and which layers from the top (0: all) have them."""

    rank: int = 16
    scale: int = 32
    layers: int = 0


@dataclass(slots=True)
class Base:
    """A causal language model and its tokenizer; `name` is what it was loaded from."""

    name: str
    model: Any
    tokenizer: Any


def new_tokenizer(texts: Iterable[str], tokens: int, pieces: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of so many tokens, learned from the texts; `pieces` are one token each."""
    whole = tuple(pieces)
    blank: Any = Tokenizer(BPE())
    blank.pre_tokenizer = ByteLevel(add_prefix_space=False)
    blank.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=tokens - len(whole), special_tokens=[PAD, END], initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    blank.train_from_iterator(texts, trainer)
    blank.add_tokens([AddedToken(piece, normalized=False) for piece in whole])
    return PreTrainedTokenizerFast(
        tokenizer_object=blank, pad_token=PAD, eos_token=END, model_max_length=LENGTH,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def new_model(tokenizer: Any, sizes: Sizes) -> LlamaForCausalLM:
    """The small writer, untrained: a Llama whose last layer shares the table of words."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=sizes.width, intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, max_position_embeddings=LENGTH,
        tie_word_embeddings=True, initializer_range=0.04, bos_token_id=None, attention_dropout=0.0,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def load_base(source: str, *, dtype: torch.dtype = torch.float32) -> Base:
    """A causal language model as `backends.causal` loads it; raises ModelUnavailable as it does."""
    found = load_causal(source, dtype=dtype)
    return Base(source, found.model, found.tokenizer)


def with_lora(base: Base, lora: Lora) -> Base:
    """The base with fresh adapters on all its linear layers; only they are trained. Needs peft."""
    from peft import LoraConfig, get_peft_model

    count = int(base.model.config.num_hidden_layers)
    chosen = list(range(count - lora.layers, count)) if lora.layers else None
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.scale, target_modules="all-linear", layers_to_transform=chosen,
        task_type="CAUSAL_LM", lora_dropout=0.0,
    )  # fmt: skip
    return Base(base.name, get_peft_model(base.model, config), base.tokenizer)


def merged(model: Any) -> Any:
    """The plain model: with its adapters, where it has any, added to its weights."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def megabytes(model: nn.Module) -> float:
    """What the weights take up in half precision."""
    return 2 * sum(parameter.numel() for parameter in set(model.parameters())) / 1e6


def read_note(folder: Path) -> dict[str, Any]:
    """writer.json of a trained writer's folder. Raises BadInput where there is none."""
    try:
        return dict(json.loads((folder / "writer.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} is no trained writer ({type(error).__name__})", "see `limner train writer`") from None
