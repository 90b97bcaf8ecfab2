"""From a scene to a picture with exact boxes and masks, at any size."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.types import AnnotatedPicture, Picture, Region
from limner.world.art import sprite
from limner.world.backdrop import backdrop, darken, weather_layer
from limner.world.caption import describe
from limner.world.scene import Scene, Thing
from limner.world.vocabulary import COLOURS

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""How bright red, green and blue look: the weights of ITU-R BT.601."""


def render(scene: Scene, size: int = 128) -> Picture:
    """The scene as a square picture of size x size pixels."""
    canvas = Image.fromarray(backdrop(scene.background, scene.time, scene.variant, size).copy())
    for thing in scene.things:
        image, corner = _placed(thing, size)
        canvas.paste(darken(image.convert("RGB"), scene.time), corner, image.getchannel("A"))
    layer = weather_layer(scene.weather, scene.variant, size)
    if layer is not None:
        falling = Image.fromarray(layer)
        canvas.paste(falling.convert("RGB"), (0, 0), falling.getchannel("A"))
    return Picture(np.asarray(canvas))


def annotate(scene: Scene, size: int = 128) -> AnnotatedPicture:
    """The picture with one Region a thing, back to front: mask (what can be seen of it) and the box around that."""
    masks: list[npt.NDArray[np.bool_]] = []
    for thing in scene.things:
        mask = _mask(thing, size)
        for earlier in masks:
            earlier &= ~mask
        masks.append(mask)
    regions = [_region(t, m) for t, m in zip(scene.things, masks, strict=True) if m.any()]
    return AnnotatedPicture(render(scene, size), describe(scene), regions)


def _region(thing: Thing, mask: npt.NDArray[np.bool_]) -> Region:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))
    label = f"{thing.colour} {thing.concept}" if thing.colour else thing.concept
    return Region(label, box, 1.0, mask)


def _mask(thing: Thing, size: int) -> npt.NDArray[np.bool_]:
    whole = Image.new("L", (size, size))
    image, corner = _placed(thing, size)
    whole.paste(image.getchannel("A"), corner)
    return np.asarray(whole) >= 128


def _placed(thing: Thing, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """The thing's picture (RGBA) at its size in pixels, and its top left corner."""
    art = tinted(thing.concept, thing.style, thing.colour, thing.mirrored)
    scale = thing.size * size / max(art.size)
    width, height = max(1, round(art.width * scale)), max(1, round(art.height * scale))
    image = art.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.5)
    return image, (round(thing.x * size - width / 2), round(thing.y * size - height / 2))


@functools.lru_cache(maxsize=4096)
def tinted(name: str, style: str, colour: str | None, mirrored: bool) -> Image.Image:
    """An object's drawing in a colour: RGBA.

    A tint keeps the drawing's light and shade: what was mid-grey becomes the colour, darker parts its shades,
    lighter parts its pastels, so that eyes stay dark and highlights light.
    """
    pixels = sprite(name, style)
    if colour is not None:
        light = pixels[..., :3].astype(np.float32) @ _LUMA / 255
        rgb = np.array(COLOURS[colour], np.float32) / 255
        level = (0.06 + 0.72 * light)[..., None]
        shaded = np.where(level < 0.5, rgb * (2 * level), rgb + (1 - rgb) * (2 * level - 1))
        pixels = np.concatenate([(shaded * 255).astype(np.uint8), pixels[..., 3:]], axis=2)
    return Image.fromarray(pixels[:, ::-1] if mirrored else pixels)
