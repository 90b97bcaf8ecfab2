"""Open pictures from anywhere without trusting them; write PNGs whole or not at all, recipe inside."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from limner.image.metadata import Metadata, format_json, format_parameters, parse_json
from limner.types import BadInput, LimnerError, Picture, Recipe

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 32 * 2**20
"""About 5800 x 5800: more than any model here draws or reads, and about 100 MB once decoded."""
MAX_TEXT_CHARS = 2**20
_EXIF_DETAILS, _USER_COMMENT = 0x8769, 0x9286
# What Pillow raises for files that are cut short, malformed, or larger inside than out.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def save_png(
    path: Path, picture: Picture, recipe: Recipe | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Write `png_bytes(...)` to `path` in one step: afterwards the old file is there or the new, never half.

    Raises BadInput when the folder cannot be written to, LimnerError when the disk is full or fails.
    """
    write_whole(path, png_bytes(picture, recipe, extra))


def png_bytes(picture: Picture, recipe: Recipe | None = None, extra: Mapping[str, Any] | None = None) -> bytes:
    """The picture as a PNG file: the same picture, recipe and extra give the same bytes.

    `recipe` is written as A1111's text chunk `parameters`; recipe and `extra` (JSON values: scores, lineage)
    as one JSON chunk `limner`. With neither, the file holds nothing but pixels.
    """
    chunks = PngInfo()
    if recipe is not None:
        chunks.add_text("parameters", format_parameters(recipe))
    if recipe is not None or extra:
        chunks.add_text("limner", format_json(recipe, extra or {}))
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by way of a synced sibling and a rename; raises like `save_png`."""
    try:
        with _sibling(path) as temporary:
            temporary.write_bytes(content)
            sync(temporary)
            temporary.replace(path)
        sync(path.parent)
    except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise BadInput(f"cannot write {path}: {error.strerror}", "choose a folder that exists and is yours") from error
    except OSError as error:
        raise LimnerError(f"could not write {path}: {error.strerror}", "free some space and try again") from error


@contextmanager
def _sibling(path: Path) -> Generator[Path]:
    """A new file beside `path`, gone afterwards unless it was renamed."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.", suffix=".part")
    os.fchmod(number, 0o666 & ~_umask())
    os.close(number)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    """What a plain `open` would take away; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Wait until a file or folder is safe on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def open_picture(path: Path) -> Picture:
    """Read a PNG, JPEG or WebP: turned as its EXIF says, transparency over white, the first of several frames.

    Raises BadInput for other formats, for files over 64 MiB, for pictures over 32 Mi pixels (before they are
    decoded) and for files that are damaged.
    """
    with _opened(path) as image:
        return _upright(image)


def decode_picture(content: bytes, name: str) -> Picture:
    """The picture in a file's bytes, as `open_picture` reads it; `name` is what errors call it."""
    with _opened(io.BytesIO(content), name) as image:
        return _upright(image)


def _upright(image: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(image)
    # 16-bit grey is the one mode whose range Pillow would clip rather than scale.
    upright = upright.point(lambda value: value / 256).convert("L") if upright.mode.startswith("I") else upright
    return Picture(np.array(_over_white(upright)))


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def read_recipe(path: Path) -> Recipe:
    """The recipe inside a picture file. Raises BadInput when it holds none or the file cannot be read."""
    return read_metadata(path).recipe


def read_metadata(path: Path) -> Metadata:
    """A1111's text and Limner's JSON from a PNG's text chunks (before the pixels), or from EXIF's user comment.

    Pixels are not decoded. Raises BadInput like `open_picture`, and for texts over 1 Mi characters.
    """
    with _opened(path) as image:
        parameters = image.info.get("parameters") or _user_comment(image)
        own = image.info.get("limner", "")
    if max(len(parameters), len(own)) > MAX_TEXT_CHARS:
        raise BadInput(f"{path}: its text is too long")
    return Metadata(str(parameters), parse_json(str(own)) if own else {})


def _user_comment(image: Image.Image) -> str:
    """EXIF's user comment, where JPEG and WebP files carry A1111's text: eight bytes of encoding, then text."""
    comment = image.getexif().get_ifd(_EXIF_DETAILS).get(_USER_COMMENT, b"")
    if not isinstance(comment, bytes):
        return ""
    encoding = "utf-16-be" if comment.startswith(b"UNICODE") else "utf-8"
    return comment[8:].decode(encoding, "replace")


@contextmanager
def _opened(file: Path | io.BytesIO, name: str = "") -> Generator[Image.Image]:
    """Open a picture file within the limits; whatever goes wrong with it in the block is BadInput."""
    name = name or str(file)
    try:
        if (file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes) > MAX_FILE_BYTES:
            raise BadInput(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(f"{name} has {image.width}x{image.height} pixels", f"at most {MAX_PIXELS} are read")
            yield image
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "not a PNG, JPEG or WebP picture, or damaged"
        raise BadInput(f"cannot read {name}: {reason}") from error
