"""Many pictures on one sheet, each with its caption."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from limner.types import Picture

_SMALLEST_CELL = 160
_FONT_SIZE, _LINE, _GAP, _BORDER, _MOST_LINES = 14, 18, 10, 4, 3
_PAPER, _INK, _MARK = "white", "#222222", "#0a7d32"


def contact_sheet(
    pictures: Sequence[Picture],
    captions: Sequence[str],
    *,
    columns: int | None = None,
    scale: int | None = None,
    highlight: Collection[int] = (),
) -> Picture:
    """Lay pictures out row by row, `columns` wide (default: about square), captions of up to 3 lines below.

    `scale` enlarges by a whole factor (default: what brings the largest side to at least 160 pixels, so that
    captions can be read). Pictures whose index is in `highlight` get a green frame. Raises ValueError for no
    pictures or another number of captions.
    """
    if not pictures or len(pictures) != len(captions):
        raise ValueError(f"{len(pictures)} pictures and {len(captions)} captions")
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    scale = scale or math.ceil(_SMALLEST_CELL / max(width, height))
    font = ImageFont.load_default(size=_FONT_SIZE)
    lines = [_wrapped(caption, font, width * scale) for caption in captions]
    cell = (width * scale + _GAP, height * scale + _GAP + _LINE * max(map(len, lines)))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        left, top = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        if index in highlight:
            box = (left - _BORDER, top - _BORDER, left + picture.width * scale, top + picture.height * scale)
            draw.rectangle((box[0], box[1], box[2] + _BORDER - 1, box[3] + _BORDER - 1), fill=_MARK)
        sheet.paste(_enlarged(picture, scale), (left, top))
        for number, line in enumerate(lines[index]):
            y = top + height * scale + _BORDER + number * _LINE
            draw.text((left, y), line, font=font, fill=_MARK if index in highlight else _INK)
    return Picture(np.array(sheet))


def _enlarged(picture: Picture, scale: int) -> Image.Image:
    image = Image.fromarray(picture.pixels)
    return image.resize((picture.width * scale, picture.height * scale), Image.Resampling.LANCZOS)


def _wrapped(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The caption in lines of at most `width` pixels; what does not fit in three ends in «…»."""
    letter = font.getlength("n")
    return wrap(caption, max(8, int(width / letter)), max_lines=_MOST_LINES, placeholder=" …")
