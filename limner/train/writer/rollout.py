"""Texts written by chance: many prefixes at once, with a key-value cache, by locally typical sampling.

What is written is kept as ids and never looked for in a text again. A row leaves the batch when its text has ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

TYPICAL = 0.97
"""The mass of locally typical sampling (DiffChat A.5)."""

_FEW = 64
"""Tokens that mostly reach the mass, so that the whole vocabulary need not be sorted."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Prefixes and targets side by side: each prefix ends, and each target begins, at the same column.

    ids and mask are (n, width + length); `mask[:, width:]` is 1 on the target's tokens, EOS among them.
    """

    ids: Tensor
    mask: Tensor
    width: int

    @property
    def targets(self) -> Tensor:
        """(n, length)"""
        return self.ids[:, self.width :]

    @property
    def written(self) -> Tensor:
        """1.0 where a target has a token: (n, length)."""
        return self.mask[:, self.width :].float()


def lay_out(prefixes: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], pad: int) -> Layout:
    """Prefixes padded at the left, targets at the right."""
    width, length = max(map(len, prefixes)), max(1, *map(len, targets))
    left = [[*[pad] * (width - len(p)), *p] for p in prefixes]
    right = [[*t, *[pad] * (length - len(t))] for t in targets]
    places = torch.arange(width + length)[None]
    begins = torch.tensor([[width - len(p)] for p in prefixes])
    ends = torch.tensor([[width + len(t)] for t in targets])
    mask = ((places >= begins) & (places < ends)).long()
    return Layout(torch.tensor([[*a, *b] for a, b in zip(left, right, strict=True)]), mask, width)


def positions_of(mask: Tensor) -> Tensor:
    """The place of each token in its own text; padding at the left does not count."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def takes_positions(model: Any) -> bool:
    """Whether the model is told the places; BLOOM finds them from the mask."""
    return "position_ids" in inspect.signature(model.base_model.forward).parameters


def typical(logits: Tensor, mass: float) -> Tensor:
    """Logits (n, tokens) with -inf on all but the locally typical tokens (Meister et al. 2023).

    Kept is the smallest set of tokens, those first whose information is nearest to the entropy, whose probability
    reaches `mass`: the space Y+ of DiffChat's equation 3.
    """
    logs = logits.log_softmax(-1)
    shares = logs.exp()
    entropy = -(shares * logs).nansum(-1, keepdim=True)
    strange = (-logs - entropy).abs()
    few = min(_FEW, logits.shape[-1])
    order = strange.topk(few, largest=False).indices
    if few < logits.shape[-1] and float(shares.gather(-1, order).sum(-1).min()) < mass:
        order = strange.argsort(-1)  # seldom: where the writer is unsure
    own = shares.gather(-1, order)
    kept = own.cumsum(-1) - own < mass
    dropped = torch.ones_like(logs, dtype=torch.bool).scatter(-1, order, ~kept)
    return logits.masked_fill(dropped, -torch.inf)


@torch.inference_mode()
def sample(
    model: Any,
    prefixes: Sequence[Sequence[int]],
    *,
    end: int,
    pad: int,
    longest: int,
    generator: torch.Generator,
    mass: float = TYPICAL,
) -> list[list[int]]:
    """One text for each prefix, as ids that end with `end`, or after `longest` tokens without it.

    `mass` 1 samples from all tokens; 0 takes the likeliest one each time.
    """
    place = model.device
    start = lay_out(prefixes, [()] * len(prefixes), pad)
    ids, mask = start.ids[:, : start.width].to(place), start.mask[:, : start.width].to(place)
    texts: list[list[int]] = [[] for _ in prefixes]
    rows = torch.arange(len(prefixes), device=place)
    cache, positions = _roomy(model, mask.shape[1] + longest), positions_of(mask)
    told = takes_positions(model)
    for _ in range(longest):
        where = {"position_ids": positions} if told else {}
        out = model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1, **where
        )
        chosen = _choose(out.logits[:, -1].float(), mass, generator)
        for row, token in zip(rows, chosen, strict=True):
            texts[int(row)].append(int(token))
        alive = chosen != end
        if not bool(alive.all()):
            if not bool(alive.any()):
                break
            kept = alive.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            rows, chosen, mask, positions = rows[kept], chosen[kept], mask[kept], positions[kept]
        ids = chosen[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
        positions = positions[:, -1:] + 1
    return texts


class _Room(DynamicLayer):
    """A layer's keys and values in room that is taken once: the library's own copies all of them at each token."""

    def __init__(self, longest: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.longest, self.length = longest, 0
        self.room: list[Tensor] = []

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Put new keys and values, (n, heads, tokens, width), behind the others; returns views of all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            both = (key_states, value_states)
            self.room = [new.new_empty(*new.shape[:2], self.longest, new.shape[3]) for new in both]
        end = self.length + key_states.shape[2]
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, self.length : end] = new
        self.length = end
        return self._view()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows only."""
        self.room = [room[indices] for room in self.room]
        self._view()

    def _view(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = (room[:, :, : self.length] for room in self.room)
        return self.keys, self.values


def _roomy(model: Any, longest: int) -> DynamicCache:
    """A cache for so many tokens; layers of another kind, such as sliding windows, stay the library's."""
    cache: Any = DynamicCache(config=model.config)
    cache.layers = [_Room(longest) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _choose(logits: Tensor, mass: float, generator: torch.Generator) -> Tensor:
    if mass == 0:
        return logits.argmax(-1)
    kept = typical(logits, mass) if mass < 1 else logits
    return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]
