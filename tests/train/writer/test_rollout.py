"""Sampling: exactly the library's, and kept as ids."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, TypicalLogitsWarper

from limner.train.writer.rollout import lay_out, sample, typical
from tests.train.writer.tiny import listed, model, prefixes, tokenizer

END, PAD = 1, 0


def bloom() -> Any:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    config = BloomConfig(
        vocab_size=len(tokenizer()), hidden_size=32, n_layer=3, n_head=2, bos_token_id=1, eos_token_id=1
    )
    return BloomForCausalLM(config).eval()


def write(writer: Any, given: list[list[int]], mass: float, seed: int = 0, longest: int = 12) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return sample(writer, given, end=END, pad=PAD, longest=longest, generator=generator, mass=mass)


@pytest.mark.parametrize("mass", [0.2, 0.9, 0.97])
def test_typical_tokens_are_those_of_the_library(mass: float) -> None:
    logits = 3 * torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    warp: Any = TypicalLogitsWarper(mass=mass)
    wanted = warp(torch.zeros(40, 1, dtype=torch.long), logits)
    found = typical(logits, mass)
    assert torch.equal(found.isinf(), wanted.isinf())
    assert 0 < int(found.isinf().sum()) < found.numel()
    assert torch.equal(found[~found.isinf()], logits[~wanted.isinf()])


@pytest.mark.parametrize("made", [lambda: model(3.0), bloom])
def test_the_likeliest_tokens_are_those_of_the_library(made: Any) -> None:
    writer, given = made(), prefixes()
    layout = lay_out(given, [()] * len(given), PAD)
    ids, mask = layout.ids[:, : layout.width], layout.mask[:, : layout.width]
    wanted = writer.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, eos_token_id=END, pad_token_id=PAD
    )[:, layout.width :]
    for own, theirs in zip(write(writer, given, 0), listed(wanted), strict=True):
        assert own == theirs[: len(own)]


def test_rows_that_have_ended_leave_and_the_others_go_on_the_same() -> None:
    writer, given = model(3.0), prefixes()
    together = write(writer, given, 0, longest=9)
    apart = [write(writer, [each], 0, longest=9)[0] for each in given]
    assert together == apart
    end = together[0][3]
    ended = sample(writer, given, end=end, pad=PAD, longest=9, generator=torch.Generator(), mass=0)
    for short, whole in zip(ended, together, strict=True):
        assert short == (whole[: whole.index(end) + 1] if end in whole else whole)
    assert any(len(short) < 9 for short in ended)


def test_the_seed_alone_decides() -> None:
    writer, given = model(), prefixes()
    assert write(writer, given, 0.97, 3) == write(writer, given, 0.97, 3)
    assert write(writer, given, 0.97, 3) != write(writer, given, 0.97, 4)


def test_a_layout_keeps_prefix_and_target_apart() -> None:
    layout = lay_out([[5, 6, 7], [8]], [[9], [2, 3, 1]], PAD)
    assert listed(layout.ids) == [[5, 6, 7, 9, 0, 0], [0, 0, 8, 2, 3, 1]]
    assert listed(layout.mask) == [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]
    assert listed(layout.targets) == [[9, 0, 0], [2, 3, 1]]
    assert listed(layout.written) == [[1, 0, 0], [1, 1, 1]]
