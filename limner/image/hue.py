"""What colour pixels have, as people call it: measured, by hue, for light and shade change that least."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from limner.types import Picture

Rgb = tuple[int, int, int]

_GREY = 0.15
"""The saturation (of HSV, 0 to 1) below which a pixel has no colour."""

_DARK = 0.12
"""The value (of HSV, 0 to 1) below which it is black, whatever its hue."""

_ALIKE = 25 / 360
"""The colour that is nearest to the one asked for is that one, if it is no farther than this, in turns."""

_ENOUGH = 200_000
"""So many pixels tell a share as well as more would."""

_FADED = 0.7
"""The share of its saturation that a colour keeps at least, in fog and by night."""


def named_colour(name: str) -> Rgb | None:
    """Red, green and blue of a colour for which CSS has a name, «dark green» as well as «crimson»; else None."""
    word = "".join(name.lower().split())
    if not word.isalpha():
        return None
    try:
        return ImageColor.getrgb(word)[:3]
    except ValueError:
        return None


def colour_share(picture: Picture, mask: npt.NDArray[np.bool_], colour: Rgb, among: Collection[Rgb]) -> float:
    """The share of the pixels within the mask (height, width) that people would call by this colour, 0 to 1.

    Those are the ones whose hue is nearer to it than to any other `among` the colours that are told apart; for black,
    white and grey those without a hue, about as light. 0 for an empty mask.
    """
    pixels = picture.pixels[mask]
    if not len(pixels):
        return 0.0
    hue, saturation, value = _hsv(pixels[:: 1 + len(pixels) // _ENOUGH]).T / 255
    wanted_hue, wanted_saturation, wanted_value = _hsv(np.array([colour], np.uint8))[0] / 255
    plain = (saturation < _GREY) | (value < _DARK)
    if wanted_saturation < _GREY or wanted_value < _DARK:
        return float((plain & (np.abs(value - wanted_value) < 0.3)).mean())
    others = _hsv(np.array([*among], np.uint8))[:, 0] / 255
    away = _apart(others, wanted_hue)
    others = others[(away > away.min()) | (away > _ALIKE)]
    nearest = _apart(hue[:, None], others[None]).min(axis=1)
    return float((~plain & (_apart(hue, wanted_hue) <= nearest)).mean())


def keep_hues(before: Picture, after: Picture, mask: npt.NDArray[np.bool_]) -> Picture:
    """`after` with the hues of `before` where `mask` is True, for another light or weather makes a red car no pink one.

    Light and shade are those of `after`, so is the saturation, down to a share of what it was. What has no colour
    before is left as it is. All three have one size.
    """
    old, new = _hsv(before.pixels[mask]), _hsv(after.pixels[mask])
    there = (old[:, 1] >= _GREY * 255) & (old[:, 2] >= _DARK * 255)
    new[there, 0] = old[there, 0]
    new[there, 1] = np.maximum(new[there, 1], np.rint(_FADED * old[there, 1]).astype(np.uint8))
    pixels = after.pixels.copy()
    coloured = np.asarray(Image.fromarray(new[None], "HSV").convert("RGB"))[0]
    pixels[mask] = np.where(there[:, None], coloured, pixels[mask])
    return Picture(pixels)


def _hsv(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Hue (a turn is 255), saturation and value of pixels (n, 3)."""
    return np.array(Image.fromarray(pixels[None]).convert("HSV"))[0]


def _apart(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
    """How far two hues are apart on their circle, in turns."""
    away = np.abs(first - second)
    return np.minimum(away, 1 - away)
