"""What a concept must be to go into a file, and to come out of one that somebody else wrote."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import numpy as np

from limner.concept import About, Array, Concept, Factors, check_name
from limner.types import BadInput

MAX_WORDS, MAX_RANK = 64, 1024
MAX_PREVIEW_BYTES, MAX_PREVIEW_SIDE = 2**20, 256
ENCODERS = ("text_encoder", "text_encoder_2")
_MAX_TEXT, _MAX_CURVE = 500, 100_000
_MODULE = re.compile(r"(?:unet|text_encoder|text_encoder_2)(?:\.\w+)+", re.ASCII)
_PNG = b"\x89PNG\r\n\x1a\n"


@contextmanager
def blamed(what: str, hint: str = "") -> Generator[None]:
    """Put `what` before the reason of a BadInput in the block, and give it `hint` where it has none."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{what}: {error.message}", error.hint or hint) from error


def check(concept: Concept) -> None:
    """Raise BadInput, with a reason that does not name a file, for a concept that no file should hold.

    Words are at most 64 a side, (n, dim) and as many for each encoder; factors fit each other with a rank of at most
    1024; values are finite; texts of About are printable; the preview is a PNG of at most 256 pixels a side.
    """
    if check_name(concept.name) != concept.name:
        raise BadInput(f"{concept.name!r} has brackets around the name")
    _check_about(concept.about)
    if not (any(concept.words.values()) or any(concept.adapters.values()) or concept.changes):
        raise BadInput("there is nothing in it")
    for side, words in concept.words.items():
        _check_words(side, words)
    for table in concept.adapters.values():
        for module, factors in table.items():
            _check_factors(module, factors)
    for name, value in concept.changes.items():
        if not _MODULE.fullmatch(name) or not np.isfinite(value).all():
            raise BadInput(f"its change of {name[:80]!r} is not usable")
    _check_preview(concept.preview)


def _check_about(about: About) -> None:
    texts = (about.like, about.method, about.base, about.base_hash, about.reference)
    if not all(text.isprintable() and len(text) <= _MAX_TEXT for text in texts):
        raise BadInput("its recipe has texts that are too long or cannot be printed")
    numbers = (about.guidance, *(loss for _, loss in about.curve))
    if not all(map(math.isfinite, numbers)) or len(about.curve) > _MAX_CURVE:
        raise BadInput("its recipe has numbers that are not finite, or too many")


def _check_words(side: str, words: Mapping[str, Array]) -> None:
    shapes = [vectors.shape for vectors in words.values()]
    known = side in ("positive", "negative") and set(words) <= set(ENCODERS)
    if not known or any(len(shape) != 2 or not 1 <= shape[0] <= MAX_WORDS for shape in shapes):
        raise BadInput(f"its {side} words are not 1 to {MAX_WORDS} vectors of a text encoder")
    if len({shape[0] for shape in shapes}) > 1:
        raise BadInput(f"its {side} words are not as many for both text encoders")
    if not all(np.isfinite(vectors).all() for vectors in words.values()):
        raise BadInput(f"its {side} words are not finite numbers")


def _check_factors(module: str, factors: Factors) -> None:
    down, up = factors.down, factors.up
    if not _MODULE.fullmatch(module) or down.ndim not in (2, 4) or up.ndim != 2 or up.shape[1] != len(down):
        raise BadInput(f"the factors of {module[:80]!r} do not fit each other")
    if not 1 <= len(down) <= MAX_RANK:
        raise BadInput(f"the factors of {module[:80]!r} have rank {len(down)}", f"1 to {MAX_RANK} is read")
    if not (math.isfinite(factors.scale) and np.isfinite(down).all() and np.isfinite(up).all()):
        raise BadInput(f"the factors of {module[:80]!r} are not finite numbers")


def _check_preview(preview: bytes) -> None:
    """Size as the PNG's first chunk gives it; the pixels are for `limner.image` to mistrust."""
    if not preview:
        return
    sides = struct.unpack(">II", preview[16:24]) if len(preview) > 24 and preview.startswith(_PNG) else (0, 0)
    if len(preview) > MAX_PREVIEW_BYTES or not all(1 <= side <= MAX_PREVIEW_SIDE for side in sides):
        raise BadInput(f"its preview is not a PNG of at most {MAX_PREVIEW_SIDE} pixels a side")
