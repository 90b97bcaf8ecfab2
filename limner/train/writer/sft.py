"""Supervised fine-tuning: the writer learns to continue a prefix with its target and an end (DiffChat 3.2, equation 1).

The small writer is trained from scratch by the optimizer of all recipes; any other base by the paper's constants.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.train.loop import Budget, fit
from limner.train.optim import MixedOptimizer, Rates
from limner.train.writer.base import Base
from limner.train.writer.data import IGNORED, Batch, Sample, in_turn, padding_of, random_batch
from limner.train.writer.descent import Descent
from limner.train.writer.group import agreed, meet, rank
from limner.train.writer.log import say

BATCH = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """How another base than the small one is fine-tuned (DiffChat, table 3): no weight decay, a cosine over it all."""

    rate: float = 2e-5
    batch: int = BATCH
    at_once: int = 8
    """Rows in one pass; gradients are summed up to `batch`."""
    epochs: float = 3.0


def losses(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy of each next token of the targets, and the share of targets that are right throughout.

    Logits are made for the targets' places only.
    """
    ids, mask, labels = (table.to(model.device) for table in (batch.ids, batch.mask, batch.labels))
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = plain.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    wanted = labels[:, 1:] != IGNORED
    logits: Tensor = plain.get_output_embeddings()(hidden[:, :-1][wanted]).float()
    targets = labels[:, 1:][wanted]
    wrong = torch.zeros(len(labels), device=ids.device)
    wrong.index_add_(0, wanted.nonzero()[:, 0], (logits.argmax(-1) != targets).float())
    return {"loss": F.cross_entropy(logits, targets), "whole": (wrong == 0).float().mean()}


@torch.inference_mode()
def perplexity(model: Any, pool: Sequence[Sample], pad: int) -> float:
    """exp of the mean negative log-likelihood of a target's token, EOS counted."""
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    for batch in in_turn(pool, BATCH, pad):
        count = int((batch.labels != IGNORED).sum())
        total, tokens = total + float(losses(model, batch)["loss"]) * count, tokens + count
    model.train(was)
    return math.exp(total / tokens)


def parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters by name; the table of words is called an embedding, which keeps it from Muon."""
    return [(f"embedding.{n}" if "embed" in n else n, p) for n, p in nn.Module.named_parameters(model)]


def train_small(
    base: Base, pool: Sequence[Sample], unseen: Sequence[Sample], budget: Budget, out: Path, *,
    seed: int, keep: Callable[[], None],
) -> float:  # fmt: skip
    """Train the small writer, resuming from `out`; `keep` is called when it is better on `unseen` than before.

    Returns the best perplexity there.
    """
    pad, best = padding_of(base.tokenizer), [math.inf]
    model = base.model.train()
    optimizer = MixedOptimizer(parameters(model), Rates(muon=0.02, adamw=3e-3, ema=0.995))

    def look() -> None:
        reached = perplexity(model, unseen, pad)
        say(f"step {optimizer.steps}: perplexity {reached:.4f}")
        if reached < best[0]:
            best[0] = reached
            keep()

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, random_batch(Random(f"{seed}/{rng.random()}"), pool, BATCH, pad))

    fit(optimizer, loss, budget, out, on_checkpoint=look)
    return best[0]


def train_base(
    base: Base, pool: Sequence[Sample], unseen: Sequence[Sample], recipe: Recipe, budget: Budget, out: Path, *,
    seed: int, keep: Callable[[], None],
) -> float:  # fmt: skip
    """Fine-tune any causal language model, or its adapters, for the recipe's epochs or the budget.

    Resumes from `out`. Returns the perplexity on `unseen` at the end.
    """
    pad, model = padding_of(base.tokenizer), base.model.train()
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    descent = Descent(named, recipe.rate)
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.safetensors"
    began = time.monotonic() - descent.resume(state).get("seconds", 0.0)
    last = min(budget.steps, max(1, round(recipe.epochs * len(pool) / recipe.batch)))
    saved = time.monotonic()
    while (spent := agreed(_spent(descent.steps, last, began, budget))) < 1:
        rng = Random(f"{seed}/{rank()}/{descent.steps}")
        figures = _update(model, descent, recipe, rng, pool, pad, spent)
        say(f"step {descent.steps}/{last}: loss {figures:.4f}")
        if rank() == 0 and time.monotonic() - saved > budget.checkpoint_minutes * 60:
            descent.save(state, {"seconds": time.monotonic() - began})
            saved = time.monotonic()
    reached = perplexity(model, unseen, pad)
    if rank() == 0:
        descent.save(state, {"seconds": time.monotonic() - began})
        keep()
    meet()
    return reached


def _spent(steps: int, last: int, began: float, budget: Budget) -> float:
    return max(steps / last, (time.monotonic() - began) / 60 / budget.minutes)


def _update(
    model: Any, descent: Descent, recipe: Recipe, rng: Random, pool: Sequence[Sample], pad: int, spent: float
) -> float:
    """One update from a whole batch, a few rows at a time; every target token weighs the same."""
    parts = [random_batch(rng, pool, recipe.at_once, pad) for _ in range(max(1, recipe.batch // recipe.at_once))]
    counts = [int((part.labels != IGNORED).sum()) for part in parts]
    total = 0.0
    for part, count in zip(parts, counts, strict=True):
        share: Any = losses(model, part)["loss"] * count / sum(counts)
        share.backward()
        total += float(share.detach())
    descent.step(spent)
    return total
