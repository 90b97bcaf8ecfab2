"""Pictures brought to the size that a model draws at."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from limner.image.paste import Mask, crop, resize
from limner.types import Picture

_THUMBNAIL = 128


def fitted(picture: Picture, mask: Mask | None, size: tuple[int, int]) -> tuple[Picture, Mask | None]:
    """The middle of a picture at the size (width, height) that a model draws at, and its mask with it.

    As the authors do: the shorter side is brought to size and what is over on the longer one is cut off.
    """
    width, height = size
    factor = min(picture.width / width, picture.height / height)
    wide, high = round(width * factor), round(height * factor)
    left, top = (picture.width - wide) // 2, (picture.height - high) // 2
    cut = resize(crop(picture, (left, top, left + wide, top + high)), size)
    if mask is None:
        return cut, None
    part = Image.fromarray(mask[top : top + high, left : left + wide]).resize(size, Image.Resampling.NEAREST)
    return cut, np.array(part, np.bool_)


def thumbnail(picture: Picture) -> bytes:
    """A PNG of at most 128 pixels a side."""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
