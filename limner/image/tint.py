"""A new colour without a model: light and shade stay, only what they are shades of changes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from limner.image.hue import Rgb
from limner.image.paste import Mask
from limner.types import Picture


def tint(picture: Picture, mask: Mask, colour: Rgb) -> Picture:
    """The picture with what the mask marks in shades of one colour, from black over it to white (a gradient map).

    What is of middle lightness becomes the colour itself, so that dark eyes stay dark and highlights light.
    """
    grey = Image.fromarray(picture.pixels).convert("L")
    middle = int(np.clip(np.asarray(grey)[mask].mean(), 1, 254)) if mask.any() else 127
    shades = ImageOps.colorize(grey, "black", "white", mid=colour, midpoint=middle)
    pixels = picture.pixels.copy()
    pixels[mask] = np.asarray(shades)[mask]
    return Picture(pixels)
