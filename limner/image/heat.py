"""Heat maps over pictures, one at a time or a sheet of all words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.image.sheet import contact_sheet
from limner.types import Picture

Heat = npt.NDArray[np.float32]
"""Shape (height, width) of the picture, in [0, 1]."""

# Inferno (Smith and van der Walt 2015, CC0), every ninth of it: lightness rises evenly with heat, for colour-blind
# eyes and in grey print too.
_INFERNO = (
    (0, 0, 4),
    (27, 12, 65),
    (74, 12, 107),
    (120, 28, 109),
    (165, 44, 96),
    (207, 68, 70),
    (237, 105, 37),
    (251, 155, 6),
    (247, 209, 61),
    (252, 255, 164),
)
# So much colour that it can be read, so little that one sees of what.
_OPACITY = 0.6
_LARGEST_CELL = 512


def inferno(heat: Heat) -> npt.NDArray[np.float32]:
    """Colours (height, width, 3) from 0 to 255 of values from 0 (black) over purple and orange to 1 (pale yellow).

    Values outside are taken for the nearest end, NaN for 0.
    """
    stops = np.linspace(0, 1, len(_INFERNO))
    value = np.nan_to_num(heat, nan=0.0)
    return np.stack([np.interp(value, stops, channel) for channel in zip(*_INFERNO, strict=True)], -1, dtype=np.float32)


def overlay(picture: Picture, heat: Heat) -> Picture:
    """The picture in grey with its heat in the colours of `inferno` laid over it.

    Grey, because the picture's own colours would change what the heat's say. Raises ValueError for a map of another
    size than the picture's.
    """
    if heat.shape != picture.pixels.shape[:2]:
        raise ValueError(f"a heat map of {heat.shape} on a picture of {picture.pixels.shape[:2]}")
    grey = np.array(Image.fromarray(picture.pixels).convert("L"), np.float32)[..., None]
    mixed = grey + _OPACITY * (inferno(heat) - grey)
    return Picture(mixed.round().astype(np.uint8))


def heat_sheet(picture: Picture, words: Sequence[str], maps: Iterable[Heat]) -> Picture:
    """The picture, then one overlay for each word with the word under it, as a contact sheet.

    Cells are enlarged as `contact_sheet` does it, and brought to 512 pixels at most, so that a sheet of many words
    stays a picture that can be opened. Raises ValueError for another number of maps, and as `overlay` does.
    """
    overlays = [overlay(picture, heat) for heat in maps]
    return contact_sheet([_fitted(each) for each in (picture, *overlays)], ["the picture", *words])


def _fitted(picture: Picture) -> Picture:
    image = Image.fromarray(picture.pixels)
    image.thumbnail((_LARGEST_CELL, _LARGEST_CELL), Image.Resampling.LANCZOS)
    return Picture(np.array(image))
