"""How good pictures are, in the forms of DiffChat's tables (methods 2.9), all behind one method, `score`.

PickScore, HPS and CLIP-S are cosines of a CLIPModel's features times a scale; the aesthetic score is the head that
LAION trained on CLIP's picture features. The embedded ones are small heads on the embedded CLIP (`train.taste`), so
that the tables can be made anywhere; they are no measure of what people like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from torch.nn.functional import normalize

from limner.backends.hub import model_folder
from limner.backends.pickled import read_embedding
from limner.backends.vision import TwoTowerScorer, logit_scale
from limner.protocols import Features, ImageTextScorer
from limner.types import ModelUnavailable, Picture

Scores = npt.NDArray[np.float32]
"""One number a picture, shape (n,)."""

PERCENT = 100.0
"""The scale of the tables' cosines."""

LAYERS = (0, 2, 4, 6, 7)
"""The places of the linear maps in LAION's head; dropout stands between them in training, and nothing else."""

_Weights = Mapping[str, npt.NDArray[np.float32]]
_PICKLED = (".pth", ".pt", ".bin")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Bend:
    """A small correction of one tower's features: f + relu(f A + a) B, normalised again; `into` is A, `out` is B."""

    into: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    out: npt.NDArray[np.float32]

    def __call__(self, features: Features) -> Features:
        """Unit features (n, dim) to unit features of the same shape."""
        bent = features + np.maximum(features @ self.into + self.bias, 0) @ self.out
        return bent / np.linalg.norm(bent, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class CosineTaste:
    """scale * cos(picture, prompt): PickScore with the model's own scale, HPS v1 and CLIP-S with 100."""

    name: str
    scorer: ImageTextScorer
    scale: float
    pictures: Bend | None = None
    texts: Bend | None = None

    def score(self, pictures: Sequence[Picture], prompts: Sequence[str]) -> Scores:
        """One score a pair; a prompt longer than the model reads is cut (see the scorer's `too_long`)."""
        seen, said = self.scorer.encode_pictures(pictures), self.scorer.encode_texts(prompts)
        return self.of_features(seen, said)

    def of_features(self, seen: Features, said: Features) -> Scores:
        """The same from unit features (n, dim) of pictures and prompts."""
        seen = self.pictures(seen) if self.pictures else seen
        said = self.texts(said) if self.texts else said
        return self.scale * (seen * said).sum(axis=1)


@dataclass(frozen=True, slots=True)
class AestheticTaste:
    """LAION's head: linear maps one after another on CLIP's unit picture features; prompts are not read.

    The embedded head says, on a scale from 0 to 10, how cleanly a picture is drawn: as a render 10, as noise 0. It
    reads `inner_features`, for the embedded CLIP was trained to see through noise and blur.
    """

    name: str
    features: Callable[[Sequence[Picture]], Features]
    layers: tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], ...]

    def score(self, pictures: Sequence[Picture], prompts: Sequence[str]) -> Scores:
        """One score a picture."""
        hidden = self.features(pictures)
        for weight, bias in self.layers:
            hidden = hidden @ weight.T + bias
        return hidden[:, 0]


@torch.inference_mode()
def inner_features(scorer: TwoTowerScorer, pictures: Sequence[Picture]) -> Features:
    """What a CLIP sees of a picture's surface: its unit features, then mean and deviation over the patches of what
    leaves its first two layers. float32 (n, dim + 4 * width)."""
    model = scorer.towers.model
    batches = [pictures[i : i + _AT_ONCE] for i in range(0, len(pictures), _AT_ONCE)]
    rows = [_inner(model, scorer.preprocessing(batch).to(model.device, model.dtype)) for batch in batches]
    return torch.cat(rows).cpu().numpy()


def _inner(model: Any, pixels: Tensor) -> Tensor:
    seen = model.vision_model(pixel_values=pixels, output_hidden_states=True)
    whole = normalize(model.visual_projection(seen.pooler_output).float(), dim=-1)
    patches = [states[:, 1:].float() for states in seen.hidden_states[1:3]]
    return torch.cat([whole, *(part for each in patches for part in (each.mean(1), each.std(1)))], 1)


def directional(
    scorer: ImageTextScorer,
    before: Sequence[Picture],
    after: Sequence[Picture],
    told: Sequence[tuple[str, str]],
) -> Scores:
    """D-CLIP-S: 100 * cos(I(after) - I(before), T(after) - T(before)) of unit features; 0 where one has not changed.

    `told` are the texts of before and after.
    """
    moved = scorer.encode_pictures(after) - scorer.encode_pictures(before)
    said = scorer.encode_texts([new for _, new in told]) - scorer.encode_texts([old for old, _ in told])
    lengths = np.linalg.norm(moved, axis=1) * np.linalg.norm(said, axis=1)
    changed = lengths > 1e-6
    cosines = np.where(changed, (moved * said).sum(axis=1) / np.where(changed, lengths, 1.0), 0.0)
    return (PERCENT * cosines).astype(np.float32)


