"""OWL-ViT and OWLv2: every patch of a picture proposes one box, and its features meet the queries' in a dot product."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.backends.looking import LastSeen, to_pixels
from limner.backends.preprocess import Preprocessing
from limner.types import Picture

_log = logging.getLogger(__name__)
_PICTURES_AT_ONCE = 4
_REMEMBERED_TEXTS = 4096
_GREY = 128


@dataclass(slots=True)
class Owl:
    """The model, its tokenizer, and how a query becomes its text («{}» stands for the query).

    `square` says that pictures are padded to a square (OWLv2) and not stretched to one (OWL-ViT).
    """

    model: Any
    tokenizer: Any
    preprocessing: Preprocessing
    prompt: str
    square: bool
    _text: Callable[[str], Tensor] = field(init=False)
    _seen: LastSeen[tuple[Tensor, Tensor]] = field(default_factory=LastSeen[tuple[Tensor, Tensor]])

    def __post_init__(self) -> None:
        self._text = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._encode_text)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Let the towers, where the time goes, compute in `dtype`; the heads stay in float32.

        A box that comes out of a head in bfloat16 is rounded to 1/256 of the picture.
        """
        self._towers.to(dtype)
        self.model.layer_norm.to(dtype)

    def find(self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each picture its boxes (n, 4), xyxy in pixels, and how well each query fits each: (n, queries) in 0 to 1.

        A box is scored for each query on its own, so asking for more does not take a region from another query.
        """
        for start in range(0, len(pictures), _PICTURES_AT_ONCE):
            batch = pictures[start : start + _PICTURES_AT_ONCE]
            shown = [padded(each) for each in batch] if self.square else batch
            [first, *others] = batch
            boxes, features = self._look(shown) if others else self._seen.of(first, partial(self._look, shown))
            for i, picture in enumerate(shown):
                yield to_pixels(boxes[i], picture.width, picture.height), self._fit(features[i], queries[start + i])

    @property
    def _towers(self) -> Any:
        return self.model.owlv2 if self.square else self.model.owlvit

    def _look(self, pictures: Sequence[Picture]) -> tuple[Tensor, Tensor]:
        """Boxes (pictures, patches, 4) as centre and size in shares of the square, and the patches' features."""
        pixels = self.preprocessing(pictures).to(self.model.device, self.model.layer_norm.weight.dtype)
        grid = self.model.image_embedder(pixels)[0].float()
        features = grid.flatten(1, 2)
        return self.model.box_predictor(features, grid), features

    def _fit(self, features: Tensor, queries: Sequence[str]) -> Tensor:
        if not queries:
            return features.new_zeros(len(features), 0)
        texts = torch.cat([self._text(query) for query in queries])
        # Not the model's own forward: it takes a query whose first token has id 0 for padding, whatever the tokenizer.
        return self.model.class_predictor(features[None], texts[None])[0][0].sigmoid()

    def _encode_text(self, query: str) -> Tensor:
        """One text at a time, so that no padding and no neighbour can touch its numbers."""
        text = self.prompt.replace("{}", query)
        length = self.model.config.text_config.max_position_embeddings
        if len(self.tokenizer(text, verbose=False).input_ids) > length:
            _log.warning("only the first %d tokens are looked for of: %s", length, text)
        tokens = self.tokenizer(text, truncation=True, max_length=length, return_tensors="pt").to(self.model.device)
        features = self._towers.get_text_features(tokens.input_ids, tokens.attention_mask)
        return features.pooler_output.float()


def padded(picture: Picture) -> Picture:
    """The picture in the top left corner of a grey square, as OWLv2 was trained (scenic's owl_vit).

    Boxes are then shares of the square's side and not of the picture's.
    """
    side = max(picture.width, picture.height)
    pixels = np.full((side, side, 3), _GREY, np.uint8)
    pixels[: picture.height, : picture.width] = picture.pixels
    return Picture(pixels)
