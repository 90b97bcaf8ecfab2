"""Pictures as files and on sheets: opened safely, saved with their recipe inside, compared."""

from limner.image.compare import psnr
from limner.image.files import open_picture, png_bytes, read_metadata, read_recipe, save_png, write_whole
from limner.image.metadata import Metadata, format_parameters, parse_parameters
from limner.image.sheet import contact_sheet

__all__ = [
    "Metadata",
    "contact_sheet",
    "format_parameters",
    "open_picture",
    "parse_parameters",
    "png_bytes",
    "psnr",
    "read_metadata",
    "read_recipe",
    "save_png",
    "write_whole",
]
