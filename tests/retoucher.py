"""Eyes and hands for the painter's world: they read and change pixels, and what they do wrong can be set.

The eyes find shapes by their colour and by how much of its box each fills. The editor carries out what an instruction
says, on pixels, and disturbs all others a little, as real editors do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from limner.concept import in_words
from limner.instruction import parse_instruction
from limner.protocols import EditModels, EditRequest, Eyes, Features, FillRequest, Hands, Learned, Mask
from limner.regions import mask_box
from limner.types import Box, Change, Picture, Region
from tests.painter import COLOURS, SHAPES, THINGS, learned

GROUNDS = {"white": (255, 255, 255), "night": (20, 20, 60), "sunset": (250, 150, 90), "desert": (240, 210, 140)}
WHITE = GROUNDS["white"]
_TOLERANCE = 40
_COARSE = 160
"""Larger pictures are read on a grid of about so many points a side."""
_LEAST = 12
_SHARES = {"square": 0.9, "circle": 0.68, "triangle": 0.35}
"""The least share of its box that a shape fills."""

Rgb = tuple[int, int, int]


def show(*things: tuple[str, Box], size: tuple[int, int] = (48, 48), ground: Rgb = WHITE) -> Picture:
    """A picture of things («red circle»), each filling its box."""
    canvas = Image.new("RGB", size, ground)
    for thing, box in things:
        stamp(canvas, thing, box)
    return Picture(np.array(canvas))


def stamp(canvas: Image.Image, thing: str, box: Box) -> None:
    """Draw a thing that fills the box."""
    colour, shape = thing.split()
    x0, y0, x1, y1 = (round(side) for side in box)
    corners, brush = (x0, y0, x1 - 1, y1 - 1), ImageDraw.Draw(canvas)
    if shape == "square":
        brush.rectangle(corners, fill=COLOURS[colour])
    elif shape == "circle":
        brush.ellipse(corners, fill=COLOURS[colour])
    else:
        brush.polygon([(x0, y1 - 1), (x1 - 1, y1 - 1), ((x0 + x1 - 1) // 2, y0)], fill=COLOURS[colour])


def grainy(picture: Picture) -> Picture:
    """The picture with a grain that no model and no resizing would keep."""
    grain = np.random.default_rng(0).integers(0, 8, picture.pixels.shape, np.uint8)
    return Picture(np.where(picture.pixels > 127, picture.pixels - grain, picture.pixels + grain))


def is_colour(pixels: npt.NDArray[np.uint8], rgb: Rgb) -> Mask:
    """Where the pixels are that colour, or nearly."""
    least, most = (np.array([min(max(c + off, 0), 255) for c in rgb], np.uint8) for off in (-_TOLERANCE, _TOLERANCE))
    return np.asarray(((pixels >= least) & (pixels <= most)).all(axis=2))


def ground_of(picture: Picture) -> str:
    """Which ground most of the picture's pixels have; "" for none."""
    seen = picture.pixels[:: _step(picture), :: _step(picture)]
    shares = {name: float(is_colour(seen, rgb).mean()) for name, rgb in GROUNDS.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > 0.3 else ""


def found_in(picture: Picture) -> list[Region]:
    """Everything in a picture, the largest first, each with its box on whole pixels."""
    step = _step(picture)
    seen = picture.pixels[::step, ::step]
    regions: list[Region] = []
    for colour, rgb in COLOURS.items():
        for part in _parts(is_colour(seen, rgb)):
            box, size = mask_box(part), int(part.sum())
            share = size / ((box[2] - box[0]) * (box[3] - box[1]))
            shape = next((name for name, least in _SHARES.items() if share >= least), "")
            if shape and size >= _LEAST:
                regions.append(Region(f"{colour} {shape}", _tight(picture, rgb, box, step)))
    return sorted(regions, key=lambda region: (region.box[0] - region.box[2]) * (region.box[3] - region.box[1]))


def _step(picture: Picture) -> int:
    return -(-max(picture.width, picture.height) // _COARSE)


def _tight(picture: Picture, rgb: Rgb, box: Box, step: int) -> Box:
    """A box of the coarse grid brought to the pixels that it is about."""
    x0, y0, x1, y1 = (int(side) * step for side in box)
    x0, y0 = max(0, x0 - step), max(0, y0 - step)
    left, top, right, bottom = mask_box(is_colour(picture.pixels[y0 : y1 + step, x0 : x1 + step], rgb))
    return (x0 + left, y0 + top, x0 + right, y0 + bottom)


def _parts(mask: Mask) -> Iterator[Mask]:
    """The connected parts of a mask."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        around = [padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
        spread = np.where(mask, np.maximum.reduce(around), 0)
        if (spread == labels).all():
            break
        labels = spread
    for label in np.unique(labels[mask]):
        yield labels == label


def _is_a(label: str, query: str) -> bool:
    """Whether a red circle is asked for: by «red circle», «circle» or «red»."""
    return bool(query) and set(query.split()) <= set(label.split())


class ShapeDetector:
    """A Detector that is never wrong; what looks smaller scores less."""

    name = "shapes"
    threshold = present = 0.1
    things: frozenset[str] = frozenset()

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        return [self._find(picture, asked) for picture, asked in zip(pictures, queries, strict=True)]

    @staticmethod
    def _find(picture: Picture, asked: Sequence[str]) -> list[Region]:
        scored = [(region, 0.95 - 0.01 * place) for place, region in enumerate(found_in(picture))]
        named = [
            Region(query, each.box, score) for each, score in scored for query in asked if _is_a(each.label, query)
        ]
        return sorted(named, key=lambda region: -region.score)


class ShapeSegmenter:
    """A Segmenter: the pixels in a box that have one of the things' colours."""

    name = "shapes"

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        masks: list[Mask] = []
        for box in boxes:
            x0, y0, x1, y1 = (round(side) for side in box)
            part = picture.pixels[y0:y1, x0:x1]
            mask = np.zeros(picture.pixels.shape[:2], np.bool_)
            mask[y0:y1, x0:x1] = max((is_colour(part, rgb) for rgb in COLOURS.values()), key=np.count_nonzero)
            masks.append(mask)
        return masks


class ShapeCaptioner:
    """A Captioner that names everything once, and the ground when it is not white."""

    name = "shapes"

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        return [self._say(picture) for picture in pictures]

    @staticmethod
    def _say(picture: Picture) -> str:
        names = list(dict.fromkeys(region.label for region in found_in(picture)))
        ground = ground_of(picture)
        said = " and ".join(f"a {name}" for name in names) or "nothing"
        return f"{said} in the {ground}" if ground not in ("", "white") else said


class ShapeScorer:
    """An ImageTextScorer that is never wrong: one feature for each thing, shape and ground."""

    name = "shapes"
    topics = (*THINGS, *SHAPES, *GROUNDS, "")

    def encode_pictures(self, pictures: Sequence[Picture]) -> Features:
        rows: list[list[int]] = []
        for picture in pictures:
            labels, ground = [region.label for region in found_in(picture)], ground_of(picture)
            there = [topic == ground or any(_is_a(label, topic) for label in labels) for topic in self.topics]
            rows.append([1 if each and topic else -1 for each, topic in zip(there, self.topics, strict=True)])
        return np.array(rows, np.float32) / np.float32(len(self.topics) ** 0.5)

    def encode_texts(self, texts: Sequence[str]) -> Features:
        rows = np.array([[float(self._says(text, topic)) for topic in self.topics] for text in texts], np.float32)
        rows[:, -1] = ~rows.any(axis=1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def thresholds(self, texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)

    def too_long(self, texts: Sequence[str]) -> list[str]:
        return []

    def precisions(self, texts: Sequence[str]) -> list[float | None]:
        return [1.0] * len(texts)

    @staticmethod
    def _says(text: str, topic: str) -> bool:
        return bool(topic) and f" {topic} " in f" {text.replace(',', ' ,')} "


@dataclass(slots=True)
class Retoucher:
    """An ImageEditor that does as it is told, but for its flaws.

    It does nothing for the seeds in `deaf` and for text guidances below `least_guidance`; every pixel it returns is
    off by up to `noise`; one that is `careless` with the things paints them over when it changes the ground, and one
    that is `colourblind` gives all things the hue of the light then.
    """

    deaf: Collection[int] = ()
    least_guidance: float = 0.0
    noise: int = 4
    careless: bool = False
    colourblind: bool = False
    likes: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = "retoucher"
    model_hash: str = "4567"
    default_size: tuple[int, int] = (48, 48)
    default_steps: int = 3
    default_text_guidance: float = 5.0
    default_image_guidance: float = 1.5

    def edit(
        self, requests: Sequence[EditRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        return [self._edit(request) for request in requests]

    def _edit(self, request: EditRequest) -> Picture:
        heard = request.seed not in self.deaf and request.text_guidance >= self.least_guidance
        known = {name: like or name for name, like in self.likes.items()}
        change = parse_instruction(in_words(request.instruction, known))
        done = self._carried_out(request.picture, change) if heard else request.picture
        off = np.random.default_rng(request.seed).integers(-self.noise, self.noise + 1, done.pixels.shape)
        return Picture((done.pixels + off).clip(0, 255).astype(np.uint8))

    def _carried_out(self, picture: Picture, change: Change) -> Picture:
        if not change.local:
            return self._on_ground(picture, change.value)
        canvas = Image.fromarray(picture.pixels)
        ground = GROUNDS[ground_of(picture) or "white"]
        if change.kind == "add":
            stamp(canvas, change.value, _free_place(picture, change.place))
            return Picture(np.array(canvas))
        meant = [region for region in found_in(picture) if _is_a(region.label, change.target) or not change.target]
        for region in meant[:1]:
            x0, y0, x1, y1 = (round(side) for side in region.box)
            ImageDraw.Draw(canvas).rectangle((x0, y0, x1 - 1, y1 - 1), fill=ground)
            shape = region.label.split()[1]
            new = {"recolour": f"{change.value} {shape}", "replace": change.value}.get(change.kind)
            if new:
                stamp(canvas, new, region.box)
        return Picture(np.array(canvas))

    def _on_ground(self, picture: Picture, name: str) -> Picture:
        pixels = picture.pixels.copy()
        rgb = GROUNDS.get("white" if name == "day" else name)
        if rgb:
            ground = is_colour(pixels, GROUNDS[ground_of(picture) or "white"])
            pixels[ground | self.careless] = rgb
            if self.colourblind:
                pixels[~ground] = np.roll(pixels[~ground], 1, axis=1)
        return Picture(pixels)


def _free_place(picture: Picture, place: str) -> Box:
    """Left of the thing that the place names, else low in the middle."""
    anchors = [region.box for region in found_in(picture) if place.endswith(region.label)]
    side = max(8, min(picture.width, picture.height) // 5)
    x, y = (
        (anchors[0][0] - side - 4, anchors[0][1]) if anchors else (picture.width / 2 - side / 2, picture.height * 0.55)
    )
    x, y = max(0, round(x)), max(0, round(y))
    return (x, y, x + side, y + side)


@dataclass(slots=True)
class Filler:
    """An Inpainter that draws into the mask what its prompt names and the rest of the picture does not show.

    Where it is to draw all of a picture that shines through, it only changes the ground to the one named. It does
    nothing for the seeds in `deaf`; `asked` keeps the requests.
    """

    deaf: Collection[int] = ()
    asked: list[FillRequest] = field(default_factory=list[FillRequest])
    likes: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = "filler"
    model_hash: str = "89ab"
    default_size: tuple[int, int] = (48, 48)
    default_steps: int = 2
    default_guidance: float = 4.0

    def fill(
        self, requests: Sequence[FillRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        self.asked += requests
        return [self._fill(request) if request.seed not in self.deaf else request.picture for request in requests]

    def concepts(self, prompt: str) -> list[Learned]:
        return learned(prompt, self.likes)

    def _fill(self, request: FillRequest) -> Picture:
        pixels = request.picture.pixels.copy()
        if request.mask.all() and request.strength < 1:
            wanted = next((rgb for name, rgb in GROUNDS.items() if name in request.prompt), WHITE)
            pixels[is_colour(pixels, GROUNDS[ground_of(request.picture) or "white"])] = wanted
            return Picture(pixels)
        pixels[request.mask] = GROUNDS[ground_of(request.picture) or "white"]
        shown = {region.label for region in found_in(Picture(pixels))}
        canvas = Image.fromarray(pixels)
        x0, y0, x1, y1 = mask_box(request.mask)
        prompt = in_words(request.prompt, self.likes)
        for thing in (thing for thing in THINGS if thing in prompt and thing not in shown):
            stamp(canvas, thing, (x0 + 2, y0 + 2, x1 - 2, y1 - 2))
        return Picture(np.where(request.mask[..., None], np.array(canvas), request.picture.pixels))


EYES = Eyes(ShapeDetector(), ShapeSegmenter(), ShapeCaptioner())


def models(
    editor: Retoucher | None = None, inpainter: Filler | None = None, likes: Mapping[str, str] | None = None
) -> EditModels:
    """Everything that editing needs, faultless but for the noise unless told otherwise; `likes` are its concepts."""
    known: Mapping[str, str] = {} if likes is None else likes
    return EditModels(EYES, ShapeScorer(), Hands(editor or Retoucher(likes=known), inpainter or Filler(likes=known)))
