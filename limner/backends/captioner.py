"""What a picture shows, in one sentence: BLIP or BLIP-2 (ChatGenImage 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from limner.backends.hardware import Plan
from limner.backends.hub import not_loadable
from limner.backends.looking import LastSeen, checked_folder, load_model, load_tokenizer
from limner.backends.preprocess import Preprocessing, read_preprocessing
from limner.types import Picture

_CLASSES = {"blip": "BlipForConditionalGeneration", "blip-2": "Blip2ForConditionalGeneration"}
_PICTURES_AT_ONCE = 16
# BLIP's captioning (its paper, appendix) uses three beams; the bound is for captions longer than COCO's.
_BEAMS, _LONGEST = 3, 40


def load_captioner(source: str, *, plan: Plan, name: str = "") -> BlipCaptioner:
    """Load a BlipForConditionalGeneration or Blip2ForConditionalGeneration from `embedded:`, a folder or a hub id.

    `name` is what reports call it (default: the source). Raises ModelUnavailable when it is missing, of
    another class, malformed or unsafe.
    """
    folder, kind = checked_folder(source, _CLASSES, default="captioner")
    model = load_model(folder, _CLASSES[kind], getattr(torch, plan.precision)).to(plan.device)
    tokenizer = load_tokenizer(folder)
    try:
        preprocessing = read_preprocessing(folder)
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error
    return BlipCaptioner(name or source, model, tokenizer, preprocessing)


@dataclass(slots=True)
class BlipCaptioner:
    """A Captioner (see protocols): beam search, so that a picture has one caption and always the same."""

    name: str
    model: Any
    tokenizer: Any
    preprocessing: Preprocessing
    _seen: LastSeen[str] = field(default_factory=LastSeen[str])

    @torch.inference_mode()
    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        """One sentence of at most 40 tokens for each picture of any size: lower case, no full stop."""
        if len(pictures) == 1:
            return [self._seen.of(pictures[0], lambda: self._batch(pictures)[0])]
        batches = [pictures[i : i + _PICTURES_AT_ONCE] for i in range(0, len(pictures), _PICTURES_AT_ONCE)]
        return [sentence for batch in batches for sentence in self._batch(batch)]

    def _batch(self, pictures: Sequence[Picture]) -> list[str]:
        pixels = self.preprocessing(pictures).to(self.model.device, self.model.dtype)
        ids = self.model.generate(pixel_values=pixels, num_beams=_BEAMS, do_sample=False, max_new_tokens=_LONGEST)
        # The first is what all of them start from; BLIP's own is a token that its tokenizer may not know as special.
        return [tidy(text) for text in self.tokenizer.batch_decode(ids[:, 1:], skip_special_tokens=True)]


def tidy(text: str) -> str:
    """Lower case, single spaces, no full stop at the end."""
    return " ".join(text.lower().split()).rstrip(" .")
