"""DreamArtist's equations: guidance inside the loss (Eq. 3), the clean latent (Eq. 5), the reconstruction (Eq. 6).

Written for both ways to predict: Stable Diffusion's noise, and the velocity v = alpha * noise - sigma * latent. The
guidance mixes predictions linearly, so that Eq. 3 holds for either with the target of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Schedule:
    """A pipeline's noise: `signal` is alpha-bar of every timestep (steps,), float32; `velocity` what is predicted."""

    signal: Tensor
    velocity: bool

    @classmethod
    def of(cls, scheduler: Any) -> Schedule:
        """The schedule of a diffusers scheduler. Raises ValueError where it predicts neither noise nor velocity."""
        kind = scheduler.config.prediction_type
        if kind not in ("epsilon", "v_prediction"):
            raise ValueError(f"a scheduler that predicts {kind!r}")
        return cls(scheduler.alphas_cumprod.float(), kind == "v_prediction")

    def parts(self, timestep: int) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of a timestep: the shares of latent and noise in what is noised."""
        signal = self.signal[timestep]
        return signal.sqrt(), (1 - signal).sqrt()

    def noised(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """z_t = alpha * z_0 + sigma * noise."""
        alpha, sigma = self.parts(timestep)
        return alpha * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """What a perfect prediction would be."""
        alpha, sigma = self.parts(timestep)
        return alpha * noise - sigma * latents if self.velocity else noise

    def clean(self, noised: Tensor, predicted: Tensor, timestep: int) -> Tensor:
        """The latent that a prediction means (Eq. 5), as the U-Net's latents are scaled."""
        alpha, sigma = self.parts(timestep)
        if self.velocity:
            return alpha * noised - sigma * predicted
        return (noised - sigma * predicted) / alpha.clamp(min=1e-4)

    def min_snr_weight(self, timestep: int, clamp: float) -> float:
        """min(SNR, clamp) over SNR, or over SNR + 1 for velocities (Hang et al. 2023)."""
        signal = float(self.signal[timestep])
        ratio = max(signal, 1e-8) / max(1 - signal, 1e-8)
        return min(ratio, clamp) / (ratio + 1 if self.velocity else ratio)


def guided(predictions: Tensor, gamma: float) -> Tensor:
    """Eq. 3's mix of a batch (2, c, h, w) of [negative, positive]: (1, c, h, w). A batch of one is left as it is."""
    if len(predictions) == 1:
        return predictions
    negative, positive = predictions.chunk(2)
    return negative + gamma * (positive - negative)


@dataclass(frozen=True, slots=True)
class Target:
    """The one picture: `latents` (1, c, h, w), scaled; `pixels` (1, 3, H, W) in [-1, 1]; and how much each place of
    them counts, (1, 1, h, w) and (1, 1, H, W), with a mean of 1."""

    latents: Tensor
    pixels: Tensor
    cell_weight: Tensor
    pixel_weight: Tensor


def concept_loss(
    predict: Callable[[Tensor, int], Tensor],
    schedule: Schedule,
    target: Target,
    timestep: int,
    noise: Tensor,
    *,
    gamma: float,
    reconstruct: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
    reconstruction: float = 0.0,
    min_snr: float | None = None,
) -> dict[str, Tensor]:
    """L = L_da + reconstruction * L_rec, and its parts, all scalars.

    `predict(noised, timestep)` gives the batch of `guided`. `reconstruct(latents)` gives what they decode to and what
    that should be, in one shape; None leaves Eq. 6 out. Norms are means, as in the authors' code (the paper writes
    sums), and nothing is detached: both sides get gradients through the decoder too.
    """
    noised = schedule.noised(target.latents, noise, timestep)
    mixed = guided(predict(noised, timestep), gamma)
    error = (mixed - schedule.target(target.latents, noise, timestep)).square()
    noise_loss = (error * target.cell_weight).mean()
    if min_snr is not None:
        noise_loss = noise_loss * schedule.min_snr_weight(timestep, min_snr)
    if reconstruct is None or reconstruction == 0:
        return {"loss": noise_loss, "noise": noise_loss.detach()}
    drawn, wanted = reconstruct(schedule.clean(noised, mixed, timestep))
    rows, columns = drawn.shape[-2:]
    weight = F.adaptive_avg_pool2d(target.pixel_weight, (rows, columns))
    rebuilt = ((drawn - wanted).abs() * weight).mean()
    total = noise_loss + reconstruction * rebuilt
    return {"loss": total, "noise": noise_loss.detach(), "rebuilt": rebuilt.detach()}
