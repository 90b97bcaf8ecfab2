"""Proximal policy optimisation for the writer (DiffChat 3.3): write, judge, then learn from it several times over.

One iteration: texts are sampled from locally typical tokens (pi+), a few of them spoiled (pi-), scored, and compared
token by token with the reference; then the last blocks and the value head are stepped on the clipped loss.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from limner.train.writer.data import end_of, ids_of, padding_of
from limner.train.writer.descent import Descent
from limner.train.writer.group import processes, summed
from limner.train.writer.policy import Judgement, Policy, Trunk
from limner.train.writer.rollout import TYPICAL, Layout, lay_out, sample
from limner.train.writer.values import (
    Leash,
    Moments,
    advantages,
    masked_mean,
    token_rewards,
    whiten,
    with_integrity,
)


@dataclass(frozen=True, slots=True)
class Options:
    """The constants of DiffChat A.5 and table 3; `mass` 1 is plain sampling, `alpha` 0 is no VCI."""

    rollouts: int = 128
    minibatch: int = 32
    epochs: int = 5
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    value_scale: float = 0.5
    alpha: float = 0.05
    mass: float = TYPICAL
    warm: int = 0
    """Rounds at the beginning in which the value head learns alone: one that knows nothing blames every token alike."""

    longest: int = 256
    limit: float = 10.0
    """Scores are cut to plus and minus this before they are divided by their running deviation."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learned. Rows are known by their number.

    `prefixes` are ids; `spoil` gives a text with a mistake in it, or None to leave it; `score` gives (n,) rewards for
    the texts of rows; `integrity` gives, for a row's text in pieces, CI of what stands before each piece.
    """

    prefixes: Sequence[Sequence[int]]
    score: Callable[[Sequence[int], Sequence[str]], Tensor]
    spoil: Callable[[str, Random], str | None] = lambda text, rng: None
    integrity: Callable[[int, Sequence[str]], Sequence[float]] = lambda row, pieces: [0.0] * len(pieces)


@dataclass(frozen=True, slots=True)
class Experience:
    """What one round of writing gave; all tables are (n, length). `integrity` is alpha * CI, a part of every value."""

    trunk: Trunk
    old: Judgement
    integrity: Tensor
    advantages: Tensor
    returns: Tensor
    mask: Tensor

    def rows(self, chosen: Tensor) -> Experience:
        """The experience of some of the texts."""
        old = Judgement(self.old.logs[chosen], self.old.values[chosen])
        tables = (table[chosen] for table in (self.integrity, self.advantages, self.returns, self.mask))
        return Experience(self.trunk.rows(chosen), old, *tables)


@dataclass(frozen=True, slots=True)
class Texts:
    """What was written for some rows: ids with their end, and as text without it; `spoiled` counts pi-'s."""

    rows: list[int]
    ids: list[list[int]]
    texts: list[str]
    spoiled: int


def write(policy: Policy, tokenizer: Any, task: Task, rows: Sequence[int], options: Options, rng: Random) -> Texts:
    """Sample a text for each row (pi+), and put a mistake into some (pi-).

    What was spoiled is tokenised anew; all else keeps the ids that were sampled.
    """
    end, pad = end_of(tokenizer), padding_of(tokenizer)
    order = sorted(rows, key=lambda row: len(task.prefixes[row]))
    generator = torch.Generator(policy.plain.device).manual_seed(rng.getrandbits(62))
    prefixes = [task.prefixes[row] for row in order]
    ids = sample(
        policy.plain, prefixes, end=end, pad=pad, longest=options.longest, generator=generator, mass=options.mass
    )
    texts, spoiled = [text_of(tokenizer, each) for each in ids], 0
    for place, text in enumerate(texts):
        if (worse := task.spoil(text, rng)) is not None:
            texts[place], spoiled = worse, spoiled + 1
            ids[place] = [*ids_of(tokenizer, " " + worse)[: options.longest - 1], end]
    return Texts(order, ids, texts, spoiled)


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """A target's ids as text: its one EOS cut off as an id, and the space before the first word."""
    end = end_of(tokenizer)
    own = ids[:-1] if ids and ids[-1] == end else ids
    return str(tokenizer.decode(list(own), clean_up_tokenization_spaces=False)).strip()


