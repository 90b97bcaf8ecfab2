"""How well texts fit pictures: CLIP, and BLIP's contrastive head, behind one `ImageTextScorer`.

Both are two towers whose projected, normalised features meet in a dot product (GPTDrawer Eq. 3, 3.5-3.6), so
n pictures and m texts cost n + m passes, not n * m, and a text is encoded once for all rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from limner.backends.hardware import Plan
from limner.backends.hub import check_configs, check_weights, model_folder, not_loadable, quieten, read_json
from limner.backends.preprocess import Preprocessing, read_preprocessing
from limner.backends.thresholds import Thresholds, read_thresholds
from limner.protocols import Features
from limner.types import BadInput, ModelUnavailable, Picture

_READING = ("*.json", "*.txt")
_FILES = (*_READING, "model*.safetensors")
_REMEMBERED_TEXTS = 4096
_PICTURES_AT_ONCE = 16
# The paper's threshold (section 4) on the scale of BLIP's cosines, where a true caption scores about 0.5.
_BLIP_THRESHOLD = 0.2
# For a CLIP that brings no calibration: the least text-image cosine that InstructPix2Pix's filter keeps.
_CLIP_THRESHOLD = 0.2
# BLIP's retrieval model was trained on captions cut to this many tokens (blip_itm.py).
_BLIP_TEXT_LENGTH = 35


def load_scorer(source: str, *, plan: Plan, name: str = "", processor: str = "") -> TwoTowerScorer:
    """Load a CLIPModel or a BlipForImageTextRetrieval from `embedded:`, a folder or a Hugging Face id.

    `name` is what reports call it (default: the source); `processor` is where tokenizer and preprocessing come from for
    a model that has none of its own. Raises ModelUnavailable when it is missing, of another class, malformed or unsafe.
    """
    folder = model_folder(source, files=_FILES, default="clip")
    check_configs(folder)
    check_weights(folder)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in ("clip", "blip"):
        raise ModelUnavailable(f"{folder} is a {kind!r} model", "Limner scores with CLIP or BLIP (retrieval)")
    reading = _checked(processor) if processor else folder
    model, tokenizer, preprocessing = _load(kind, folder, reading, plan)
    if kind == "clip":
        length = model.config.text_config.max_position_embeddings
        towers = _Towers(model, tokenizer, length, _clip_pictures, _clip_texts)
        return TwoTowerScorer(name or source, towers, preprocessing, read_thresholds(folder, _CLIP_THRESHOLD))
    towers = _Towers(model, tokenizer, _BLIP_TEXT_LENGTH, _blip_pictures, _blip_texts)
    return TwoTowerScorer(name or source, towers, preprocessing, Thresholds(_BLIP_THRESHOLD))


def _checked(processor: str) -> Path:
    folder = model_folder(processor, files=_READING)
    check_configs(folder)
    return folder


def _load(kind: str, folder: Path, reading: Path, plan: Plan) -> tuple[Any, Any, Preprocessing]:
    quieten()
    import transformers

    name = {"clip": "CLIPModel", "blip": "BlipForImageTextRetrieval"}[kind]
    try:
        model = getattr(transformers, name).from_pretrained(
            folder, dtype=getattr(torch, plan.precision), use_safetensors=True, local_files_only=True
        )
        auto: Any = transformers.AutoTokenizer
        tokenizer = auto.from_pretrained(reading, local_files_only=True)
        preprocessing = read_preprocessing(reading)
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error
    return model.to(plan.device).eval(), tokenizer, preprocessing


def _clip_pictures(model: Any, pixels: Tensor) -> Tensor:
    return model.get_image_features(pixel_values=pixels).pooler_output


def _clip_texts(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output


def _blip_pictures(model: Any, pixels: Tensor) -> Tensor:
    """The ViT's class token through vision_proj (methods 5.1)."""
    return model.vision_proj(model.vision_model(pixel_values=pixels).last_hidden_state[:, 0])


def _blip_texts(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """BERT's class token, reading in both directions, through text_proj; padding must be masked (5.1)."""
    return model.text_proj(model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0])


@dataclass(frozen=True, slots=True)
class _Towers:
    """A model, its tokenizer, the most tokens it reads, and how to get either tower's projected features."""

    model: Any
    tokenizer: Any
    length: int
    pictures: Callable[[Any, Tensor], Tensor]
    texts: Callable[[Any, Tensor, Tensor], Tensor]


@dataclass(slots=True)
class TwoTowerScorer:
    """An ImageTextScorer (see protocols): cosines of projected picture and text features."""

    name: str
    towers: _Towers
    preprocessing: Preprocessing
    calibration: Thresholds
    _text: Callable[[str], Features] = field(init=False)

    def __post_init__(self) -> None:
        self._text = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._encode_text)

    @torch.inference_mode()
    def encode_pictures(self, pictures: Sequence[Picture]) -> Features:
        """Unit features (n, dim), float32, of pictures of any sizes."""
        towers = self.towers
        batches = [pictures[i : i + _PICTURES_AT_ONCE] for i in range(0, len(pictures), _PICTURES_AT_ONCE)]
        pixels = (self.preprocessing(batch).to(towers.model.device, towers.model.dtype) for batch in batches)
        return _unit(torch.cat([towers.pictures(towers.model, each) for each in pixels]))

    def encode_texts(self, texts: Sequence[str]) -> Features:
        """Unit features (n, dim), float32. A text longer than the model reads is cut (see `too_long`)."""
        return np.concatenate([self._text(text) for text in texts])

    def thresholds(self, texts: Sequence[str]) -> list[float]:
        """The least cosine that counts as present, for each text."""
        return [self.calibration.of(text) for text in texts]

    def precisions(self, texts: Sequence[str]) -> list[float | None]:
        """The measured share of right passes at these thresholds, for each text; None where it was not measured."""
        return [self.calibration.precision(text) for text in texts]

    def too_long(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that have more tokens than the model reads."""
        count = self.towers.tokenizer
        return [text for text in texts if len(count(text, verbose=False).input_ids) > self.towers.length]

    @torch.inference_mode()
    def _encode_text(self, text: str) -> Features:
        """One text at a time, so that no padding and no neighbour can touch its numbers."""
        towers = self.towers
        tokens = towers.tokenizer(text, truncation=True, max_length=towers.length, return_tensors="pt")
        tokens = tokens.to(towers.model.device)
        return _unit(towers.texts(towers.model, tokens.input_ids, tokens.attention_mask))


def _unit(features: Tensor) -> Features:
    return normalize(features.float(), dim=-1).cpu().numpy()


@torch.inference_mode()
def raw_features(scorer: TwoTowerScorer, pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
    """Projected features (n, dim), float32, of their own lengths: their directions are those of `encode_pictures`."""
    towers = scorer.towers
    batches = [pictures[i : i + _PICTURES_AT_ONCE] for i in range(0, len(pictures), _PICTURES_AT_ONCE)]
    pixels = (scorer.preprocessing(batch).to(towers.model.device, towers.model.dtype) for batch in batches)
    return torch.cat([towers.pictures(towers.model, each) for each in pixels]).float().cpu().numpy()


def logit_scale(scorer: TwoTowerScorer) -> float:
    """What CLIP's cosines are multiplied by before a softmax. Raises BadInput for BLIP, whose own is not published."""
    learned: Tensor | None = getattr(scorer.towers.model, "logit_scale", None)
    if learned is None:
        raise BadInput(f"{scorer.name} has no scale of its cosines", "score with a CLIP model")
    return float(learned.detach().exp())
