"""The world's backgrounds: vector landscapes written by code, in several variants, by day, sunset or night."""

from __future__ import annotations

import functools
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.world.art import svg

VARIANTS = 8
"""How many drawings each (background, time) has; a scene names one by number."""

_SKY = {"day": ("#7ec3f2", "#d4ecfb"), "sunset": ("#6a4c93", "#ff9e5e"), "night": ("#0b1033", "#27306b")}
_DIM = {"day": 1.0, "sunset": 0.78, "night": 0.42}
_PLAIN = {"white": "#fafafa", "grey": "#a8a8a8", "blue": "#5b93e0", "green": "#6cc070", "pink": "#f4a6c6"}

_VEIL = {"rain": ("#4d5d70", 0.42), "snowfall": ("#dfe7f0", 0.35)}
"""What lies over a scene behind what falls: its colour and opacity. Drops alone, one pixel wide, do not survive the
autoencoder's latents of 8 x 8 pixels (docs/LOG.md); the light of a rainy or snowy day does, and so do drops of two."""


@functools.lru_cache(maxsize=1024)
def backdrop(name: str, time: str, variant: int, size: int) -> npt.NDArray[np.uint8]:
    """One background picture: uint8 (size, size, 3). The same arguments always give the same pixels."""
    rng = Random(f"{name}/{variant}")
    if name.endswith("background"):
        body = f'<rect width="100" height="100" fill="{_PLAIN[name.split()[0]]}"/>'
    else:
        body = _LANDSCAPES[name](rng, time)
    image = svg(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>', size)
    return np.asarray(image.convert("RGB"))


@functools.lru_cache(maxsize=64)
def weather_layer(weather: str, variant: int, size: int) -> npt.NDArray[np.uint8] | None:
    """What falls in front of a scene: RGBA uint8 (size, size, 4), or None in clear weather."""
    rng = Random(f"{weather}/{variant}")
    if weather == "clear":
        return None
    if weather == "fog":
        return np.full((size, size, 4), (214, 218, 222, 122), np.uint8)
    if weather == "rain":
        drops = (f"M{rng.uniform(-5, 100):.1f} {rng.uniform(-12, 98):.1f}l-3.6 12" for _ in range(36))
        body = f'<path d="{"".join(drops)}" stroke="#e2effa" stroke-width="1.5" opacity="0.8"/>'
    else:
        flakes = (_circle(rng.uniform(0, 100), rng.uniform(0, 100), rng.uniform(1.2, 2.6), "#fff") for _ in range(44))
        body = "".join(flakes)
    fill, opacity = _VEIL[weather]
    body = f'<rect width="100" height="100" fill="{fill}" opacity="{opacity}"/>{body}'
    return np.asarray(svg(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>', size))


def darken(picture: Image.Image, time: str) -> Image.Image:
    """Objects stand in the light of their hour: a little darker at sunset, darker at night."""
    factor = {"day": 1.0, "sunset": 0.93, "night": 0.8}[time]
    return picture if factor == 1.0 else picture.point([round(i * factor) for i in range(256)] * 3)


def _shade(colour: str, time: str) -> str:
    factor = _DIM[time]
    channels = (round(int(colour[i : i + 2], 16) * factor) for i in (1, 3, 5))
    return "#" + "".join(f"{c:02x}" for c in channels)


def _circle(x: float, y: float, radius: float, fill: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}"/>'


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def _gradient(top: str, bottom: str) -> str:
    stops = f'<stop offset="0" stop-color="{top}"/><stop offset="1" stop-color="{bottom}"/>'
    shade = f'<linearGradient id="g" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'
    return f'<defs>{shade}</defs><rect width="100" height="100" fill="url(#g)"/>'


def _sky(rng: Random, time: str) -> str:
    body = _gradient(*_SKY[time])
    if time == "night":
        stars = (_circle(rng.uniform(0, 100), rng.uniform(0, 50), 0.5, "#fff") for _ in range(24))
        return body + "".join(stars) + _circle(rng.uniform(10, 90), rng.uniform(8, 22), 5, "#f4f1cf")
    if time == "sunset":
        return body + _circle(rng.uniform(15, 85), 44, 8, "#ffe08a")
    clouds = ((rng.uniform(5, 90), rng.uniform(6, 26)) for _ in range(3))
    puffs = (_circle(x + dx, y, r, "#ffffff") for x, y in clouds for dx, r in ((-4, 3.0), (0, 4.2), (4, 3.0)))
    return body + "".join(puffs)


def _hills(rng: Random, y: float, swing: float, fill: str) -> str:
    heights = [y + rng.uniform(-swing, swing) for _ in range(5)]
    curve = "".join(f"S{25 * i - 10} {h:.1f} {25 * i} {h:.1f}" for i, h in enumerate(heights) if i)
    return f'<path d="M0 100V{heights[0]:.1f}{curve}V100z" fill="{fill}"/>'


def _snow(rng: Random, time: str) -> str:
    far, near = _shade("#dfeaf5", time), _shade("#f8fbff", time)
    return _sky(rng, time) + _hills(rng, 55, 5, far) + _hills(rng, 68, 4, near)


def _desert(rng: Random, time: str) -> str:
    far, near = _shade("#dba64f", time), _shade("#efc876", time)
    return _sky(rng, time) + _hills(rng, 55, 7, far) + _hills(rng, 70, 5, near)


def _meadow(rng: Random, time: str) -> str:
    colours = [_shade(c, time) for c in ("#f5e663", "#ffffff", "#f290b0")]
    flowers = (_circle(rng.uniform(0, 100), rng.uniform(66, 99), 1.1, rng.choice(colours)) for _ in range(30))
    ground = _hills(rng, 52, 5, _shade("#4f9f45", time)) + _hills(rng, 62, 3, _shade("#76c253", time))
    return _sky(rng, time) + ground + "".join(flowers)


def _beach(rng: Random, time: str) -> str:
    sea = _rect(0, 46, 100, 30, _shade("#2f9fd0", time)) + _rect(0, 62, 100, 3, _shade("#bfe8f5", time))
    return _sky(rng, time) + sea + _hills(rng, 67, 2, _shade("#f2dca0", time))


def _sea(rng: Random, time: str) -> str:
    waves = (f"M{rng.uniform(-5, 95):.1f} {rng.uniform(52, 98):.1f}q3 -2.5 6 0t6 0" for _ in range(26))
    foam = f'<path d="{"".join(waves)}" fill="none" stroke="{_shade("#8fd0ee", time)}" stroke-width="0.9"/>'
    return _sky(rng, time) + _rect(0, 46, 100, 54, _shade("#1f6fb5", time)) + foam


def _city(rng: Random, time: str) -> str:
    body, x = "", 0.0
    lit = "#ffe27a" if time != "day" else "#b9d6ea"
    while x < 100:
        width, top = rng.uniform(9, 15), rng.uniform(16, 46)
        body += _rect(x, top, width, 80, _shade(rng.choice(("#7d8796", "#98a1ad", "#8a7f8e", "#6d7b8c")), time))
        rows = range(int(top) + 3, 70, 6)
        body += "".join(_rect(x + dx, y, 2, 3, lit) for y in rows for dx in (2.0, 5.5) if rng.random() < 0.75)
        x += width
    return _sky(rng, time) + body + _rect(0, 74, 100, 26, _shade("#5c6066", time)) + _rect(0, 86, 100, 1.5, "#e8e4c9")


def _peak(x: float, top: float, half: float, time: str) -> str:
    rock = f'<polygon points="{x - half:.1f},75 {x:.1f},{top:.1f} {x + half:.1f},75" fill="{_shade("#7b7f92", time)}"/>'
    cut = (75 - top) * 0.3
    side = half * 0.3
    cap = f"{x - side:.1f},{top + cut:.1f} {x:.1f},{top:.1f} {x + side:.1f},{top + cut:.1f}"
    return rock + f'<polygon points="{cap}" fill="{_shade("#ffffff", time)}"/>'


def _mountains(rng: Random, time: str) -> str:
    peaks = (_peak(x + rng.uniform(-6, 6), rng.uniform(14, 32), rng.uniform(24, 32), time) for x in (12, 86, 48))
    return _sky(rng, time) + "".join(peaks) + _hills(rng, 73, 2, _shade("#5f9a57", time))


def _forest(rng: Random, time: str) -> str:
    body = _rect(0, 30, 100, 50, _shade("#1f5a33", time))
    for x in sorted(rng.uniform(-4, 104) for _ in range(13)):
        top, fill = rng.uniform(4, 26), _shade(rng.choice(("#2b7a3f", "#256b38", "#348a4a")), time)
        body += f'<polygon points="{x - 10:.1f},76 {x:.1f},{top:.1f} {x + 10:.1f},76" fill="{fill}"/>'
    return _sky(rng, time) + body + _rect(0, 73, 100, 27, _shade("#4b6b35", time))


def _space(rng: Random, time: str) -> str:
    stars = (_circle(rng.uniform(0, 100), rng.uniform(0, 100), rng.uniform(0.3, 0.9), "#fff") for _ in range(60))
    planet = _circle(rng.uniform(10, 90), rng.uniform(8, 25), rng.uniform(4, 8), rng.choice(("#c98d5a", "#9a78c9")))
    return _gradient("#05030f", "#1c0f38") + "".join(stars) + planet


def _underwater(rng: Random, time: str) -> str:
    bubbles = (_circle(rng.uniform(0, 100), rng.uniform(5, 80), rng.uniform(0.7, 2), "#9fe3ee") for _ in range(18))
    weeds = (f"M{rng.uniform(0, 100):.1f} 92q-5 -9 0 -16t0 -12" for _ in range(6))
    plants = f'<path d="{"".join(weeds)}" fill="none" stroke="#1d7a5a" stroke-width="2.6"/>'
    return _gradient("#2bb3c9", "#0b4a78") + "".join(bubbles) + plants + _hills(rng, 91, 2, "#c9b27a")


def _room(rng: Random, time: str) -> str:
    wall, floor = rng.choice((("#f0e0c4", "#a8743f"), ("#e9d7d0", "#9c6b4a"), ("#efe6cf", "#8f6136")))
    boards = "".join(_rect(0, y, 100, 0.7, "#7a5230") for y in (80, 87, 94))
    x = rng.choice((14.0, 62.0))
    window = _rect(x, 12, 26, 24, "#ffffff") + _rect(x + 2, 14, 22, 20, "#a9d8f5") + _rect(x + 12, 14, 2, 20, "#ffffff")
    return _rect(0, 0, 100, 74, wall) + window + _rect(0, 73, 100, 27, floor) + boards


_LANDSCAPES = {
    "snow": _snow, "desert": _desert, "meadow": _meadow, "beach": _beach, "city": _city, "sea": _sea,
    "mountains": _mountains, "forest": _forest, "space": _space, "underwater": _underwater, "room": _room,
}  # fmt: skip
