"""Eyes and a judge that know the truth of the scenes they are shown, and eyes that see nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limner.evaluate.eyes import Sight
from limner.protocols import Mask
from limner.types import Box, Picture, Region
from limner.world.caption import describe
from limner.world.render import render
from limner.world.scene import Fact, Scene, is_true


class Knowing:
    """A detector, segmenter and captioner that knows the sights; `shift` pixels to the right is where it says that
    things are."""

    name = "knowing"
    threshold = present = 0.1
    things: frozenset[str] = frozenset()

    def __init__(self, seen: Iterable[Sight], shift: float = 0.0) -> None:
        self.sights = {sight.picture.sha256: sight for sight in seen}
        self.shift = shift

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        return [
            [self._said(region) for region in self.sights[picture.sha256].truth if region.label in wanted]
            for picture, wanted in zip(pictures, queries, strict=True)
        ]

    def _said(self, region: Region) -> Region:
        x0, y0, x1, y1 = region.box
        return Region(region.label, (x0 + self.shift, y0, x1 + self.shift, y1), 0.9)

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        masks = {region.box: region.mask for region in self.sights[picture.sha256].regions}
        return [mask for box in boxes if (mask := masks[box]) is not None]

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        return [describe(self.sights[picture.sha256].scene) for picture in pictures]


class Blind:
    name = "blind"
    threshold = present = 0.1
    things: frozenset[str] = frozenset()

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        return [[] for _ in pictures]

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        return [picture.pixels.max(axis=2) > 255 for _ in boxes]

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        return ["nothing in the snow" for _ in pictures]


class ExactJudge:
    """Knows every scene by the hash of its picture."""

    def __init__(self, scenes: Iterable[Scene]) -> None:
        self.known = {render(scene, size).sha256: scene for scene in scenes for size in (64, 128)}

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        scenes = [self.known[picture.sha256] for picture in pictures]
        return [[is_true(fact, scene) for fact in row] for row, scene in zip(facts, scenes, strict=True)]


class Doubter:
    """A judge that says that nothing is so."""

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        return [[False] * len(row) for row in facts]
