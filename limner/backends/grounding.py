"""Grounding DINO: all queries of a picture in one prompt, every proposed box scored against every token of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limner.backends.looking import to_pixels
from limner.types import Picture

_log = logging.getLogger(__name__)
# A token counts as part of what a box shows from this probability on (Grounding DINO's text threshold).
_TEXT_THRESHOLD = 0.25
# Full stops and question marks separate phrases, in training and in the model's attention masks.
_SEPARATORS = re.compile(r"[.?\s]+")


@dataclass(frozen=True, slots=True)
class GroundingDino:
    """The model, its tokenizer and its image processor."""

    model: Any
    tokenizer: Any
    processor: Any

    def find(self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each picture its boxes (n, 4), xyxy in pixels, and how well each query fits each: (n, queries) in 0 to 1.

        Only one query fits a box, the one it shows most of; the others' scores are 0. One picture at a time: in a
        batch the pictures are padded to the largest, and a picture's boxes would depend on its neighbours.
        """
        for picture, asked in zip(pictures, queries, strict=True):
            if asked:
                yield self._look(picture, asked)
            else:
                yield torch.zeros(0, 4), torch.zeros(0, 0)

    def _look(self, picture: Picture, queries: Sequence[str]) -> tuple[Tensor, Tensor]:
        text, tokens = self.prompt(queries)
        inputs = self.processor(picture.pixels, input_data_format="channels_last", return_tensors="pt")
        found = self.model(**inputs.to(self.model.device), **text.to(self.model.device))
        boxes = to_pixels(found.pred_boxes[0], picture.width, picture.height)
        return boxes, assign(found.logits[0].sigmoid().cpu().double(), tokens)

    def prompt(self, queries: Sequence[str]) -> tuple[Any, list[list[int]]]:
        """The tokenized prompt «cat. red car.» and, for each query, the positions of its tokens in it."""
        phrases = [_SEPARATORS.sub(" ", query).strip().lower() for query in queries]
        longest = self.model.config.max_text_len
        text = self.tokenizer(
            " ".join(f"{phrase}." for phrase in phrases),
            truncation=True,
            max_length=longest,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets: list[tuple[int, int]] = text.pop("offset_mapping")[0].tolist()
        tokens = positions(phrases, offsets)
        if lost := [query for query, own in zip(queries, tokens, strict=True) if not own]:
            _log.warning("not looked for, the prompt ends after %d tokens: %s", longest, ", ".join(lost))
        return text, tokens


def positions(phrases: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each phrase of «cat. red car.» the tokens that spell it, by the tokens' (start, end) in the prompt."""
    found: list[list[int]] = []
    start = 0
    for phrase in phrases:
        end = start + len(phrase)
        found.append([i for i, (left, right) in enumerate(offsets) if start <= left < right <= end])
        start = end + len(". ")
    return found


def assign(probabilities: Tensor, tokens: Sequence[Sequence[int]]) -> Tensor:
    """Scores (boxes, queries) from probabilities (boxes, tokens; float64) and each query's positions among the tokens.

    A box belongs to the query it shows the largest share of, then the most tokens of («red car» before «car»), then
    to that of the surest token; its score there is that of the surest token. All its other scores are 0.
    """
    best = probabilities.new_zeros(len(probabilities), len(tokens))
    shown, share = torch.zeros_like(best), torch.zeros_like(best)
    for query, own in enumerate(tokens):
        if own:
            best[:, query] = probabilities[:, own].amax(dim=1)
            shown[:, query] = (probabilities[:, own] > _TEXT_THRESHOLD).sum(dim=1)
            share[:, query] = shown[:, query] / len(own)
    # One sortable number: shares differ by more than 1e-5, and a prompt has fewer than 1000 tokens.
    chosen = (share * 1e9 + shown * 10 + best).argmax(dim=1, keepdim=True)
    return torch.zeros_like(best).scatter_(1, chosen, best.gather(1, chosen))
