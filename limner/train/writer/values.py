"""What a written token was worth: advantages, content integrity in the value, whitening, the price of drifting away.

All tables are (n, length), one row a text, padded at the right; `mask` is 1 on the text's own tokens, EOS among them.
Values and integrity at place t are of the state in which token t is about to be written.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limner.train.writer.group import summed


def token_rewards(scores: Tensor, drift: Tensor, mask: Tensor, beta: float) -> Tensor:
    """-beta * (log pi - log pi_ref) at every token, and the text's score (n,) at its last one.

    The last token is EOS, or what was written last before the text was cut off: never a place after it (methods 2.4a).
    """
    rewards = -beta * drift * mask
    last = mask.sum(1).long() - 1
    rewards[torch.arange(len(scores)), last] += scores
    return rewards


def with_integrity(values: Tensor, integrity: Tensor, alpha: float) -> Tensor:
    """V + alpha * CI (equation 7); taken wherever V is, so that the value loss compares like with like."""
    return values + alpha * integrity


def advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 0.99, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Generalised advantages (equations 5 and 6), not yet whitened, and the returns: advantage plus value.

    Nothing follows the last token, so the value after it is 0.
    """
    found, ahead = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(ahead)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        ahead = (delta + gamma * lam * ahead) * mask[:, t]
        found[:, t], following = ahead, values[:, t] * mask[:, t]
    return found, (found + values) * mask


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over what the mask keeps."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 over what the masks of all processes keep; 0 where the mask is."""
    kept = values.double() * mask
    count, total = summed(torch.stack([mask.double().sum(), kept.sum()]))
    mean = total / count
    spread = summed((((values - mean) ** 2) * mask).sum().double()) / count
    return ((values - mean) * (spread + 1e-8).rsqrt() * mask).to(values.dtype)


@dataclass(slots=True)
class Leash:
    """The price of a nat away from the reference, dearer where the writer strays further than `target` nats a text.

    The adaptive controller of Ziegler et al. (2019), 2.2.
    """

    beta: float = 0.05
    target: float = 6.0
    horizon: float = 10_000.0

    def pull(self, drift: float, count: int) -> None:
        """Adapt after `count` texts that drifted so many nats in the mean."""
        error = min(0.2, max(-0.2, drift / self.target - 1))
        self.beta *= 1 + error * count / self.horizon


@dataclass(slots=True)
class Moments:
    """Mean and variance of all scores so far, joined a batch at a time (Chan et al.)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation; 1 where there is nothing to tell it from."""
        spread = (self.squares / max(self.count - 1, 1)) ** 0.5
        return spread if spread > 1e-6 else 1.0

    def add(self, scores: Tensor) -> None:
        """Take up a batch of scores (n,), of all processes."""
        sums = summed(torch.stack([torch.tensor(float(len(scores))), scores.sum().cpu().float()]))
        count, mean = float(sums[0]), float(sums[1] / sums[0])
        squares = float(summed(((scores.cpu() - mean) ** 2).sum().float()))
        apart, both = mean - self.mean, self.count + count
        self.squares += squares + apart**2 * self.count * count / both
        self.mean, self.count = self.mean + apart * count / both, both
