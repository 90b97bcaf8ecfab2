"""The measures of one-shot learning: like the reference, varied, detailed, and obedient (DreamArtist 5.1).

They take numbers, not pictures: feature maps or image features of any network, which must be said beside the figure.
The paper leaves networks, scales and K open, so that figures compare only where these are the same. Figures pull
against each other: a copy of the reference is nearest to it and shows nothing else that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

Maps = Sequence[Array]
"""One picture's feature maps, one a layer, each (channels, height, width)."""

Encode = Callable[[Sequence[str]], Array]
"""Texts to unit rows (n, dim) in the space of the pictures' features."""

CLIP_SCALE = 100.0
"""The factor of cosines in OpenAI's CLIP models; others have their own (`backends.vision.logit_scale`)."""

DETAIL = ("little detail", "detailed")
"""The two texts of CDS. A model that never learned these words makes nothing of them: say which one it was."""

OTHERS = 9
"""K, the random phrases beside each one that CAS asks for, where the paper says none: chance is 1 / (K + 1)."""

_WORD = re.compile(r"[\w'’-]+")


def perceptual_distance(made: Sequence[Maps], real: Sequence[Maps]) -> float:
    """LPIPS (Zhang et al. 2018, Eq. 1) with equal weights: 0 for equal pictures, at most 4 a layer (2 after a ReLU).

    Channels are scaled to unit length at each place; squared differences are summed over channels, averaged over
    places, summed over layers, and averaged over pictures. `real` has a picture for each one made, or one for all.
    Raises ValueError for other numbers and for maps of different shapes.
    """
    return _mean_over_pairs(_perceptual, made, real)


def style_loss(made: Sequence[Maps], real: Sequence[Maps]) -> float:
    """Gatys et al. 2016, Eq. 5: how far the Gram matrices lie apart; 0 for equal textures, without an upper bound.

    Normalised as Gram / (channels * height * width), then mean squared difference, then the mean over layers and over
    pictures. `real` has a picture for each one made, or one for all. Raises ValueError for other numbers and for
    different channels; sizes may differ.
    """
    return _mean_over_pairs(_textural, made, real)


def _mean_over_pairs(distance: Callable[[Maps, Maps], float], made: Sequence[Maps], real: Sequence[Maps]) -> float:
    if not made or len(real) not in (1, len(made)):
        raise ValueError(f"{len(made)} made and {len(real)} real pictures: give one real one, or one for each")
    partners = real if len(real) == len(made) else [real[0]] * len(made)
    return fmean(distance(one, other) for one, other in zip(made, partners, strict=True))


def _perceptual(first: Maps, second: Maps) -> float:
    units = [(_unit(a, 0), _unit(b, 0)) for a, b in zip(first, second, strict=True)]
    if any(a.shape != b.shape for a, b in units):
        raise ValueError(f"maps of shapes {[a.shape for a, _ in units]} and {[b.shape for _, b in units]}")
    return sum(float(((a - b) ** 2).sum(0).mean()) for a, b in units)


def _textural(first: Maps, second: Maps) -> float:
    grams = [(_gram(a), _gram(b)) for a, b in zip(first, second, strict=True)]
    if any(a.shape != b.shape for a, b in grams):
        raise ValueError(f"maps of {[len(a) for a, _ in grams]} and {[len(b) for _, b in grams]} channels")
    return fmean(float(((a - b) ** 2).mean()) for a, b in grams)


def _gram(maps: Array) -> Array:
    rows = maps.reshape(len(maps), -1).astype(np.float64)
    return rows @ rows.T / rows.size


def _unit(values: Array, axis: int) -> Array:
    """Scaled to unit length along an axis; zeros stay zeros."""
    wide = values.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=axis, keepdims=True), 1e-10)


def feature_spread(features: Array) -> float:
    """CFV: the unbiased standard deviation over pictures (n, ...), averaged over all other axes; 0 or more.

    The features must not be of unit length, or the figure says little (`backends.vision.raw_features` has others).
    Raises ValueError for fewer than two pictures.
    """
    if len(features) < 2:
        raise ValueError(f"{len(features)} pictures have no spread: give at least two")
    return float(features.astype(np.float64).std(axis=0, ddof=1).mean())


def detail_score(features: Array, encode: Encode, *, scale: float = CLIP_SCALE) -> float:
    """CDS: the probability of «detailed» against «little detail», mean over pictures, 0 to 1; a coin is 0.5.

    `features` are unit rows (pictures, dim); probabilities are the softmax of `scale` * cosine.
    """
    return float(_chances(features, encode(DETAIL), scale)[:, DETAIL.index("detailed")].mean())


def average_score(
    features: Array,
    descriptions: Sequence[str],
    phrases: Sequence[Sequence[str]],
    pool: Sequence[str],
    encode: Encode,
    *,
    scale: float = CLIP_SCALE,
    others: int = OTHERS,
    seed: int = 0,
) -> float:
    """CAS: is what else was said in the picture? 0 to 1; chance is 1 / (others + 1).

    Each of a picture's noun phrases stands against `others` random ones of `pool` that neither its description nor
    its phrases hold (whole words, spelled alike); its score is the softmax of `scale` * cosine. Mean over phrases,
    then over pictures. The others depend on seed, description and phrase only. Spell learned concepts out in the
    descriptions, lest their own nouns be drawn. Raises ValueError for a picture without phrases or too small a pool.
    """
    scores: list[float] = []
    for row, description, asked in zip(features, descriptions, phrases, strict=True):
        if not asked:
            raise ValueError(f"{description!r} comes without a phrase to look for")
        absent = _absent(pool, (description, *asked))
        if len(absent) < others:
            raise ValueError(f"{description!r} leaves {len(absent)} phrases of the pool, fewer than {others}")
        rngs = [Random(f"{seed}/{description}/{phrase}") for phrase in asked]
        rivals = [(phrase, *rng.sample(absent, others)) for phrase, rng in zip(asked, rngs, strict=True)]
        scores.append(fmean(float(_chances(row[None], encode(texts), scale)[0, 0]) for texts in rivals))
    return fmean(scores)


def _absent(pool: Sequence[str], said: Sequence[str]) -> list[str]:
    """The phrases of the pool, each once, that occur in nothing that was said."""
    texts = [_spaced(text) for text in said]
    return [phrase for phrase in dict.fromkeys(pool) if not any(_spaced(phrase) in text for text in texts)]


def _spaced(text: str) -> str:
    """The words with a space around each, so that «in» tells a whole phrase."""
    return " ".join(["", *_WORD.findall(text.lower()), ""])


def _chances(features: Array, texts: Array, scale: float) -> Array:
    """The softmax over texts (pictures, texts) of the scaled cosines of unit rows."""
    logits = scale * features.astype(np.float64) @ texts.T
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def image_similarity(made: Array, given: Array) -> float:
    """Textual Inversion's (Gal et al. 2022, 5.1): the mean cosine of all pairs of made (n, dim) and given (m, dim)."""
    return float((_unit(made, 1) @ _unit(given, 1).T).mean())


def text_similarity(made: Array, text: Array) -> float:
    """Textual Inversion's (5.1): the cosine of the made pictures' mean feature with the text's, from -1 to 1.

    `made` are unit rows (n, dim) of one prompt's pictures, `text` (dim,) the feature of the prompt without its
    learned word («a photo of on the moon»).
    """
    return float(_unit(made.mean(axis=0), 0) @ _unit(text, 0))
