"""The world's judge: a small convolutional network that reads a picture back into a Scene.

It is trained on rendered truth only, never on drawn pictures, and its own score on rendered truth is the ceiling
that every table prints beside a model's. What it returns is a Scene, so that a Fact is judged of a picture by the
very rule (`scene.is_true`) by which it is true of the data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from limner.types import Picture
from limner.world.scene import Fact, Scene, Thing, is_true
from limner.world.vocabulary import BACKGROUNDS, COLOURS, TIMES, WEATHERS

GRID = 16
"""Cells across the picture; an object is found in the cell of its centre."""

SIZE = 128
COLOUR_NAMES = (None, *COLOURS)
GLOBALS = {"background": tuple(BACKGROUNDS), "time": tuple(TIMES), "weather": tuple(WEATHERS)}


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(width, width), _block(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (n, width, h, w) to features of the same shape."""
        return x + self.body(x)


class JudgeNet(nn.Module):
    """Pictures (n, 3, 128, 128) in [-1, 1] to per-cell and whole-picture logits.

    `cells`: (n, concepts + colours + 4, 16, 16): heat of each concept, colour of the object centred here, its
    offset from the cell's corner (x, y in cells) and its log size (width, height in shares of the picture).
    """

    def __init__(self, concepts: int, styles: int, width: int = 160) -> None:
        super().__init__()
        self.concepts, self.styles = concepts, styles
        self.trunk = nn.Sequential(
            _block(3, 32, 2), _block(32, 64, 2), Residual(64), _block(64, width, 2),
            Residual(width), Residual(width), Residual(width), Residual(width),
        )  # fmt: skip
        hidden, heads = _block(width, 2 * width), nn.Conv2d(2 * width, concepts + len(COLOUR_NAMES) + 4, 1)
        self.cells = nn.Sequential(hidden, heads)
        self.whole = nn.Linear(2 * width, styles + sum(len(names) for names in GLOBALS.values()))
        assert heads.bias is not None
        nn.init.constant_(heads.bias[:concepts], -4.0)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (cells, whole); `whole` is (n, styles, then backgrounds, times and weathers)."""
        features = self.trunk(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        return self.cells(features), self.whole(pooled)


class Judge:
    """A trained judge. `concepts` and `styles` are what it can recognise; anything else it cannot see."""

    def __init__(self, net: JudgeNet, concepts: Sequence[str], styles: Sequence[str], threshold: float = 0.35) -> None:
        self.net, self.concepts, self.styles, self.threshold = net.eval(), tuple(concepts), tuple(styles), threshold

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Load `judge.safetensors` and `judge.json` (concepts, styles) from a folder."""
        about = json.loads((folder / "judge.json").read_text())
        net = JudgeNet(len(about["concepts"]), len(about["styles"]))
        weights = load_file(folder / "judge.safetensors")
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
        return cls(net, about["concepts"], about["styles"])

    @torch.inference_mode()
    def read(self, pictures: Sequence[Picture]) -> list[Scene]:
        """What is in each picture, as a Scene; the things come strongest first."""
        scenes: list[Scene] = []
        for start in range(0, len(pictures), 32):
            cells, whole = self.net(_pixels(pictures[start : start + 32]))
            scenes += [self._scene(c, w) for c, w in zip(cells, whole, strict=True)]
        return scenes

    def _scene(self, cells: Tensor, whole: Tensor) -> Scene:
        style, start = self.styles[int(whole[: len(self.styles)].argmax())], len(self.styles)
        said: dict[str, str] = {}
        for key, names in GLOBALS.items():
            said[key] = names[int(whole[start : start + len(names)].argmax())]
            start += len(names)
        return Scene(self._things(cells, style), said["background"], said["time"], said["weather"])

    def _things(self, cells: Tensor, style: str) -> tuple[Thing, ...]:
        heat = cells[: len(self.concepts)].sigmoid()
        best, which = heat.max(0)
        peaks = (best == F.max_pool2d(best[None], 3, 1, 1)[0]) & (best > self.threshold)
        spots = sorted(_table(torch.nonzero(peaks)), key=lambda spot: -float(best[spot[0], spot[1]]))
        found: list[Thing] = []
        for y, x in spots:
            concept = self.concepts[int(which[y, x])]
            thing = self._thing(cells[len(self.concepts) :, y, x], concept, style, x, y)
            if not any(_same(thing, other) for other in found):
                found.append(thing)
        return tuple(found)

    def _thing(self, values: Tensor, concept: str, style: str, x: int, y: int) -> Thing:
        colour = COLOUR_NAMES[int(values[: len(COLOUR_NAMES)].argmax())]
        dx, dy, width, height = (float(value) for value in values[len(COLOUR_NAMES) :])
        return Thing(concept, style, (x + dx) / GRID, (y + dy) / GRID, float(np.exp(max(width, height))), colour)

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        """Whether each picture's facts are true of it: one list of verdicts a picture."""
        scenes = self.read(pictures)
        return [[is_true(fact, scene) for fact in row] for row, scene in zip(facts, scenes, strict=True)]


def _table(indices: Tensor) -> list[list[int]]:
    return cast(list[list[int]], indices.tolist())  # pyright: ignore[reportUnknownMemberType]


def _same(first: Thing, second: Thing) -> bool:
    """Two peaks of one object: nearer than a third of the smaller one's size."""
    near = 0.35 * min(first.size, second.size)
    return abs(first.x - second.x) < near and abs(first.y - second.y) < near


def _pixels(pictures: Sequence[Picture]) -> Tensor:
    """Pictures as float32 in [-1, 1], shape (n, 3, SIZE, SIZE)."""
    tensors = [torch.tensor(picture.pixels).permute(2, 0, 1)[None].float() / 127.5 - 1 for picture in pictures]
    resized = [t if t.shape[-2:] == (SIZE, SIZE) else F.interpolate(t, (SIZE, SIZE), mode="area") for t in tensors]
    return torch.cat(resized)
