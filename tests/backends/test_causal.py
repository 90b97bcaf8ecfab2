"""Causal language models out of llama.cpp's files: the same numbers as the library's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter, TokenType
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from limner.backends.causal import load_causal
from limner.backends.hardware import plan
from limner.backends.language import load_language_model
from limner.backends.prompt_writer import load_writer
from limner.train.libraries import seed_torch
from limner.types import ModelUnavailable

HEADS, WIDTH, INNER, WINDOW = 2, 32, 48, 512
TOKENS = ["<s>", "</s>", *sorted(ByteLevel.alphabet()), "ab"]
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk", "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
}  # fmt: skip


@pytest.fixture(scope="module")
def llama() -> Any:
    seed_torch(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=1,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=WINDOW, bos_token_id=0,
        eos_token_id=1, rms_norm_eps=1e-5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def packed(llama: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer as llama.cpp packs it."""
    path = tmp_path_factory.mktemp("packed") / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(TOKENS) - 2))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, weight in llama.state_dict().items():
        writer.add_tensor(_renamed(name), _turned(name, weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _renamed(name: str) -> str:
    for theirs, packed in NAMES.items():
        name = name.replace(theirs, packed)
    return name


def _turned(name: str, weight: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """llama.cpp turns neighbouring numbers of queries and keys, transformers those half a head apart."""
    numbers = weight.float().numpy()
    if "q_proj" in name or "k_proj" in name:
        return numbers.reshape(HEADS, 2, -1, WIDTH).swapaxes(1, 2).reshape(WIDTH, WIDTH).copy()
    return numbers


def test_a_packed_model_computes_what_the_library_does(llama: Any, packed: Path) -> None:
    found = load_causal(str(packed), dtype=torch.float32)
    ids = found.tokenizer("a crab on a table", return_tensors="pt")["input_ids"]
    assert found.tokenizer.decode(ids[0], skip_special_tokens=True) == "a crab on a table"
    assert len(ids[0]) < len("a crab on a table")  # «ab» is one token
    with torch.inference_mode():
        assert torch.allclose(found.model(ids).logits, llama(ids).logits, atol=1e-5)


def test_it_writes_prompts_and_replies(packed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "folder"
    alone.mkdir()
    shutil.copy(packed, alone)
    for source in (packed, alone):
        assert len(load_writer(str(source), plan=plan(precision="float32")).write([("a fox", "make it red")])) == 1
        assert load_language_model(f"local:{source}").reply("s", "u", schema={}, max_tokens=4)


def test_what_is_no_packed_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.gguf").write_bytes(b"GGUF\3\0\0\0")
    for source in (tmp_path / "torn.gguf", tmp_path / "none.gguf"):
        with pytest.raises(ModelUnavailable, match=source.name):
            load_causal(str(source))


def test_of_two_packed_models_none_is_picked(packed: Path, tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(packed, tmp_path / name)
    with pytest.raises(ModelUnavailable):
        load_causal(str(tmp_path))
