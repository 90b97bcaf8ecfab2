"""Prompts to text embeddings: weights on words, prompts of any length, one or two text encoders.

A prompt is cut into windows of the tokenizer's length, each encoded by itself, and the windows' hidden
states are joined along the token axis: cross-attention takes any number of tokens, so nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from limner.prompt import parse

_REMEMBERED_TEXTS = 512
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TextTower:
    """A tokenizer and a text encoder. SDXL takes the `penultimate` layer, Stable Diffusion 1 and 2 the last."""

    tokenizer: Any
    encoder: Any
    penultimate: bool = False


@dataclass(frozen=True, slots=True)
class Embedding:
    """`states`: (1, windows * length, dim). `pooled`: (1, dim) where the second tower projects, else None."""

    states: Tensor
    pooled: Tensor | None
    windows: int


class PromptEncoder:
    """Encodes prompts in A1111 weight syntax and remembers the last 512 of them."""

    def __init__(self, towers: Sequence[TextTower]) -> None:
        self._towers = tuple(towers)
        self.encode = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._encode)

    def pair(self, prompt: str, negative: str) -> tuple[Embedding, Embedding]:
        """Encode both sides of classifier-free guidance, with as many windows on each.

        The shorter side is filled up with windows of the empty text, which say nothing.
        """
        sides = self.encode(prompt), self.encode(negative)
        windows = max(side.windows for side in sides)
        return self._filled(sides[0], windows), self._filled(sides[1], windows)

    def _filled(self, embedding: Embedding, windows: int) -> Embedding:
        missing = windows - embedding.windows
        if not missing:
            return embedding
        empty = self.encode("").states
        return Embedding(torch.cat([embedding.states, *[empty] * missing], dim=1), embedding.pooled, windows)

    @torch.inference_mode()
    def _encode(self, prompt: str) -> Embedding:
        cut = [list(_windows(tower.tokenizer, prompt)) for tower in self._towers]
        windows = max(len(each) for each in cut)
        encoded = [_tower_states(tower, each, windows) for tower, each in zip(self._towers, cut, strict=True)]
        states = torch.cat([states for states, _ in encoded], dim=-1)
        return Embedding(states, encoded[-1][1], windows)


@dataclass(frozen=True, slots=True)
class _Window:
    """Token ids between start and end, with a weight each."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def _windows(tokenizer: Any, prompt: str) -> Iterator[_Window]:
    """Cut a prompt into windows that leave room for the start and end tokens; at least one, perhaps empty."""
    tokens = [
        (token, segment.weight)
        for segment in parse(prompt)
        for token in tokenizer(segment.text, add_special_tokens=False, verbose=False).input_ids
    ]
    room = tokenizer.model_max_length - 2
    for start in range(0, max(len(tokens), 1), room):
        ids, weights = zip(*tokens[start : start + room], strict=True) if tokens else ((), ())
        yield _Window(ids, weights)


def _tower_states(tower: TextTower, windows: list[_Window], count: int) -> tuple[Tensor, Tensor | None]:
    """Hidden states (1, count * length, dim) of all windows, weighted, and the first window's pooled output."""
    windows = windows + [_Window((), ())] * (count - len(windows))
    outputs = [_run(tower, window) for window in windows]
    states = torch.cat([states for states, _ in outputs], dim=1)
    length = tower.tokenizer.model_max_length
    weights = [weight for window in windows for weight in _padded((1.0, *window.weights, 1.0), length, 1.0)]
    return weigh(states, torch.tensor(weights)), outputs[0][1]


def _run(tower: TextTower, window: _Window) -> tuple[Tensor, Tensor | None]:
    tokenizer, encoder = tower.tokenizer, tower.encoder
    ids = (tokenizer.bos_token_id, *window.ids, tokenizer.eos_token_id)
    row = torch.tensor([_padded(ids, tokenizer.model_max_length, tokenizer.pad_token_id)], device=encoder.device)
    output = encoder(row, output_hidden_states=tower.penultimate)
    # Only CLIPTextModelWithProjection has text_embeds, which SDXL takes as the pooled text.
    return (output.hidden_states[-2] if tower.penultimate else output.last_hidden_state), output.get("text_embeds")


def _padded(items: tuple[_T, ...], length: int, filler: _T) -> list[_T]:
    return [*items, *[filler] * (length - len(items))]


def weigh(states: Tensor, weights: Tensor) -> Tensor:
    """Scale each token's hidden state by its weight, then all of them back to the old mean magnitude.

    `states` is (1, tokens, dim), `weights` (tokens,). Without the second step a raised word would also raise
    the whole prompt against the negative one (methods 5.2). The mean of magnitudes stands for A1111's plain
    mean, which is close to zero for a layer-normed encoder and would make the correction arbitrary.
    """
    if bool((weights == 1).all()):
        return states
    exact = states.float()
    scaled = exact * weights.to(states.device)[None, :, None]
    return (scaled * (exact.abs().mean() / scaled.abs().mean())).to(states.dtype)
