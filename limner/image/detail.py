"""Keep a picture's detail through an edit that changes only its colours or its light.

A model's latents soften what they repaint. Where an edit leaves shapes alone, each small window of the edited picture
is explained as an affine map of the same window before, and that map is applied to the sharp pixels: He, Sun and Tang,
«Guided image filtering» (2013), for a guide in colours. The maps are smooth, so that they may be fitted at the model's
size and applied at the picture's (He and Sun, «Fast guided filter», 2015).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from limner.image.paste import resize
from limner.types import Picture

Floats = npt.NDArray[np.float32]

_REACH = 0.1
"""The window's half side as a share of the picture's shorter one."""

_STIFF = 4e-4
"""The guided filter's epsilon, for channels from 0 to 1: how much contrast a window needs for its shades to count."""

_SOFT = 0.01
"""How soft edited pictures are, as the deviation of a Gaussian in shares of the shorter side. The maps are fitted
between pictures that are both soft: fitted from a sharp one to a soft one, they would flatten its detail."""


def keep_detail(
    before: Picture, small: Picture, edited: Picture, mask: npt.NDArray[np.bool_], share: float = 1.0
) -> Picture:
    """`before` in the colours and the light of `edited`, with its own detail, where `mask` is True.

    `small` is what the model saw of `before` and `edited` what it made of it, both of one size; `mask` has that of
    `before`. Outside the mask the result is `edited`, resized to it, and so is what is left of `share` (0 to 1) within.
    """
    size = before.width, before.height
    whole = resize(edited, size)
    if not mask.any():
        return whole
    inside = np.asarray(Image.fromarray(mask).resize((small.width, small.height))).astype(np.float32)
    slope, offset = _maps(_unit(_softened(small)), _unit(edited), inside)
    guide = _unit(before)
    # Plane by plane: a photograph of 12 megapixels has no room for all twelve at its size.
    channels = [
        sum((_enlarged(slope[..., i, j], size) * guide[..., j] for j in range(3)), _enlarged(offset[..., i], size))
        for i in range(3)
    ]
    sharp = np.stack(channels, axis=-1)[mask].clip(0, 1) * 255
    pixels = whole.pixels.copy()
    pixels[mask] = np.rint(share * sharp + (1 - share) * pixels[mask]).astype(np.uint8)
    return Picture(pixels)


def _softened(picture: Picture) -> Picture:
    blur = ImageFilter.GaussianBlur(_SOFT * min(picture.width, picture.height))
    return Picture(np.asarray(Image.fromarray(picture.pixels).filter(blur)))


def _unit(picture: Picture) -> Floats:
    return np.asarray(picture.pixels / 255, np.float32)


def _maps(guide: Floats, target: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Per pixel the 3 x 3 matrix and the offset that take the guide's colours to the target's, by least squares over
    the windows that hold it; pixels count by `weight`."""
    reach = max(1, round(_REACH * min(weight.shape)))
    total = _summed(weight, reach).clip(1e-3)

    def mean(values: Floats) -> Floats:
        extra = (None,) * (values.ndim - 2)
        return np.asarray(_summed(values * weight[(..., *extra)], reach) / total[(..., *extra)], np.float32)

    centre, wanted = mean(guide), mean(target)
    spread = mean(guide[..., :, None] * guide[..., None, :]) - centre[..., :, None] * centre[..., None, :]
    common = mean(target[..., :, None] * guide[..., None, :]) - wanted[..., :, None] * centre[..., None, :]
    solved = np.linalg.solve(spread + _STIFF * np.eye(3, dtype=np.float32), common.swapaxes(-1, -2))
    slope = solved.swapaxes(-1, -2)
    offset = wanted - np.einsum("hwij,hwj->hwi", slope, centre)
    return mean(slope), mean(offset)


def _summed(values: Floats, reach: int) -> Floats:
    """The sum over the square of 2 * reach + 1 around each pixel; beyond the border there is nothing."""
    for axis in (0, 1):
        length, width = values.shape[axis], [(0, 0)] * values.ndim
        width[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(values, width), axis=axis, dtype=np.float64)
        low = range(length)
        high = range(2 * reach + 1, 2 * reach + 1 + length)
        values = (sums.take(high, axis) - sums.take(low, axis)).astype(np.float32)
    return values


def _enlarged(plane: Floats, size: tuple[int, int]) -> Floats:
    """The plane (height, width) at another size (width, height), between its pixels linearly."""
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR), np.float32)
