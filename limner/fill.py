"""A thing filled into a place of a picture from close by (ChatGenImage 3.4): a model draws one large thing best."""

from __future__ import annotations

import numpy as np

from limner.image.paste import PixelBox, crop, paste_back, place, region_box, resize
from limner.protocols import FillRequest, Inpainter, Mask
from limner.types import Picture

_NEAR = 0.2
"""How much around the place is seen, as a share of its longer side."""

_SEAM = 0.02
"""How far the filled region fades into its surroundings, as a share of what the model sees."""


def fill_box(inpainter: Inpainter, picture: Picture, mask: Mask, prompt: str, seed: int) -> Picture:
    """Draw what the prompt says where the mask (height, width) is True, with the model's own steps and guidance.

    Outside the mask every pixel stays as it was. Raises BadInput for an empty mask.
    """
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    side = max(np.ptp(ys), np.ptp(xs)) + 1 if ys.size else 0
    box = region_box(mask, margin=max(1, round(_NEAR * float(side))), least=1)
    width, height = box[2] - box[0], box[3] - box[1]
    part = resize(crop(picture, box), _fitted(width, height, inpainter.default_size))
    hole = _resized(mask, box, part)
    request = FillRequest(part, hole, prompt, seed, inpainter.default_steps, inpainter.default_guidance)
    [filled] = inpainter.fill([request])
    whole = place(picture, resize(filled, (width, height)), box)
    return paste_back(picture, whole, mask, feather=max(1, round(_SEAM * min(width, height))))


def _fitted(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of that shape with about as many pixels as `size`, in multiples of 8."""
    scale = (size[0] * size[1] / (width * height)) ** 0.5
    return max(8, round(width * scale / 8) * 8), max(8, round(height * scale / 8) * 8)


def _resized(mask: Mask, box: PixelBox, part: Picture) -> Mask:
    """The mask within the box, at the size of that part."""
    inside = mask[box[1] : box[3], box[0] : box[2]]
    drawn = Picture(np.repeat(inside[..., None].astype(np.uint8) * 255, 3, axis=2))
    hole: Mask = resize(drawn, (part.width, part.height)).pixels[..., 0] > 0
    return hole
