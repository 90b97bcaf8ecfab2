"""Pictures from strangers: measured before they are decoded, and kept as pixels only, but for a recipe of our own."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from limner.blobs import Blobs
from limner.image import decode_picture, png_bytes
from limner.image.files import FORMATS, MAX_TEXT_CHARS
from limner.image.metadata import Metadata, format_json, format_parameters, parse_json, recipe_values
from limner.types import BadInput, Picture, Recipe
from limner.web.errors import Refused
from limner.web.service import Service

MAX_PIXELS = 16_000_000
MAX_SIDE = 8192
TYPES = ("image/png", "image/jpeg", "image/webp")
_KEPT = ("scores", "threshold", "lineage", "turn")
"""What a picture of Limner's says besides its recipe, and what is kept of it."""

_LONGEST = 2**16
_AT_ONCE = threading.Semaphore(2)
"""A picture of the largest size takes some 200 MB while it is decoded."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture that is in the store now: its name there, its size in pixels, and its recipe if it had one of ours."""

    sha256: str
    width: int
    height: int
    recipe: Recipe | None

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        recipe = None if self.recipe is None else recipe_values(self.recipe)
        return {"picture": self.sha256, "width": self.width, "height": self.height, "recipe": recipe}


def take(blobs: Blobs, content: bytes, name: str = "the picture") -> Taken:
    """Keep a PNG, JPEG or WebP as a PNG of our own; `name` is what errors call it.

    Raises Refused: 415 for anything else and what is damaged, 413 for more than MAX_PIXELS or MAX_SIDE.
    """
    picture = decode(content, name)
    recipe, extra = _own(content)
    sha256 = blobs.put(png_bytes(picture, recipe, extra))
    return Taken(sha256, picture.width, picture.height, recipe)


def decode(content: bytes, name: str = "the picture") -> Picture:
    """The pixels of an uploaded file, which is measured before it is decoded. Raises like `take`."""
    _check_size(content, name)
    with _AT_ONCE:
        try:
            return decode_picture(content, name)
        except BadInput as error:
            raise Refused(415, error.message, error.hint or "send a PNG, JPEG or WebP") from None


async def from_request(request: Request) -> bytes:
    """The bytes of the one picture in a request: the field `file` of a form, or the whole body of an image type.

    Raises Refused (415) for another type, BadInput for a form without a file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in TYPES:
        return await request.body()
    if kind != "multipart/form-data":
        raise Refused(415, f"{kind[:80] or 'no type'!r} is no picture", f"send a form, or one of {', '.join(TYPES)}")
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInput("the form has no file", "send the picture as the field «file»")
        return await file.read()


async def take_from(request: Request, service: Service) -> Taken:
    """`take` what `from_request` finds; only some at once, for each may hold 20 MB and a thread."""
    async with service.uploading:
        content = await from_request(request)
        return await run_in_threadpool(take, service.blobs, content)


def _check_size(content: bytes, name: str) -> None:
    """Read no more than the head of a file; Pillow's own limits on texts in it hold."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except Exception as error:  # whatever a damaged or hostile head makes of Pillow's parsers
        raise Refused(415, f"{name} is no PNG, JPEG or WebP, or is damaged", "send another picture") from error
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        hint = f"at most {MAX_PIXELS // 10**6} megapixels and {MAX_SIDE} pixels a side are taken"
        raise Refused(413, f"{name} has {width}x{height} pixels", hint)


def _own(content: bytes) -> tuple[Recipe | None, dict[str, Any]]:
    """Recipe and scores of a PNG that Limner wrote; None and {} of any other, or where they cannot be trusted."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            text = image.info.get("limner", "")
        if not isinstance(text, str) or not text or len(text) > min(_LONGEST, MAX_TEXT_CHARS):
            return None, {}
        told = parse_json(text)
        recipe, extra = Metadata(limner=told).recipe, {name: told[name] for name in _KEPT if name in told}
        for text in (format_parameters(recipe), format_json(recipe, extra)):
            text.encode()  # what cannot be written raises by now
    except Exception:  # a stranger's text: anything that does not fit is left out
        return None, {}
    return recipe, extra
