"""What turns latents into pixels for the reconstruction (Eq. 6): the model's own decoder, or a light one.

The light one is linear: the mean colours of the four quarters of a latent cell's pixels from the cell and its
neighbours, fitted by least squares on the very picture, mirrored and at several brightnesses. It knows colours and
coarse shapes, costs next to nothing, and needs no other model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limner.backends.pipelines import encode, scale_latents

Reconstruct = Callable[[Tensor], tuple[Tensor, Tensor]]
_QUARTERS = 2
_RIDGE = 1e-3


def full_decoder(vae: Any, pixels: Tensor) -> Reconstruct:
    """Decode with the VAE; what it should come to are `pixels` (1, 3, H, W) in [-1, 1]."""
    mean, deviation = _statistics(vae)

    def reconstruct(latents: Tensor) -> tuple[Tensor, Tensor]:
        raw = latents / vae.config.scaling_factor * deviation + mean
        return vae.decode(raw.to(vae.dtype)).sample.float(), pixels

    return reconstruct


def light_decoder(vae: Any, pixels: Tensor) -> Reconstruct:
    """The linear decoder, fitted for this picture; both results are (1, 3, 2h, 2w) for latents (1, c, h, w)."""
    shown = _views(pixels)
    with torch.no_grad():
        latents = torch.cat([scale_latents(vae, encode(vae, view[None]).clone()) for view in shown])
        cells = latents.shape[-2:]
        wanted = F.adaptive_avg_pool2d(shown, (_QUARTERS * cells[0], _QUARTERS * cells[1]))
        inputs = _neighbourhoods(latents)
        outputs = F.pixel_unshuffle(wanted, _QUARTERS).permute(0, 2, 3, 1).flatten(0, 2)
        gram = inputs.T @ inputs + _RIDGE * len(inputs) * torch.eye(inputs.shape[1], device=inputs.device)
        linalg: Any = torch.linalg
        weights: Tensor = linalg.solve(gram, inputs.T @ outputs)

    def reconstruct(given: Tensor) -> tuple[Tensor, Tensor]:
        flat = _neighbourhoods(given) @ weights
        quarters = flat.view(len(given), *given.shape[-2:], -1).permute(0, 3, 1, 2)
        return F.pixel_shuffle(quarters, _QUARTERS), wanted[:1]

    return reconstruct


def _views(pixels: Tensor) -> Tensor:
    """The picture as it is, mirrored, turned over, and all that darker and with its colours moved."""
    turned = torch.cat([pixels, pixels.flip(-1), pixels.flip(-2), pixels.flip(-1, -2)])
    return torch.cat([turned, 0.6 * turned, -turned, turned.roll(1, 1), turned.roll(2, 1)])


def _neighbourhoods(latents: Tensor) -> Tensor:
    """Each cell with its eight neighbours and a one: (n * h * w, 9 * c + 1)."""
    patches = F.unfold(F.pad(latents, (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2).flatten(0, 1)
    return torch.cat([patches, torch.ones_like(patches[:, :1])], 1)


def _statistics(vae: Any) -> tuple[Any, Any]:
    config = vae.config
    if config.latents_mean is None or config.latents_std is None:
        return 0.0, 1.0
    mean, deviation = (
        torch.tensor(each, device=vae.device).view(1, -1, 1, 1) for each in (config.latents_mean, config.latents_std)
    )
    return mean, deviation
