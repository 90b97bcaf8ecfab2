"""Pictures as files and on sheets: opened safely, saved with their recipe inside, compared."""

from limner.image.annotate import draw_regions
from limner.image.compare import psnr
from limner.image.files import (
    decode_picture,
    open_picture,
    png_bytes,
    read_metadata,
    read_recipe,
    save_png,
    write_whole,
)
from limner.image.metadata import Metadata, format_parameters, parse_parameters
from limner.image.rle import Rle, from_rle, to_rle
from limner.image.sheet import contact_sheet

__all__ = [
    "Metadata",
    "Rle",
    "contact_sheet",
    "decode_picture",
    "draw_regions",
    "format_parameters",
    "from_rle",
    "open_picture",
    "parse_parameters",
    "png_bytes",
    "psnr",
    "read_metadata",
    "read_recipe",
    "save_png",
    "to_rle",
    "write_whole",
]
