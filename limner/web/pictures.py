"""Pictures: taken from whoever is let in, and given to whoever knows the sha256, which cannot be guessed."""

from __future__ import annotations

import io
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from PIL import Image

from limner.image import decode_picture, png_bytes
from limner.service.values import NotFound
from limner.types import Picture
from limner.web import uploads
from limner.web.answers import PictureAnswer, errors_of, file_of
from limner.web.params import SHA256
from limner.web.service import Here, User

router = APIRouter(prefix="/api/pictures", tags=["pictures"])
Sha = Annotated[str, Path(pattern=SHA256, examples=["0" * 64])]
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$"
FOREVER = "private, max-age=31536000, immutable"
"""How long a browser keeps what is named by its hash."""

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, **dict.fromkeys(uploads.TYPES, _BYTES)},
    }
}


@router.post("", status_code=201, response_model=PictureAnswer, responses=errors_of(415), openapi_extra=UPLOAD)
async def add_picture(request: Request, service: Here, user: User) -> dict[str, Any]:
    """Upload a PNG, JPEG or WebP; it is kept as a PNG, with nothing of what it said but a recipe of Limner's."""
    return (await uploads.take_from(request, service)).to_json()


@router.get("/{sha256}", response_class=Response, responses=file_of("image/png"))
def show_picture(
    request: Request,
    service: Here,
    user: User,
    sha256: Sha,
    size: Annotated[int | None, Query(ge=16, le=1024, description="At most so many pixels a side.")] = None,
    metadata: Annotated[bool, Query(description="false: nothing but pixels.")] = True,
    download: Annotated[str | None, Query(pattern=FILE_NAME, description="Offer it as a file of this name.")] = None,
) -> Response:
    """A picture as a PNG, with its recipe inside unless it is made smaller or `metadata` is false."""
    tag = f'"{sha256[:32]}-{size or 0}-{int(metadata)}"'
    headers = {"Cache-Control": FOREVER, "ETag": tag}
    if download:
        name = download if download.lower().endswith(".png") else f"{download}.png"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if not service.blobs.has(sha256):
        raise NotFound("there is no such picture", "it may have gone with its session")
    content = service.blobs.get(sha256)
    if size or not metadata:
        content = smaller(decode_picture(content, "the picture"), size)
    return Response(content, media_type="image/png", headers=headers)


def smaller(picture: Picture, size: int | None) -> bytes:
    """A PNG of nothing but pixels, at most `size` a side (None: as it is)."""
    if size is None or max(picture.width, picture.height) <= size:
        return png_bytes(picture)
    image, file = Image.fromarray(picture.pixels), io.BytesIO()
    image.thumbnail((size, size))
    image.save(file, "PNG")
    return file.getvalue()
