"""Put a change back where it belongs and nowhere else: masks, crops, and seams that lie inside the region.

Masks are boolean (height, width). Boxes are (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.types import BadInput, Box, Picture

Mask = npt.NDArray[np.bool_]
PixelBox = tuple[int, int, int, int]


def paste_back(before: Picture, after: Picture, mask: Mask, *, feather: int) -> Picture:
    """`after` where `mask` is True and `before`, bit by bit, everywhere else.

    Inside the mask the two blend over `feather` pixels from its edge, measured along rows, columns and diagonals;
    the picture's own border is no edge. Raises ValueError when the sizes differ.
    """
    _same_size(before, after, mask)
    ys, xs = _window(mask, 1)
    inside, old = mask[ys, xs], before.pixels[ys, xs].astype(np.float32)
    share = _depth(inside, feather)[..., None]
    blended = np.rint(old + (after.pixels[ys, xs] - old) * share).astype(np.uint8)
    pixels = before.pixels.copy()
    pixels[ys, xs][inside] = blended[inside]
    return Picture(pixels)


def _depth(mask: Mask, feather: int) -> npt.NDArray[np.float32]:
    """How far inside the mask a pixel lies, as a share of the seam: 0 outside, 1 from `feather` pixels on."""
    depth, left = mask.astype(np.float32), mask
    for _ in range(feather):
        left = ~dilate(~left, 1)
        depth += left
    return depth / np.float32(feather + 1)


def _window(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all of the mask and `margin` pixels around it; empty for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    ends = ((int(each[0]) - margin, int(each[-1]) + 1 + margin) for each in (rows, columns))
    top, left = (slice(max(0, first), last) for first, last in ends)
    return top, left


def dilate(mask: Mask, pixels: int) -> Mask:
    """The mask grown by `pixels` to every side, corners included: by a square of 2 * pixels + 1."""
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (pixels + 1, pixels)
        counts = np.cumsum(np.pad(mask, width), axis=axis, dtype=np.int32)
        length = mask.shape[axis]
        mask = counts.take(range(2 * pixels + 1, 2 * pixels + 1 + length), axis) > counts.take(range(length), axis)
    return mask


def region_box(mask: Mask, *, margin: int, least: int) -> PixelBox:
    """A box around all of the mask with `margin` pixels to spare, inside the picture, as square as that allows.

    Each side is at least `least` pixels where the picture has as many. Raises BadInput for an empty mask.
    """
    if not mask.any():
        raise BadInput("the mask is empty", "mark what to change")
    ys, xs = _window(mask, 0)
    side = max(ys.stop - ys.start, xs.stop - xs.start, least - 2 * margin) + 2 * margin
    (y0, y1), (x0, x1) = (_span(each, side, length) for each, length in zip((ys, xs), mask.shape, strict=True))
    return x0, y0, x1, y1


def _span(part: slice, side: int, length: int) -> tuple[int, int]:
    """`side` pixels with `part` in their middle, moved and shortened to lie in 0 to `length`."""
    side = min(side, length)
    start = (part.start + part.stop - side) // 2
    start = min(max(start, 0), length - side)
    return start, start + side


def box_mask(box: Box, width: int, height: int) -> Mask:
    """The mask of every pixel that the box touches, in a picture of `width` x `height`.

    Raises BadInput for a box without area or one that is not within the picture.
    """
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        wanted = f"x0,y0,x1,y1 within 0,0,{width},{height}, x0 below x1, y0 below y1"
        raise BadInput(f"box {','.join(f'{each:g}' for each in box)}", wanted)
    mask = np.zeros((height, width), np.bool_)
    mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = True
    return mask


def mask_from_picture(picture: Picture) -> Mask:
    """The mask that a picture draws: True where the mean of red, green and blue is at least 128.

    Raises BadInput when nothing is that bright.
    """
    mask = picture.pixels.sum(axis=2, dtype=np.uint16) >= 3 * 128
    if not mask.any():
        raise BadInput("the mask is black all over", "paint white what may change")
    return mask


def crop(picture: Picture, box: PixelBox) -> Picture:
    """The part of the picture in the box."""
    x0, y0, x1, y1 = box
    return Picture(picture.pixels[y0:y1, x0:x1].copy())


def place(picture: Picture, patch: Picture, box: PixelBox) -> Picture:
    """The picture with `patch`, which has the box's size, in the box: what undoes `crop`."""
    x0, y0, x1, y1 = box
    pixels = picture.pixels.copy()
    pixels[y0:y1, x0:x1] = patch.pixels
    return Picture(pixels)


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at `size` (width, height), by Lanczos' filter; at its own size the same picture."""
    if size == (picture.width, picture.height):
        return picture
    return Picture(np.array(Image.fromarray(picture.pixels).resize(size, Image.Resampling.LANCZOS)))


def changed_fraction(before: Picture, after: Picture) -> float:
    """The share of pixels, 0 to 1, that differ in any channel. Raises ValueError when the sizes differ."""
    _same_size(before, after)
    return float((before.pixels != after.pixels).any(axis=2).mean())


def drift_outside(before: Picture, after: Picture, mask: Mask) -> float:
    """Mean absolute difference (0 to 255) over the channels of all pixels outside the mask; 0.0 when bit-equal.

    Raises ValueError when the sizes differ.
    """
    _same_size(before, after, mask)
    difference = np.abs(before.pixels[~mask].astype(np.int16) - after.pixels[~mask])
    return float(difference.mean()) if difference.size else 0.0


def _same_size(before: Picture, after: Picture, mask: Mask | None = None) -> None:
    shapes = {before.pixels.shape[:2], after.pixels.shape[:2], *([] if mask is None else [mask.shape])}
    if len(shapes) > 1:
        raise ValueError(f"pictures and mask of different sizes: {sorted(shapes)}")
