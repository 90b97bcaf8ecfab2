"""Pictures in the terminal itself, where it can: kitty's protocol, iTerm2's, or sixel."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable

from PIL import Image
from rich.console import Console

_COLUMNS = 40
"""The width of a picture, in characters."""


def shower(terminal_program: str) -> Callable[[bytes], None] | None:
    """What draws a PNG in this terminal; None where it has no graphics, or is none.

    `terminal_program` is what the terminal calls itself (TERM_PROGRAM). Asking a terminal what it can takes it some
    milliseconds, and is only done when standard output is one.
    """
    if not sys.stdout.isatty():
        return None
    if terminal_program in ("iTerm.app", "WezTerm"):
        return _iterm
    from textual_image import renderable

    able = renderable.Image in (renderable.TGPImage, renderable.SixelImage)
    return _rendered if able else None


def _iterm(png: bytes) -> None:
    sys.stdout.write(iterm(png))
    sys.stdout.flush()


def iterm(png: bytes) -> str:
    """The escape sequence by which iTerm2 (and those that follow it) shows a file in the text."""
    content = base64.b64encode(png).decode()
    return f"\x1b]1337;File=inline=1;width={_COLUMNS};size={len(png)}:{content}\a\n"


def _rendered(png: bytes) -> None:
    from textual_image.renderable import Image as Renderable

    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        Console().print(Renderable(image, width=_COLUMNS, height="auto"))