def collect(
    policy: Policy, tokenizer: Any, task: Task, rows: Sequence[int], options: Options, rng: Random,
    leash: Leash, moments: Moments,
) -> tuple[Experience, dict[str, float]]:  # fmt: skip
    """Write for the rows and judge what was written; adapts `leash` and `moments`. Also returns figures for the log."""
    began = time.perf_counter()
    written = write(policy, tokenizer, task, rows, options, rng)
    sampled = time.perf_counter() - began
    layout = lay_out([task.prefixes[row] for row in written.rows], written.ids, padding_of(tokenizer))
    trunk, judged, reference = policy.look(layout)
    mask = layout.written.to(judged.logs.device)
    raw = task.score(written.rows, written.texts).to(mask.device).float()
    scores = raw.clamp(-options.limit, options.limit)
    moments.add(scores)
    drift = (judged.logs - reference) * mask
    rewards = token_rewards(scores / moments.deviation, drift, mask, leash.beta)
    integrity = options.alpha * _integrity(tokenizer, task, written, layout, options).to(mask.device)
    old = Judgement(judged.logs, with_integrity(judged.values, integrity, 1.0))
    found, returns = advantages(rewards, old.values, mask, gamma=options.gamma, lam=options.lam)
    away = float(summed(drift.sum(1).mean())) / processes()
    leash.pull(away, len(written.rows))
    figures = {"reward": float(raw.mean()), "kl": away, "beta": leash.beta, "tokens": float(mask.sum(1).mean())}
    figures |= {"spoiled": float(written.spoiled), "ended": _ended(written, tokenizer), "sample_s": sampled}
    return Experience(trunk, old, integrity, whiten(found, mask), returns, mask), figures


def _ended(written: Texts, tokenizer: Any) -> float:
    """The share of texts that were brought to an end."""
    return fmean(float(ids[-1] == end_of(tokenizer)) for ids in written.ids)


def _integrity(tokenizer: Any, task: Task, written: Texts, layout: Layout, options: Options) -> Tensor:
    """CI of what stood before each token: (n, length). It is 0 throughout, and not asked for, without VCI."""
    table = torch.zeros(layout.targets.shape)
    if not options.alpha:
        return table
    for place, (row, ids) in enumerate(zip(written.rows, written.ids, strict=True)):
        table[place, : len(ids)] = torch.tensor(task.integrity(row, pieces_of(tokenizer, ids)))
    return table


def pieces_of(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """What each id adds to the text. One id alone may be no whole letter, and some tokenizers drop its blank."""
    beginnings: list[str] = tokenizer.batch_decode([list(ids[:t]) for t in range(len(ids) + 1)])
    return [longer[len(shorter) :] for shorter, longer in itertools.pairwise(beginnings)]


def loss(new: Judgement, seen: Experience, options: Options) -> dict[str, Tensor]:
    """The clipped surrogate and the clipped value loss, as means over the texts' own tokens (Schulman et al. 2017)."""
    log_ratio = (new.logs - seen.old.logs) * seen.mask
    ratio = log_ratio.exp()
    cut = ratio.clamp(1 - options.clip, 1 + options.clip)
    surrogate = masked_mean(torch.maximum(-seen.advantages * ratio, -seen.advantages * cut), seen.mask)
    values = with_integrity(new.values, seen.integrity, 1.0)
    near = seen.old.values + (values - seen.old.values).clamp(-options.value_clip, options.value_clip)
    errors = torch.maximum((values - seen.returns) ** 2, (near - seen.returns) ** 2)
    value = 0.5 * masked_mean(errors, seen.mask)
    return {
        "loss": surrogate + options.value_scale * value,
        "policy_loss": surrogate,
        "value_loss": value,
        "moved": masked_mean((ratio - 1) - log_ratio, seen.mask),
        "clipped": masked_mean(((ratio - 1).abs() > options.clip).float(), seen.mask),
    }


def learn(
    policy: Policy, descent: Descent, seen: Experience, options: Options, rng: Random, spent: float, only: str = ""
) -> dict[str, float]:
    """Go over the experience `epochs` times in random minibatches; returns the means of what was measured.

    `only` is the beginning of the names of what is stepped, as in `Descent.step`.
    """
    rows = list(range(len(seen.mask)))
    measured: list[dict[str, float]] = []
    for _ in range(options.epochs):
        rng.shuffle(rows)
        for first in range(0, len(rows), options.minibatch):
            part = seen.rows(torch.tensor(rows[first : first + options.minibatch], device=seen.mask.device))
            found = loss(policy.judge(part.trunk), part, options)
            found["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
            measured.append({name: float(value.detach()) for name, value in found.items()})
            measured[-1]["norm"] = descent.step(spent, only)
    return {name: fmean(each[name] for each in measured) for name in measured[0]}
