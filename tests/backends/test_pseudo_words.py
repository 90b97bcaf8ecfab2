"""Vectors in the place of tokens: only where their ids stand, with gradients, in each encoder its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limner.backends.pseudo_words import PseudoWords, pseudo_words
from tests import tiny


class Reader(nn.Module):
    """The part of a text encoder that pseudo-words touch."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)


def test_vectors_stand_where_their_ids_stand_and_nowhere_else() -> None:
    reader = Reader()
    words = PseudoWords(reader)
    first, second = words.put("a", torch.full((2, 4), 5.0)), words.put("b", torch.full((1, 4), 7.0))
    out = reader(torch.tensor([[1, first[0], second[0]], [first[1], 2, 1]]))
    assert out[0, 1].tolist() == [5.0] * 4
    assert out[0, 2].tolist() == [7.0] * 4
    assert out[1, 0].tolist() == [5.0] * 4
    assert torch.equal(out[0, 0], reader.table.weight[1])
    assert torch.equal(out[1, 1:], reader.table.weight[[2, 1]])


def test_gradients_reach_the_vectors_and_each_only_its_own() -> None:
    reader = Reader()
    words = PseudoWords(reader)
    mine, other = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.randn(1, 4))
    ids = words.put("mine", mine)
    words.put("other", other)
    reader(torch.tensor([[*ids, 3]])).sum().backward()
    assert mine.grad is not None
    assert torch.equal(mine.grad, torch.ones(2, 4))
    assert other.grad is None or not other.grad.any()


def test_a_name_put_again_keeps_its_ids_and_gets_new_vectors() -> None:
    reader = Reader()
    words = PseudoWords(reader)
    before = words.put("a", torch.zeros(2, 4))
    assert words.put("a", torch.ones(2, 4)) == before
    assert reader(torch.tensor([[before[0]]])).tolist() == [[[1.0] * 4]]
    longer = words.put("a", torch.ones(3, 4))
    assert len(longer) == 3
    assert not set(longer) & set(before)
    assert words.ids("a") == longer


def test_what_is_dropped_is_unknown() -> None:
    words = PseudoWords(Reader())
    words.put("a", torch.zeros(1, 4))
    words.drop("a")
    assert words.ids("a") is None


@pytest.mark.parametrize("shape", [(4,), (1, 3), (1, 1, 4)])
def test_vectors_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="width 4"):
        PseudoWords(Reader()).put("a", torch.zeros(shape))


def test_an_encoder_has_one_book_of_words() -> None:
    first, second = Reader(), Reader()
    assert pseudo_words(first) is pseudo_words(first)
    assert pseudo_words(first) is not pseudo_words(second)


@pytest.mark.parametrize("eos", [2, 1])
def test_the_pooled_text_is_still_the_end_token_s(eos: int, tmp_path: Path) -> None:
    """CLIP's older configs, which say eos_token_id 2, find the end token as the largest id of a row."""
    encoder: Any = tiny.transformers.CLIPTextModelWithProjection(
        tiny.transformers.CLIPTextConfig(
            vocab_size=30, hidden_size=16, intermediate_size=16, num_attention_heads=2, num_hidden_layers=1,
            max_position_embeddings=8, projection_dim=8, bos_token_id=0, eos_token_id=eos,
        )
    ).eval()  # fmt: skip
    end = 29 if eos == 2 else eos
    known = encoder.get_input_embeddings().weight[[5, 6]].detach().clone()
    words = pseudo_words(encoder)
    ids = words.put("w", known)
    plain, said = (torch.tensor([[0, *pair, end, end]]) for pair in ((5, 6), ids))
    with torch.no_grad():
        assert torch.equal(encoder(plain).text_embeds, encoder(said).text_embeds)
