"""Pseudo-words: vectors that a text encoder reads where it would look up a token (textual inversion, Gal et al. 2023).

A vector gets a negative number for an id, which no vocabulary has, so that neither the tokenizer nor the encoder's
table changes, and the place of the end token, which CLIP's older configs find as the largest id, stays the same.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

_BOOKS: weakref.WeakKeyDictionary[nn.Module, PseudoWords] = weakref.WeakKeyDictionary()


class PseudoWords:
    """The extra vectors of one text encoder, by name. What is trained is given as a parameter and stays one."""

    def __init__(self, encoder: Any) -> None:
        self._vectors: dict[str, Tensor] = {}
        self._ids: dict[str, tuple[int, ...]] = {}
        self._taken = 0
        self._asked: Tensor | None = None
        embedding = encoder.get_input_embeddings()
        self.width = int(embedding.embedding_dim)
        embedding.register_forward_pre_hook(self._remember)
        embedding.register_forward_hook(self._replace)

    def put(self, name: str, vectors: Tensor) -> tuple[int, ...]:
        """Give `name` the vectors (n, width); returns the n ids to put into a row of tokens.

        A name put again with as many vectors keeps its ids. Raises ValueError for another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise ValueError(f"vectors of shape {tuple(vectors.shape)} for an encoder of width {self.width}")
        if len(self._ids.get(name, ())) != len(vectors):
            first = self._taken + 1
            self._ids[name] = tuple(-number for number in range(first, first + len(vectors)))
            self._taken += len(vectors)
        self._vectors[name] = vectors
        return self._ids[name]

    def ids(self, name: str) -> tuple[int, ...] | None:
        """The ids of a name that was put, else None."""
        return self._ids.get(name)

    def drop(self, name: str) -> None:
        """Forget a name."""
        self._vectors.pop(name, None)
        self._ids.pop(name, None)

    def _remember(self, _: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        ids = args[0]
        self._asked = ids if bool((ids < 0).any()) else None
        return None if self._asked is None else (ids.clamp(min=0), *args[1:])

    def _replace(self, _: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        if self._asked is None:
            return out
        for name, numbers in self._ids.items():
            for row, number in enumerate(numbers):
                place = (self._asked == number)[..., None]
                if bool(place.any()):
                    out = torch.where(place, self._vectors[name][row].to(out), out)
        self._asked = None
        return out


def pseudo_words(encoder: Any) -> PseudoWords:
    """The pseudo-words of a text encoder: always the same for the same encoder, made at the first call."""
    if encoder not in _BOOKS:
        _BOOKS[encoder] = PseudoWords(encoder)
    return _BOOKS[encoder]
