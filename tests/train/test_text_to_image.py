"""The text-to-image recipe: curriculum, noise schedule, pool of latents, the v loss, and a few real steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from limner.train.autoencoder import crops, losses, new_autoencoder
from limner.train.libraries import seed_torch
from limner.train.optim import MixedOptimizer, Rates
from limner.train.text_to_image import (
    LAST,
    REUSE,
    Pool,
    log_snr_table,
    new_scheduler,
    new_unet,
    sample_timesteps,
    stage_shares,
    v_loss,
)
from limner.world.sample import Palette
from limner.world.vocabulary import SHAPE_CONCEPTS

SHAPES = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",))


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    seed_torch(0)
    return new_autoencoder().bfloat16().eval()


@pytest.mark.parametrize("spent", [0.0, 0.29, 0.33, 0.4, 0.9, 1.0])
def test_shares_of_stages_add_up_to_one(spent: float) -> None:
    shares = stage_shares(spent, 0.3)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0


def test_the_curriculum_goes_from_single_objects_to_all_stages() -> None:
    assert stage_shares(0.2, 0.3) == {"single": 1, "pair": 0, "count": 0, "crowd": 0}
    assert stage_shares(0.5, 0.3) == pytest.approx(LAST)
    assert 0 < stage_shares(0.35, 0.3)["pair"] < LAST["pair"]
    polished = stage_shares(0.9, 0.3, single=0.65)
    assert polished["single"] == 0.65
    assert polished["pair"] == pytest.approx(LAST["pair"] / 2)


def test_the_log_snr_falls_to_pure_noise() -> None:
    table = log_snr_table(new_scheduler())
    assert len(table) == 1000
    assert bool((table.diff() < 0).all())
    assert table[0] > 5
    assert table[-1] < -15


def test_timesteps_are_in_range_and_centred_where_signal_and_noise_weigh_alike() -> None:
    seed_torch(0)
    table = log_snr_table(new_scheduler())
    steps = sample_timesteps(4000, table)
    assert steps.shape == (4000,)
    assert int(steps.min()) >= 0
    assert int(steps.max()) < len(table)
    assert float(table[steps].median()) == pytest.approx(-1.6, abs=0.2)
    assert float(table[sample_timesteps(4000, table, -0.6)].median()) == pytest.approx(-0.6, abs=0.2)


@dataclass
class _Said:
    sample: Tensor


def test_the_velocity_loss_is_nothing_for_an_oracle_that_knows_the_latents() -> None:
    latents, signal = torch.randn(3, 4, 8, 8), new_scheduler().alphas_cumprod.float()
    steps, words = torch.tensor([20, 500, 900]), torch.zeros(3, 5, 16)

    def oracle(noisy: Tensor, at: Tensor, _: Tensor) -> _Said:
        alpha, sigma = signal[at].sqrt().view(-1, 1, 1, 1), (1 - signal[at]).sqrt().view(-1, 1, 1, 1)
        noise = (noisy - alpha * latents) / sigma
        return _Said(alpha * noise - sigma * latents)

    def silent(noisy: Tensor, at: Tensor, _: Tensor) -> _Said:
        return _Said(torch.zeros_like(noisy))

    torch.testing.assert_close(v_loss(cast(Any, oracle), latents, steps, words, signal), torch.zeros(3))
    # A velocity is a rotation of unit noise and unit latents: its mean square is about 1.
    torch.testing.assert_close(
        v_loss(cast(Any, silent), latents, steps, words, signal), torch.ones(3), atol=0.3, rtol=0
    )


def test_each_latent_is_trained_on_at_most_reuse_times(vae: AutoencoderKL) -> None:
    pool, rng, used = Pool(vae, 2.0), Random(0), Counter[int]()
    kept: list[Tensor] = []
    for _ in range(8):
        taken = pool.take(rng, 6, {"single": 1.0}, SHAPES)
        assert len(taken) == 6
        kept += [latent for _, latent in taken]  # held, so that no address is used twice
        used.update(latent.data_ptr() for _, latent in taken)
    assert max(used.values()) == REUSE
    assert len(used) < len(kept)
    assert kept[0].shape == (4, 16, 16)


def test_two_real_steps_of_u_net_and_autoencoder_stay_numbers(vae: AutoencoderKL) -> None:
    rng = Random(0)
    unet = new_unet(width=32, text_width=16).bfloat16().train()
    signal, table = new_scheduler().alphas_cumprod.float(), log_snr_table(new_scheduler())
    model = new_autoencoder().bfloat16().train()
    optimizer = MixedOptimizer(
        [*unet.named_parameters(), *((f"vae.{n}", p) for n, p in model.named_parameters())], Rates()
    )
    before = [parameter.clone() for parameter in unet.parameters()]
    for _ in range(2):
        rebuilt = losses(model, None, crops(rng, 2, SHAPES))["loss"]
        words = torch.randn(2, 5, 16).bfloat16()
        drawn = v_loss(unet, torch.randn(2, 4, 8, 8), sample_timesteps(2, table), words, signal).mean()
        torch.autograd.backward(rebuilt + drawn)
        assert 0 < optimizer.step(1.0) < float("inf")
    assert all(bool(torch.isfinite(tensor).all()) for _, tensor in optimizer.tensors())
    assert not all(torch.equal(old, new) for old, new in zip(before, unet.parameters(), strict=True))