def pick_score(scorer: TwoTowerScorer, head: str = "") -> CosineTaste:
    """PickScore's form (Kirstain et al. 2023): the learned scale times the cosine, raw, no softmax.

    `head` names a correction of the features («embedded:taste») for a CLIP that is not PickScore's own.
    """
    if not head:
        return CosineTaste(f"{scorer.name} preference", scorer, logit_scale(scorer))
    weights = read_head(head, "preference.safetensors")
    return _corrected(f"{head} preference", scorer, weights, float(np.exp(_one(weights, "logit_scale"))))


def hps(scorer: TwoTowerScorer, head: str = "") -> CosineTaste:
    """HPS v1's form (Wu et al. 2023): 100 times the cosine of a CLIP tuned on choices among several pictures."""
    if not head:
        return CosineTaste(f"{scorer.name} hps", scorer, PERCENT)
    return _corrected(f"{head} hps", scorer, read_head(head, "hps.safetensors"), PERCENT)


def clip_score(scorer: TwoTowerScorer) -> CosineTaste:
    """CLIP-S: 100 times the cosine."""
    return CosineTaste(f"{scorer.name} clip", scorer, PERCENT)


def aesthetic(scorer: TwoTowerScorer, head: str, *, unsafe: bool = False) -> AestheticTaste:
    """LAION's aesthetic predictor on a CLIP's features; `head` is a file, a folder, or «embedded:taste».

    Raises ModelUnavailable for a head that does not fit the CLIP, BadInput for a pickled one unless `unsafe`.
    """
    weights = read_head(head, "aesthetic.safetensors", unsafe=unsafe)
    try:
        layers = tuple((weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"]) for i in LAYERS)
    except KeyError as error:
        raise ModelUnavailable(f"{head} is no aesthetic head: {error} is missing in it") from None
    widths = [layers[0][0].shape[1], *(len(weight) for weight, _ in layers)]
    fits = all(weight.shape[1] == width for (weight, _), width in zip(layers, widths, strict=False))
    inner = _width(scorer) + 4 * int(scorer.towers.model.config.vision_config.hidden_size)
    if not fits or widths[-1] != 1 or widths[0] not in (_width(scorer), inner):
        raise ModelUnavailable(f"the head {head} ({widths[0]} wide) does not fit {scorer.name} ({_width(scorer)})")
    features = scorer.encode_pictures if widths[0] == _width(scorer) else partial(inner_features, scorer)
    return AestheticTaste(f"{head} aesthetic", features, layers)


def _width(scorer: TwoTowerScorer) -> int:
    return int(scorer.towers.model.config.projection_dim)


def read_head(source: str, name: str, *, unsafe: bool = False) -> _Weights:
    """The float32 arrays of a head: a file of its own, or the file `name` in a folder, an id or «embedded:taste».

    Raises ModelUnavailable where there is none, BadInput for a pickled file unless `unsafe`.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        path = model_folder(source, files=(name,)) / name
    if path.suffix in _PICKLED:
        pickled = read_embedding(path, allow=unsafe)
        return {key: np.asarray(value, np.float32) for key, value in pickled.items() if hasattr(value, "shape")}
    try:
        table: dict[str, npt.NDArray[Any]] = load_file(path)
        return {key: value.astype(np.float32) for key, value in table.items()}
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(f"{path} cannot be read as safetensors", "fetch or convert it again") from error


def _corrected(name: str, scorer: TwoTowerScorer, weights: _Weights, scale: float) -> CosineTaste:
    try:
        bends = [
            Bend(*(weights[f"{tower}.{part}"] for part in ("into", "bias", "out"))) for tower in ("pictures", "texts")
        ]
    except KeyError as error:
        raise ModelUnavailable(f"{name}: {error} is missing in the head") from None
    if any(bend.into.shape[0] != _width(scorer) for bend in bends):
        raise ModelUnavailable(f"{name}: the head does not fit {scorer.name}")
    return CosineTaste(name, scorer, scale, *bends)


def _one(weights: _Weights, key: str) -> float:
    if key not in weights or weights[key].size != 1:
        raise ModelUnavailable(f"{key} is missing in the head")
    return float(weights[key].reshape(-1)[0])
