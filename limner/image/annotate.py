"""Regions drawn into a picture: boxes, translucent masks, labels with scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from limner.types import Box, Picture, Region

_SMALLEST = 512
"""Pixels of the longer side below which a picture is enlarged, so that its labels leave some of it to see."""
# Enough to see the mask's edge; more would change what colour a thing seems to have.
_OPACITY = 0.3
# Far apart for most eyes, and none of them near white or black (after Trubetskoy's list).
_COLOURS = (
    (230, 25, 75),
    (0, 110, 220),
    (245, 130, 48),
    (60, 160, 60),
    (145, 30, 180),
    (0, 165, 165),
    (240, 50, 230),
    (155, 100, 35),
    (255, 205, 25),
    (95, 95, 105),
)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Colour = tuple[int, int, int]


def draw_regions(picture: Picture, regions: Sequence[Region]) -> Picture:
    """The picture with every region's box, mask and «label score», one colour a label.

    A picture smaller than 512 pixels is enlarged by a whole factor first; lines and letters grow with larger ones.
    Raises ValueError for a mask of another size than the picture's.
    """
    scale = math.ceil(_SMALLEST / max(picture.width, picture.height))
    labels = list(dict.fromkeys(region.label for region in regions))
    colours = [_COLOURS[labels.index(region.label) % len(_COLOURS)] for region in regions]
    image = Image.fromarray(_with_masks(picture, regions, colours))
    image = image.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    line = max(2, max(image.size) // 300)
    draw = ImageDraw.Draw(image)
    boxes = [_scaled(region.box, scale, image.size, line) for region in regions]
    # The best last, so that they lie on top; labels after all boxes, so that no line runs through a text.
    order = sorted(range(len(regions)), key=lambda index: regions[index].score)
    for index in order:
        draw.rectangle(boxes[index], outline=colours[index], width=line)
    font = ImageFont.load_default(size=max(14, max(image.size) // 40))
    taken: list[Box] = []
    for index in reversed(order):
        taken.append(_label(draw, boxes[index], regions[index], colours[index], font, taken))
    return Picture(np.array(image))


def _with_masks(picture: Picture, regions: Sequence[Region], colours: Sequence[_Colour]) -> npt.NDArray[np.uint8]:
    pixels = picture.pixels.astype(np.float32)
    for region, colour in zip(regions, colours, strict=True):
        if region.mask is None:
            continue
        if region.mask.shape != pixels.shape[:2]:
            raise ValueError(f"a mask of {region.mask.shape} on a picture of {pixels.shape[:2]}")
        pixels[region.mask] += _OPACITY * (np.array(colour, np.float32) - pixels[region.mask])
    return pixels.round().astype(np.uint8)


def _scaled(box: Box, scale: int, size: tuple[int, int], line: int) -> Box:
    """The box as Pillow draws it, both corners included, inside the image and never thinner than its own lines."""
    x0, y0 = (min(max(0.0, value * scale), side - line) for value, side in zip(box[:2], size, strict=True))
    x1, y1 = (min(value * scale, side) - 1 for value, side in zip(box[2:], size, strict=True))
    return x0, y0, max(x1, x0 + line - 1), max(y1, y0 + line - 1)


def _label(
    draw: ImageDraw.ImageDraw, box: Box, region: Region, colour: _Colour, font: _Font, taken: Sequence[Box]
) -> Box:
    """Write above the box, or where there is no room for that in its top; further down if a label is there already."""
    room, bottom = draw.im.size
    text = _shortened(f"{region.label} {region.score:.2f}", font, room)
    left, top, right, below = font.getbbox(text)
    width, height = right - left + 6, below - top + 6
    x = max(0.0, min(box[0], room - width))
    y = box[1] - height if box[1] >= height else box[1]
    while y + height <= bottom and any(_overlap((x, y, x + width, y + height), other) for other in taken):
        y += height
    y = max(0.0, min(y, bottom - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    draw.text((x + 3 - left, y + 3 - top), text, font=font, fill="black" if _bright(colour) else "white")
    return x, y, x + width, y + height


def _overlap(first: Box, second: Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _bright(colour: _Colour) -> bool:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140


def _shortened(text: str, font: _Font, width: float) -> str:
    """The text, its label cut with «…» when it does not fit; the score at its end stays."""
    label, _, score = text.rpartition(" ")
    while len(label) > 1 and font.getlength(f"{label}… {score}") > width - 6:
        label = label[:-1]
    return text if font.getlength(text) <= width - 6 else f"{label}… {score}"
