"""Dialogues as a dialogue model reads them: the turns in one line, what is seen before the last, ids with their end.

Training, measuring and answering share them (ParlAI's recipe, methods 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limner.seen import summary
from limner.world.dialogue import Dialogue, Exchange, Utterance

DELIMITER = "  "
LENGTH = 128
"""Positions of the model: of a longer dialogue the last LENGTH tokens are read."""

PAD, IGNORED = 0, -100
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model reads and what it is to say, as ids that end with EOS."""

    read: list[int]
    say: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Ids and mask (n, length) of what is read, and labels (n, length; -100 where padded) of what is said."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


def written(context: str, history: Sequence[Utterance], said: str) -> str:
    """What the model reads: the turns so far, what is seen (the `context`) and what was said last, in lower case."""
    return DELIMITER.join([*(each.text for each in history), context, said]).lower()


def pairs(dialogues: Iterable[Dialogue]) -> Iterator[tuple[str, str]]:
    """What is read and what is said at each system turn; the caption stands for what is seen where that is unknown."""
    for dialogue in dialogues:
        for exchange in dialogue.exchanges():
            yield _read(exchange, dialogue.caption), exchange.reply.lower()


def _read(exchange: Exchange, caption: str) -> str:
    context = caption if exchange.seen is None else summary(exchange.seen)
    return written(context, exchange.history, exchange.said)


def encoded(tokenizer: Any, text: str) -> list[int]:
    """The last LENGTH ids of a text, its end among them: the library's tokenizer may leave that out."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return [*ids[-LENGTH + 1 :], tokenizer.eos_token_id]


def samples(tokenizer: Any, dialogues: Iterable[Dialogue]) -> list[Sample]:
    """One sample for each system turn: all that was said before it, and the turn (each at most LENGTH tokens)."""
    return [Sample(encoded(tokenizer, read), encoded(tokenizer, say)) for read, say in pairs(dialogues)]


def to_batch(chosen: Sequence[Sample]) -> Batch:
    """Samples padded to the longest of them."""
    ids, labels = _padded([s.read for s in chosen], PAD), _padded([s.say for s in chosen], IGNORED)
    lengths = torch.tensor([[len(s.read)] for s in chosen])
    return Batch(ids, (torch.arange(ids.shape[1])[None] < lengths).long(), labels)


def _padded(rows: Sequence[list[int]], value: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def losses(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy of each next token, EOS among them, and the share of turns that are right throughout."""
    device = model.device
    labels = batch.labels.to(device)
    out = model(input_ids=batch.ids.to(device), attention_mask=batch.mask.to(device), labels=labels, use_cache=False)
    logits = out.logits.float()
    entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    right = ((logits.argmax(-1) == labels) | (labels == IGNORED)).all(1)
    return {"loss": entropy, "whole": right.float().mean()}


@torch.inference_mode()
def perplexity(model: Any, pool: Sequence[Sample]) -> float:
    """exp of the mean negative log-likelihood of a token, teacher forcing, EOS counted (methods 3.3)."""
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    for i in range(0, len(pool), _BATCH):
        batch = to_batch(pool[i : i + _BATCH])
        count = int((batch.labels != IGNORED).sum())
        total, tokens = total + float(losses(model, batch)["loss"]) * count, tokens + count
    model.train(was)
    return math.exp(total / tokens)
