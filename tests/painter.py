"""A world small enough to be exact: a painter of coloured shapes and a scorer that looks at the pixels.

The painter draws what its prompt names, each thing with a chance that rises with its prompt weight, from the noise
of the request's seed alone. So seeds, weights and wordings have true effects, and the scorer makes no mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from limner.concept import in_words, uses
from limner.prompt import parse, unwanted
from limner.protocols import DrawRequest, Features, Learned
from limner.types import BadInput, Picture

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 70, 220)}
SHAPES = ("circle", "square", "triangle")
THINGS = tuple(f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES))
RIVALS = (("bright style",), ("dull style", "matt style"))
_CELL = 16
_FILLED = {"square": (0.9, 1.0), "circle": (0.7, 0.85), "triangle": (0.4, 0.6)}
_NAMED = re.compile(rf"(?:({'|'.join(COLOURS)}) )?({'|'.join(SHAPES)})\b")
_WORDS = {*COLOURS, *SHAPES, "a", "and", "the", "of", "on", "white", "left"}


def chance(thing: str, weight: float = 1.0) -> float:
    """How likely the painter is to draw a thing: easy ones 0.7, hard ones 0.3, more with weight."""
    ease = 0.3 + 0.05 * THINGS.index(thing)
    return min(ease * weight**3, 0.98)


def named(prompt: str, seed: int) -> dict[str, float]:
    """The things a prompt names, with their weights; a shape without a colour gets one from the seed."""
    things: dict[str, float] = {}
    for segment in parse(prompt):
        for colour, shape in _NAMED.findall(segment.text):
            chosen = colour or list(COLOURS)[np.random.default_rng([seed, 99]).integers(len(COLOURS))]
            things[f"{chosen} {shape}"] = segment.weight
    return things


class Painter:
    """A TextToImage that draws 48 x 48 pictures and counts them in `drawn`."""

    name = "painter"
    model_hash = "0123"
    sampler = "brush"
    default_size: tuple[int, int] = (48, 48)
    default_steps = 1
    default_guidance = 1.0

    def __init__(self, max_batch: int = 8, likes: Mapping[str, str] | None = None) -> None:
        self.max_batch = max_batch
        self.likes: Mapping[str, str] = {} if likes is None else likes
        self.drawn: list[DrawRequest] = []

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        assert len(requests) <= self.max_batch
        self.drawn += requests
        return [paint(in_words(request.prompt, self.likes), request.seed) for request in requests]

    def unwanted(self, prompt: str) -> str:
        return unwanted(prompt, RIVALS)

    def concepts(self, prompt: str) -> list[Learned]:
        return learned(prompt, self.likes)

    def unknown_words(self, prompt: str) -> list[str]:
        return [word for word in re.findall(r"[a-z]+", prompt.lower()) if word not in _WORDS]


def learned(prompt: str, likes: Mapping[str, str]) -> list[Learned]:
    """The concepts of a prompt, of those on a shelf of words: each is what it is like."""
    for use in uses(prompt):
        if use.name not in likes:
            raise BadInput(f"there is no concept {use.name!r}")
    return [Learned(f"<{use.name}>", likes[use.name], 1.0) for use in uses(prompt)]


def paint(prompt: str, seed: int) -> Picture:
    """Draw a prompt: every thing has its own cell and its own luck under a seed."""
    canvas = Image.new("RGB", (3 * _CELL, 3 * _CELL), "white")
    brush = ImageDraw.Draw(canvas)
    cells = np.random.default_rng(seed).permutation(len(THINGS))
    for thing, weight in named(prompt, seed).items():
        index = THINGS.index(thing)
        if np.random.default_rng([seed, index]).random() < chance(thing, weight):
            _stamp(brush, thing, *divmod(int(cells[index]), 3))
    return Picture(np.array(canvas))


def _stamp(brush: ImageDraw.ImageDraw, thing: str, row: int, column: int) -> None:
    colour, shape = thing.split()
    x0, y0 = column * _CELL + 2, row * _CELL + 2
    x1, y1 = x0 + 11, y0 + 11
    if shape == "square":
        brush.rectangle((x0, y0, x1, y1), fill=COLOURS[colour])
    elif shape == "circle":
        brush.ellipse((x0, y0, x1, y1), fill=COLOURS[colour])
    else:
        brush.polygon([(x0, y1), (x1, y1), ((x0 + x1) // 2, y0)], fill=COLOURS[colour])


def seen(picture: Picture) -> set[str]:
    """The things in a picture, by colour and by how much of its own box each fills."""
    found: set[str] = set()
    for row, column in product(range(3), range(3)):
        cell = picture.pixels[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL]
        for colour, rgb in COLOURS.items():
            mask = (cell == rgb).all(axis=2)
            found |= {f"{colour} {shape}" for shape, share in _FILLED.items() if share[0] <= _filled(mask) <= share[1]}
    return found


def _filled(mask: npt.NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(mask)
    return len(rows) / (np.ptp(rows) + 1) / (np.ptp(columns) + 1) if len(rows) else 0.0


class PixelScorer:
    """An ImageTextScorer that is never wrong: one feature for each thing, each shape, and all that it cannot see."""

    name = "pixels"
    topics = (*THINGS, *SHAPES, "")

    def encode_pictures(self, pictures: Sequence[Picture]) -> Features:
        shown = [seen(picture) for picture in pictures]
        rows = [[self._shows(topic, things) for topic in self.topics] for things in shown]
        return np.array(rows, np.float32) / np.float32(len(self.topics) ** 0.5)

    def encode_texts(self, texts: Sequence[str]) -> Features:
        topics = [[f"{colour} {shape}".strip() for colour, shape in _NAMED.findall(text)] or [""] for text in texts]
        rows = np.array([[topic in wanted for topic in self.topics] for wanted in topics], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def too_long(self, texts: Sequence[str]) -> list[str]:
        return []

    def precisions(self, texts: Sequence[str]) -> list[float | None]:
        return [1.0] * len(texts)

    def thresholds(self, texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)

    @staticmethod
    def _shows(topic: str, things: set[str]) -> int:
        return 1 if topic and any(topic in thing for thing in things) else -1
