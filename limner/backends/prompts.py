"""Prompts to text embeddings: weights on words, prompts of any length, one or two text encoders, learned concepts.

A prompt is cut into windows of the tokenizer's length, each encoded by itself, and the windows' hidden
states are joined along the token axis: cross-attention takes any number of tokens, so nothing is cut off.
A concept's word stands for its pseudo-word, and its negative side joins the negative prompt (DreamArtist 6.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from limner.backends.rack import Rack
from limner.concept import Use, bare
from limner.prompt import parse

_REMEMBERED_TEXTS = 512
_CONCEPT = re.compile(r"<([\w-]+)>")
_PLAINLY: dict[str, Any] = {"add_special_tokens": False, "verbose": False}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TextTower:
    """A tokenizer and a text encoder, and the `part` of the pipeline that it is.

    SDXL takes the `penultimate` layer, Stable Diffusion 1 and 2 the last.
    """

    tokenizer: Any
    encoder: Any
    penultimate: bool = False
    part: str = "text_encoder"


@dataclass(frozen=True, slots=True)
class Embedding:
    """`states`: (1, windows * length, dim). `pooled`: (1, dim) where the second tower projects, else None."""

    states: Tensor
    pooled: Tensor | None
    windows: int


class PromptEncoder:
    """Encodes prompts in A1111 weight syntax and remembers the last 512 of them; `rack` has the concepts."""

    def __init__(self, towers: Sequence[TextTower], rack: Rack | None = None) -> None:
        self.towers = tuple(towers)
        self.rack = rack or Rack({tower.part: tower.encoder for tower in towers})
        self._remembered = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._encode)

    def pair(self, prompt: str, negative: str) -> tuple[Embedding, Embedding]:
        """Encode both sides of classifier-free guidance, with as many windows on each.

        The negative sides of the prompt's concepts join the negative prompt. The shorter side is filled up with
        windows of the empty text, which say nothing. Raises BadInput for a concept that is not there or unfit.
        """
        wanted = self.rack.hang(prompt, negative)
        sided = [use.name for use in wanted if self.rack.concept(use.name).words.get("negative")]
        against = ", ".join([*([negative] if negative else []), *(f"<{name}-neg>" for name in sided)])
        sides = self.encode(prompt, "positive", wanted), self.encode(against, "negative", wanted)
        windows = max(side.windows for side in sides)
        return self._filled(sides[0], windows), self._filled(sides[1], windows)

    def encode(
        self, prompt: str, side: Literal["positive", "negative"] = "positive", wanted: tuple[Use, ...] = ()
    ) -> Embedding:
        """Encode one side; `wanted` are the concepts whose adapters act on it, already hung up on the rack."""
        return self._remembered(bare(prompt), side, wanted, self.rack.version)

    def length_of(self, word: str) -> int:
        """How many tokens a concept's word («<gizmo>») takes; 0 for a text that is none."""
        found = _CONCEPT.fullmatch(word)
        ids = self.rack.words(self.towers[0].part).ids(found[1]) if found else None
        return len(ids or ())

    def _filled(self, embedding: Embedding, windows: int) -> Embedding:
        missing = windows - embedding.windows
        if not missing:
            return embedding
        empty = self.encode("").states
        return Embedding(torch.cat([embedding.states, *[empty] * missing], dim=1), embedding.pooled, windows)

    @torch.inference_mode()
    def _encode(
        self, prompt: str, side: Literal["positive", "negative"], wanted: tuple[Use, ...], _version: int
    ) -> Embedding:
        strengths = {use.name: use.positive for use in wanted} | {f"{u.name}-neg": u.negative for u in wanted}
        cut = [list(self._windows(tower, prompt, strengths)) for tower in self.towers]
        windows = max(len(each) for each in cut)
        encoded: list[tuple[Tensor, Tensor | None]] = []
        for tower, each in zip(self.towers, cut, strict=True):
            with self.rack.acting(tower.part, wanted, (side,)):
                encoded.append(_tower_states(tower, each, windows))
        states = torch.cat([states for states, _ in encoded], dim=-1)
        return Embedding(states, encoded[-1][1], windows)

    def _windows(self, tower: TextTower, prompt: str, strengths: Mapping[str, float]) -> Iterator[_Window]:
        """Cut a prompt into windows that leave room for the start and end tokens; at least one, perhaps empty."""
        tokens = [
            (token, segment.weight * strength)
            for segment in parse(prompt)
            for token, strength in self.tokens(tower, segment.text, strengths)
        ]
        room = tower.tokenizer.model_max_length - 2
        for start in range(0, max(len(tokens), 1), room):
            ids, weights = zip(*tokens[start : start + room], strict=True) if tokens else ((), ())
            yield _Window(ids, weights)

    def tokens(self, tower: TextTower, text: str, strengths: Mapping[str, float]) -> Iterator[tuple[int, float]]:
        """Token ids of a text without weights, each with its strength; a word of strength 0 is left out."""
        for position, piece in enumerate(_CONCEPT.split(text)):
            ids = self.rack.words(tower.part).ids(piece) if position % 2 else None
            if ids is None:
                as_text = f"<{piece}>" if position % 2 else piece
                yield from ((token, 1.0) for token in tower.tokenizer(as_text, **_PLAINLY).input_ids)
            elif strength := strengths.get(piece, 1.0):
                yield from ((token, strength) for token in ids)


@dataclass(frozen=True, slots=True)
class _Window:
    """Token ids between start and end, with a weight each."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def _tower_states(tower: TextTower, windows: list[_Window], count: int) -> tuple[Tensor, Tensor | None]:
    """Hidden states (1, count * length, dim) of all windows, weighted, and the first window's pooled output."""
    windows = windows + [_Window((), ())] * (count - len(windows))
    # One by one: in company a window would get other bits than alone.
    outputs = [read(tower, token_rows(tower, [window.ids])) for window in windows]
    states = torch.cat([states for states, _ in outputs], dim=1)
    length = tower.tokenizer.model_max_length
    weights = [weight for window in windows for weight in _padded((1.0, *window.weights, 1.0), length, 1.0)]
    return weigh(states, torch.tensor(weights)), outputs[0][1]


def token_rows(tower: TextTower, texts: Sequence[Sequence[int]]) -> Tensor:
    """Token ids (n, length) with start, end and padding around each text; what is too long loses its end."""
    tokenizer = tower.tokenizer
    room = tokenizer.model_max_length - 2
    whole = [(tokenizer.bos_token_id, *ids[:room], tokenizer.eos_token_id) for ids in texts]
    rows = [_padded(ids, tokenizer.model_max_length, tokenizer.pad_token_id) for ids in whole]
    return torch.tensor(rows, device=tower.encoder.device)


def read(tower: TextTower, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Hidden states (n, length, dim) of token ids (n, length), and the pooled text (n, dim) where SDXL takes it."""
    output = tower.encoder(rows, output_hidden_states=tower.penultimate)
    # Only CLIPTextModelWithProjection has text_embeds.
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
