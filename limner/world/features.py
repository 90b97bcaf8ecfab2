"""What the world's judge makes of pictures inside: the feature maps for measures of likeness.

No network trained on photographs comes with the package, and one of the world is apter for its pictures; figures made
with it are not LPIPS's or Gatys's own, and its name goes beside them. CLIP's features are the other network's, which
had no part in training the judge (`backends.vision.raw_features`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from limner.types import Picture
from limner.world.judge import Judge
from limner.world.judge import _pixels as to_pixels  # pyright: ignore[reportPrivateUsage]

TRUNK = "the judge's trunk"
"""What to call the network of `trunk_maps`."""

Maps = list[npt.NDArray[np.float32]]

_STAGE_ENDS = (0, 2, 7)
_AT_ONCE = 32


@torch.inference_mode()
def trunk_maps(judge: Judge, pictures: Sequence[Picture]) -> list[Maps]:
    """Each picture's maps at the end of the trunk's three stages: one a resolution, as LPIPS takes them from VGG.

    They are (32, 64, 64), (64, 32, 32) and (160, 16, 16), float32, none negative: about 1 MB a picture. Pictures of
    any size are brought to the judge's first.
    """
    batches = [pictures[start : start + _AT_ONCE] for start in range(0, len(pictures), _AT_ONCE)]
    return [maps for batch in batches for maps in _batch_maps(judge, batch)]


def _batch_maps(judge: Judge, pictures: Sequence[Picture]) -> list[Maps]:
    flowing, kept = to_pixels(pictures), list[npt.NDArray[np.float32]]()
    for number, block in enumerate(judge.net.trunk):
        flowing = block(flowing)
        if number in _STAGE_ENDS:
            kept.append(flowing.cpu().numpy())
    return [list(maps) for maps in zip(*kept, strict=True)]
