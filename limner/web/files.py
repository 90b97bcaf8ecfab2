"""Pictures as the clients of other programs send and want them: as base64, in other forms and sizes, with masks."""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import Any, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from limner.blobs import Blobs
from limner.image import png_bytes
from limner.image.files import FORMATS
from limner.protocols import Mask
from limner.types import BadInput, Picture
from limner.web import uploads

Form = Literal["png", "jpeg", "webp"]
Size = tuple[int, int]
"""(width, height) in pixels."""

MOST_PIXELS = 2**23
"""Of a file that is enlarged for a client; 3840x2160, the largest that OpenAI's have, is less."""

_LARGER = 2
"""A picture of more than so many times the pixels that its model draws at is drawn smaller, and enlarged."""

_STEP = 8
"""The sides that models draw are multiples of it."""

_LONGEST = 2**16
_EXIF_DETAILS, _USER_COMMENT = 0x8769, 0x9286


def drawing_size(wanted: Size | None, own: Size | None) -> Size | None:
    """The size to draw for a client that wants files of this one; None for the model's own.

    Clients ask for what other models draw. Models draw well near the size that they were trained at, so what is much
    larger is drawn in its shape with as many pixels as `own` has. `own` None: a model of unknown size draws what is
    said.
    """
    if wanted is None:
        return None
    width, height = wanted
    scale = (own[0] * own[1] / (width * height)) ** 0.5 if own else 1.0
    if scale**2 * _LARGER >= 1:
        return _rounded(width), _rounded(height)
    return _rounded(width * scale), _rounded(height * scale)


def _rounded(side: float) -> int:
    return max(_STEP, round(side / _STEP) * _STEP)


def as_file(png: bytes, form: Form = "png", *, quality: int = 100, size: Size | None = None) -> bytes:
    """A picture of the store as a file of another form or size, with what it says of its making.

    `quality` is 0 to 100, for JPEG and WebP. A PNG of its own size is the very bytes of the store.
    """
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        if form == "png" and size in (None, image.size):
            return png
        texts = {name: str(image.info[name]) for name in ("parameters", "limner") if name in image.info}
        made = image.resize(size, Image.Resampling.LANCZOS) if size else image.copy()
    file = io.BytesIO()
    if form == "png":
        made.save(file, "PNG", pnginfo=_chunks(texts))
    else:
        made.save(file, form.upper(), quality=quality, exif=_exif(texts.get("parameters", "")))
    return file.getvalue()


def _chunks(texts: dict[str, str]) -> PngInfo:
    chunks = PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text)
    return chunks


def _exif(parameters: str) -> Image.Exif:
    """A1111's text where JPEG and WebP files have it: the user comment, eight bytes of encoding before it."""
    exif = Image.Exif()
    if parameters:
        exif.get_ifd(_EXIF_DETAILS)[_USER_COMMENT] = b"UNICODE\0" + parameters.encode("utf-16-be")
    return exif


def parameters_in(content: bytes) -> str:
    """A1111's text in a PNG's chunks, or in the user comment of a JPEG or WebP; "" where there is none."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        comment = image.getexif().get_ifd(_EXIF_DETAILS).get(_USER_COMMENT, b"")
        text = image.info.get("parameters", "")
    if not text and isinstance(comment, bytes):
        text = comment[8:].decode("utf-16-be" if comment.startswith(b"UNICODE") else "utf-8", "replace")
    return str(text)[:_LONGEST].encode("utf-8", "replace").decode()


def inside(png: bytes) -> tuple[Size, str, dict[str, Any]]:
    """The size of a picture of the store, A1111's text in it, and its recipe; "" and {} where it has none."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        size, parameters, own = image.size, image.info.get("parameters", ""), image.info.get("limner")
    return size, str(parameters), (json.loads(own).get("recipe") or {}) if own else {}


def check_file_size(size: Size | None) -> None:
    """Raise ValueError, for pydantic to tell, for files that are too large to be made for anybody who asks."""
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"{written(size)} is too large: at most {MOST_PIXELS} pixels")


def written(size: Size) -> str:
    """«512x384»."""
    return f"{size[0]}x{size[1]}"


def clear_mask(content: bytes, size: Size) -> Mask:
    """The mask of a file: where it is wholly transparent, as OpenAI's are. Shape (height, width).

    Raises Refused for a file that is no picture, BadInput for one without transparency or of another size than `size`.
    """
    uploads.decode(content, "the mask")
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if not image.has_transparency_data:
            raise BadInput("the mask has no transparency", "make transparent what may change, and send a PNG")
        if image.size != size:
            raise BadInput(f"the mask is {written(image.size)}, the picture {written(size)}", "make them equal")
        mask: Mask = np.asarray(image.convert("RGBA"))[..., 3] == 0
    return _marked(mask)


def bright_mask(content: bytes, size: Size, *, inverted: bool) -> Mask:
    """The mask of a file: where it is bright, or where it is dark, as A1111's are; brought to `size` (width, height).

    Raises Refused for a file that is no picture, BadInput where nothing is marked.
    """
    grey = Image.fromarray(uploads.decode(content, "the mask").pixels).convert("L")
    mask: Mask = np.asarray(grey.resize(size, Image.Resampling.NEAREST)) >= 128
    return _marked(~mask if inverted else mask)


def _marked(mask: Mask) -> Mask:
    if not mask.any():
        raise BadInput("the mask is empty", "mark what may change")
    return mask


def keep_mask(blobs: Blobs, mask: Mask) -> str:
    """The mask in the store, as a picture that is bright where something may change; its name there."""
    return blobs.put(png_bytes(Picture(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))))


def base64_of(content: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(content).decode()


def from_base64(text: str, name: str) -> bytes:
    """The bytes of base64 text, also of a data URL; `name` is what errors call it. Raises BadInput."""
    coded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(coded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"{name} is not base64", "send a PNG, JPEG or WebP as base64 text; no address") from None
