"""Pictures divided into train, val and test without leakage, and pictures that are nearly the same found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.dataset.items import SPLITS, Item, Split
from limner.types import BadInput, Picture

NEAR = 4
"""Bits of 64 up to which two pictures count as one. Small changes of light, size or compression stay below."""

_SIDE = 32
_LUMA, _CHROMA = 32, 16
# Coefficients smaller than this, in grey levels, are noise: their sign says nothing.
_FAINT = 1.0


def split(items: Iterable[Item], shares: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """The side of every family, by the id of its first picture (`Item.root`): all who descend from it go together.

    Families are taken in the order of a hash of seed and root, not of the items, and each goes to the side that lacks
    most, counted in pictures: shares are met to within a family. Keeps one number a family. Raises BadInput for shares
    that are negative or do not add up to 1.
    """
    if any(name not in SPLITS for name in shares) or any(not 0 <= share <= 1 for share in shares.values()):
        raise BadInput(f"shares are {dict(shares)}", f"{', '.join(SPLITS)}, each from 0 to 1")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise BadInput(f"the shares add up to {sum(shares.values()):g}", "1 is the whole")
    sizes = Counter(item.root for item in items)
    lacking: dict[Split, float] = {name: shares[name] * sizes.total() for name in SPLITS if shares.get(name)}
    sides: dict[str, Split] = {}
    for root in sorted(sizes, key=lambda root: hashlib.sha256(f"{seed}:{root}".encode()).digest()):
        side = max(lacking, key=lambda name: lacking[name])
        sides[root] = side
        lacking[side] -= sizes[root]
    return sides


def perceptual_hash(picture: Picture) -> int:
    """64 bits that stay nearly the same while a picture looks the same; bits that differ measure how much it does not.

    Signs of the lowest frequencies of the cosine transform of 32 x 32 pixels (the well-known pHash): 32 of the
    brightness and 16 of each colour difference, for a red car and a blue one are two pictures.
    """
    image = Image.fromarray(picture.pixels).convert("YCbCr").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    planes = np.asarray(image, np.float64).transpose(2, 0, 1) - 128
    basis = _cosines()
    waves = basis @ planes @ basis.T
    order = sorted(((y, x) for y in range(8) for x in range(8)), key=lambda place: (sum(place), place))
    # Brightness as a whole is no mark of a picture; its colour as a whole is.
    luma = [waves[0][place] for place in order[1 : _LUMA + 1]]
    chroma = [plane[place] for plane in waves[1:] for place in order[:_CHROMA]]
    return sum(1 << bit for bit, value in enumerate([*luma, *chroma]) if value > _FAINT)


def _cosines() -> npt.NDArray[np.float64]:
    """The orthonormal DCT-II, scaled so that coefficients are in grey levels."""
    steps = np.arange(_SIDE)
    basis = np.cos(np.pi / _SIDE * (steps[None, :] + 0.5) * steps[:, None]) * np.sqrt(2 / _SIDE)
    basis[0] /= np.sqrt(2)
    return basis / np.sqrt(_SIDE)


@dataclass(slots=True)
class Kept:
    """The perceptual hashes of pictures that are no duplicates, 8 bytes and an id each, for as long as they come."""

    limit: int = NEAR
    ids: list[str] = field(default_factory=list[str])
    hashes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(1024, np.uint64))

    def twin(self, value: int) -> str | None:
        """The first of them from which at most `limit` of 64 bits differ."""
        near = np.flatnonzero(np.bitwise_count(self.hashes[: len(self.ids)] ^ np.uint64(value)) <= self.limit)
        return self.ids[int(near[0])] if near.size else None

    def add(self, name: str, value: int) -> None:
        """Remember a picture."""
        if len(self.ids) == len(self.hashes):
            self.hashes = np.concatenate([self.hashes, np.empty_like(self.hashes)])
        self.hashes[len(self.ids)] = value
        self.ids.append(name)


def dedupe(hashes: Iterable[tuple[str, int]], limit: int = NEAR) -> dict[str, str]:
    """Which pictures are nearly one that came before: id to the id of the first such that was kept.

    `hashes` are (id, perceptual hash) in order; two are nearly the same when at most `limit` of 64 bits differ. Keeps
    8 bytes and an id of each that is no duplicate.
    """
    kept, same = Kept(limit), dict[str, str]()
    for name, value in hashes:
        twin = kept.twin(value)
        if twin is None:
            kept.add(name, value)
        else:
            same[name] = twin
    return same
