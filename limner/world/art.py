"""The drawings that the picture world is composed of, fetched as pinned packages, kept in a cache.

Five packages draw the same 849 things in five styles; a sixth style, `shapes`, is drawn by code and needs no
download. The art is never committed; NOTICE credits it. `fetch_art()` is the only function that uses the
network, and only models are trained with what it brings: drawing, scoring and tests need none of it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image
from platformdirs import user_cache_path

from limner.types import BadInput, LimnerError
from limner.world import shapes
from limner.world.vocabulary import CONCEPTS

Sprite = npt.NDArray[np.uint8]
"""An object cut to its bounds: uint8, shape (height, width, 4), RGBA with straight alpha."""

SPRITE_PIXELS = 128


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned package: npm name, version and the sha512 of its archive (Subresource Integrity form)."""

    name: str
    version: str
    integrity: str


STYLE_PACKAGES = {
    "flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    "3d": Package(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    ),
    "line": Package(
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "sha512-esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
    ),
    "noto": Package(
        "@iconify-json/noto",
        "1.2.9",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
}
NAME_PACKAGES = (
    Package(
        "emojibase-data",
        "17.0.0",
        "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    ),
    Package(
        "emojilib",
        "4.0.3",
        "sha512-KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g==",
    ),
)
STYLES = (*STYLE_PACKAGES, "shapes")


def art_folder() -> Path:
    """Where the art is kept: the user's cache folder for Limner."""
    return user_cache_path("limner") / "art"


def package_folder(package: Package) -> Path:
    """The folder that one package's archive is unpacked into."""
    return art_folder() / f"{package.name.replace('/', '+')}-{package.version}"


def have_art(style: str) -> bool:
    """True when the style can be rendered without fetching anything."""
    return style == "shapes" or package_folder(STYLE_PACKAGES[style]).is_dir()


def fetch_art() -> list[Path]:
    """Fetch and check every package that is not in the cache yet; returns the folders.

    Raises LimnerError when npm is missing, fails, or delivers an archive with another hash.
    """
    packages = (*STYLE_PACKAGES.values(), *NAME_PACKAGES)
    return [fetch(package) for package in packages]


def fetch(package: Package) -> Path:
    """Bring one package into the cache; a folder there is complete, for it is renamed into place last."""
    folder = package_folder(package)
    if folder.is_dir():
        return folder
    art_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=art_folder()) as scratch:
        archive = _pack(package, Path(scratch))
        _check(package, archive)
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (Path(scratch) / "package").rename(folder)
    return folder


def _pack(package: Package, into: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise LimnerError("npm was not found", "the world's art comes as npm packages: install Node.js and npm")
    command = [npm, "pack", "--silent", f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False)
    archives = list(into.glob("*.tgz"))
    if done.returncode or not archives:
        raise LimnerError(f"npm could not fetch {package.name} {package.version}", done.stderr.strip()[-200:])
    return archives[0]


def _check(package: Package, archive: Path) -> None:
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise LimnerError(f"{package.name} {package.version} is not the archive it should be", "nothing was kept")


@functools.lru_cache(maxsize=8192)
def sprite(concept: str, style: str) -> Sprite:
    """The drawing of a concept, its longer side SPRITE_PIXELS, cut to its opaque bounds.

    Raises BadInput for a concept or style that the world does not have, LimnerError when its art was not fetched.
    """
    image = _draw(concept, style, SPRITE_PIXELS * 5 // 4)
    bounds = image.getchannel("A").point(_opaque).getbbox() or (0, 0, *image.size)
    image = image.crop(bounds)
    scale = SPRITE_PIXELS / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def _opaque(alpha: int) -> int:
    return 255 if alpha > 16 else 0


def _draw(concept: str, style: str, pixels: int) -> Image.Image:
    if style == "shapes":
        return svg(shapes.shape_svg(concept), pixels)
    if style not in STYLE_PACKAGES:
        raise BadInput(f"the world has no style «{style}»", f"it has {', '.join(STYLES)}")
    if concept not in CONCEPTS:
        raise BadInput(f"the world has no concept «{concept}»", "limner models show embedded lists them")
    if not have_art(style):
        raise LimnerError(f"the art of style «{style}» is not here", "limner world fetch brings it")
    return drawing(CONCEPTS[concept].hexcode, style, pixels)


def drawing(hexcode: str, style: str, pixels: int) -> Image.Image:
    """The drawing of an emoji in one of the fetched styles: RGBA, pixels x pixels, not cut."""
    if style == "3d":
        return Image.open(_webp(hexcode)).convert("RGBA").resize((pixels, pixels), Image.Resampling.LANCZOS)
    return svg(_icon_svg(style, hexcode), pixels)


def _webp(hexcode: str) -> Path:
    assets = package_folder(STYLE_PACKAGES["3d"]) / "assets"
    names = (hexcode, hexcode.replace("-fe0f", ""), f"{hexcode}-fe0f")
    return next(path for name in names if (path := assets / f"{name}.webp").is_file())


def _icon_svg(style: str, hexcode: str) -> str:
    icons, chars = icon_set(style)
    name = chars.get(hexcode) or chars[hexcode.replace("-fe0f", "")]
    while name in icons["aliases"] and name not in icons["icons"]:
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    width, height = icon.get("width", icons["width"]), icon.get("height", icons["height"])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'


@functools.cache
def icon_set(style: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The parsed icons and the table hexcode -> icon name of one vector style."""
    folder = package_folder(STYLE_PACKAGES[style])
    icons = json.loads((folder / "icons.json").read_text())
    return {"aliases": {}, "width": 32, "height": 32, **icons}, json.loads((folder / "chars.json").read_text())


def svg(source: str, pixels: int) -> Image.Image:
    """Render SVG text to an RGBA image of pixels x pixels."""
    png = resvg_py.svg_to_bytes(svg_string=source, width=pixels, height=pixels)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")
