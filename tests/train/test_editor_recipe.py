"""The editor's recipe: the wider U-Net, what is left out, what counts more, and a loss that falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import max_pool2d

from limner.train.autoencoder import new_autoencoder, posterior, to_tensor
from limner.train.editor import CHANGED_WEIGHT, DROP, REUSE, Pool, Sample, drop, edit_loss, widen
from limner.train.libraries import seed_torch
from limner.train.text_to_image import new_scheduler, new_unet
from limner.types import EditKind
from limner.world.edits import EditTriple, sample_edit
from limner.world.render import render
from limner.world.sample import Palette
from limner.world.vocabulary import SHAPE_CONCEPTS

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",))
SCALE = 2.0
SIGNAL = new_scheduler().alphas_cumprod.float()


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    seed_torch(0)
    return new_autoencoder().bfloat16().eval()


def triples(kind: EditKind, count: int = 2) -> list[EditTriple]:
    rng = Random(1)
    return [sample_edit(rng, kind, SHAPES) for _ in range(count)]


def sample(weight: Tensor | None = None) -> Sample:
    """A sample of random latents."""
    plain = torch.ones(1, 16, 16) if weight is None else weight
    return Sample("make it blue", torch.randn(4, 16, 16), torch.randn(4, 16, 16), plain)


def tiny_unet() -> UNet2DConditionModel:
    seed_torch(0)
    return new_unet(width=32, text_width=16)


def test_the_wider_u_net_draws_what_it_drew_when_no_picture_is_given() -> None:
    unet = tiny_unet().eval()
    noisy, steps, words = torch.randn(2, 4, 16, 16), torch.tensor([10, 900]), torch.randn(2, 5, 16)
    with torch.no_grad():
        before = unet(noisy, steps, words).sample
        wider = widen(unet)
        nothing = wider(torch.cat([noisy, torch.zeros_like(noisy)], 1), steps, words).sample
    assert wider is unet
    torch.testing.assert_close(nothing, before)
    config: Any = wider.config
    assert config.in_channels == 8


def test_a_u_net_of_eight_channels_stays_as_it_is() -> None:
    wide = widen(tiny_unet())
    layer = wide.conv_in
    assert widen(wide).conv_in is layer


def test_the_new_channels_can_learn() -> None:
    unet = widen(tiny_unet())
    seen = torch.randn(2, 8, 16, 16)
    unet(seen, torch.tensor([10, 900]), torch.randn(2, 5, 16)).sample.square().mean().backward()
    gradient = unet.conv_in.weight.grad
    assert gradient is not None
    assert float(gradient[:, 4:].abs().sum()) > 0


def test_words_picture_and_both_are_each_left_out_for_one_in_twenty() -> None:
    samples = [sample()] * 8000
    texts, sources = drop(Random(0), samples)
    silent = [text == "" for text in texts]
    blind = [bool((source == 0).all()) for source in sources]
    shares = Counter(zip(silent, blind, strict=True))
    for case in ((True, False), (False, True), (True, True)):
        assert shares[case] / len(samples) == pytest.approx(DROP, abs=0.01)
    assert {text for text in texts if text} == {"make it blue"}
    torch.testing.assert_close(sources[blind.index(False)], samples[0].before)


def test_samples_are_latents_before_and_after(vae: AutoencoderKL) -> None:
    made = triples("recolour")
    samples = Pool(vae, SCALE).encode(made)
    assert [each.instruction for each in samples] == [triple.change.instruction for triple in made]
    for triple, each in zip(made, samples, strict=True):
        assert each.before.shape == each.after.shape == (4, 16, 16)
        assert each.before.dtype == torch.float32
        with torch.no_grad():
            alone = posterior(vae, to_tensor([render(triple.before), render(triple.after)]).bfloat16()).mean.float()
        torch.testing.assert_close(each.before, alone[0], atol=0.05, rtol=0.05)
        torch.testing.assert_close(each.after, alone[1] * SCALE, atol=0.1, rtol=0.05)


def test_cells_that_change_weigh_more(vae: AutoencoderKL) -> None:
    made = triples("remove")
    for triple, each in zip(made, Pool(vae, SCALE).encode(made), strict=True):
        before, after = (render(scene).pixels.astype(np.int16) for scene in (triple.before, triple.after))
        differs = torch.tensor(np.abs(before - after).max(axis=2) > 2).float()[None]
        assert each.weight.shape == (1, 16, 16)
        torch.testing.assert_close(each.weight, 1 + (CHANGED_WEIGHT - 1) * max_pool2d(differs, 8))
        assert 0 < float((each.weight > 1).float().mean()) < 1


def test_each_triple_is_trained_on_at_most_reuse_times(vae: AutoencoderKL) -> None:
    pool, rng = Pool(vae, SCALE, SHAPES, shares={"remove": 1, "recolour": 1}), Random(0)
    taken = [each for _ in range(5) for each in pool.take(rng, 3)]
    assert len(taken) == 15
    assert max(Counter(map(id, taken)).values()) <= REUSE
    assert len({id(each) for each in taken}) < len(taken)


@dataclass
class _Said:
    sample: Tensor


class _Oracle:
    """Knows the latents after the edit, and says the velocity, off by `error`."""

    def __init__(self, samples: Sequence[Sample], error: Tensor | float = 0.0) -> None:
        self.after, self.error = torch.stack([each.after for each in samples]), error
        self.sources = torch.empty(0)

    def __call__(self, seen: Tensor, at: Tensor, _: Tensor) -> _Said:
        noisy, self.sources = seen.chunk(2, 1)
        alpha, sigma = SIGNAL[at].sqrt().view(-1, 1, 1, 1), (1 - SIGNAL[at]).sqrt().view(-1, 1, 1, 1)
        noise = (noisy - alpha * self.after) / sigma
        return _Said(alpha * noise - sigma * self.after + self.error)


def loss_of(oracle: _Oracle, samples: Sequence[Sample]) -> Tensor:
    sources = torch.stack([each.before for each in samples])
    steps, words = torch.tensor([20, 500, 900])[: len(samples)], torch.zeros(len(samples), 5, 16)
    return edit_loss(cast(Any, oracle), samples, sources, words, steps, SIGNAL)


def test_the_loss_is_nothing_for_an_oracle_that_knows_the_edit() -> None:
    samples = [sample() for _ in range(3)]
    oracle = _Oracle(samples)
    torch.testing.assert_close(loss_of(oracle, samples), torch.zeros(3))
    # The picture before stands beside the noise as it is, neither noised nor scaled.
    torch.testing.assert_close(oracle.sources, torch.stack([each.before for each in samples]))


def test_an_error_where_the_picture_changes_counts_more() -> None:
    weight = torch.ones(1, 16, 16)
    weight[:, :4] = CHANGED_WEIGHT
    inside, outside = torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 16, 16)
    inside[..., 0, 0] = outside[..., 9, 9] = 1.0
    samples = [sample(weight)]
    changed, kept = (float(loss_of(_Oracle(samples, error), samples)) for error in (inside, outside))
    assert changed / kept == pytest.approx(CHANGED_WEIGHT, rel=1e-3)
    # A weight that is the same everywhere is none: the mean weight is one.
    torch.testing.assert_close(loss_of(_Oracle(samples, 1.0), samples), torch.ones(1))


def test_the_loss_falls_on_a_fixed_batch(vae: AutoencoderKL) -> None:
    whole = Pool(vae, SCALE).encode(triples("recolour", 4))
    samples = [Sample(s.instruction, *(t[:, 4:12, 4:12] for t in (s.before, s.after, s.weight))) for s in whole]
    unet, words = widen(tiny_unet()).train(), torch.randn(4, 5, 16)
    sources, steps = torch.stack([each.before for each in samples]), torch.tensor([100, 300, 500, 700])
    optimizer: Any = torch.optim.AdamW(unet.parameters(), lr=2e-3)
    losses: list[float] = []
    for _ in range(20):
        seed_torch(3)  # the same noise each time
        loss = edit_loss(unet, samples, sources, words, steps, SIGNAL).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
