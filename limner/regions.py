"""Where an edit happens: the mask of what its words name, or of the place where something new fits."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from limner.image.paste import box_mask, dilate
from limner.look import bare_name, head_noun, in_place, named_things, split_place
from limner.protocols import Eyes, Mask
from limner.rules import without_article
from limner.tagger import SPATIAL
from limner.types import BadInput, Box, Change, Picture, Region
from limner.wearing import find_called
from limner.world.caption import article
from limner.world.vocabulary import COLOURS, CONCEPTS

_MARGIN = 0.03
"""Room around what is changed, as a share of the picture's side: its soft edge, and a shape that may be larger."""

_NEW_SIZE = 0.42
"""The side of a new thing as a share of the picture's, where nothing says how large it should be."""

UNSURE = 0.4
"""The share of the detector's threshold at which something may be a thing."""

_FAINT = 0.2
"""The share of it that is enough for a thing of which the caption speaks."""

HIDDEN = 0.3
"""The share of a thing from which on it is hidden by what stands before it."""

_MOST = 0.8
"""The share of the picture from which on what is found is its background."""

SAME = 0.5
"""The overlap (intersection over union) from which two boxes hold one thing, called by two names."""

_GRID = 7
_INSIDE = 0.5
_LINK = re.compile(rf"(?:{'|'.join(SPATIAL)}|onto|on|into|in|to|at|against|around)\s+", re.IGNORECASE)
_ABOVE, _BELOW = {"above", "over", "top", "sky"}, {"below", "under", "beneath", "underneath", "bottom", "ground"}
_RIGHT = {"right", "beside", "next", "near", "close"}
_MIDDLE = {"middle", "center", "centre"}
# Words for places in the picture itself: «in the top left corner» names no thing to stand beside.
_FRAME = frozenset(
    "left right side corner edge half part upper lower foreground background hand of the picture image photo "
    "scene".split()
).union(_ABOVE, _BELOW, _MIDDLE)


def parse_box(text: str) -> Box:
    """«x0,y0,x1,y1» as a Box. Raises BadInput for anything but four numbers."""
    try:
        x0, y0, x1, y1 = (float(side) for side in text.split(","))
    except ValueError:
        raise BadInput(f"box {text!r}", "give x0,y0,x1,y1 in pixels, such as 10,20,60,90") from None
    return (x0, y0, x1, y1)


def checked_mask(mask: Mask, picture: Picture) -> Mask:
    """The mask, which must have the picture's size and mark something. Raises BadInput."""
    if mask.shape != (picture.height, picture.width):
        size = f"{mask.shape[1]}x{mask.shape[0]}"
        raise BadInput(f"the mask is {size}, the picture {picture.width}x{picture.height}", "make them equal")
    if not mask.any():
        raise BadInput("the mask is empty", "mark what to change")
    return mask


def name_target(eyes: Eyes, picture: Picture, change: Change, mask: Mask | None) -> Change:
    """The change with its thing named, where the instruction says «it»: the best that is found of the caption's.

    With a `mask` it must lie in that. Raises BadInput when nothing is found and no mask says where.
    """
    if change.target or change.kind not in ("replace", "recolour", "move", "resize"):
        return change
    [caption] = eyes.captioner.caption([picture])
    [regions] = eyes.detector.detect([picture], [named_things(caption)])
    if mask is not None:
        regions = [region for region in regions if lies_in(region.box, mask_box(mask))]
    elif not regions:
        raise BadInput(f"nothing was found to {change.kind}; the picture seems to show {caption}", "name the thing")
    best = max(regions, key=lambda region: region.score, default=None)
    return change if best is None else replace(change, target=best.label)


def region_room(picture: Picture) -> int:
    """So many pixels around a thing belong to the region in which it may change."""
    return max(1, round(_MARGIN * min(picture.width, picture.height)))


def find_mask(eyes: Eyes, picture: Picture, change: Change) -> Mask:
    """The pixels that a local change may touch, shape (height, width).

    A recoloured thing keeps its outline; a replaced one may fill its box; what is added goes where the instruction
    says, else where it covers least of what is there. Raises BadInput when the thing named is not in the picture.
    """
    room = region_room(picture)
    if change.kind == "add":
        return box_mask(_free_box(eyes, picture, change.place), picture.width, picture.height)
    region = find_thing(eyes, picture, change.target)
    if change.kind == "replace":
        return dilate(box_mask(region.box, picture.width, picture.height), room)
    [mask] = eyes.segmenter.segment(picture, [region.box])
    return dilate(mask if mask.any() else box_mask(region.box, picture.width, picture.height), room)


def standing_in(eyes: Eyes, picture: Picture, mask: Mask) -> Mask:
    """What stands within a mask; all of it where nothing is seen to."""
    [thing] = eyes.segmenter.segment(picture, [mask_box(mask)])
    return thing & mask if (thing & mask).any() else mask


def find_things(eyes: Eyes, picture: Picture, least: float = 1.0) -> list[Region]:
    """The things in a picture, each once, best first: those that its caption names, and all nouns that the detector was
    made for, where it knows a fixed set. What covers most of the picture is no thing but stands behind all of them.

    `least` is the share of the detector's threshold that is enough.
    """
    [caption] = eyes.captioner.caption([picture])
    known = sorted(name for name in eyes.detector.things if name in CONCEPTS or name.split()[0] not in COLOURS)
    names = list(dict.fromkeys((*named_things(caption), *known)))
    [regions] = eyes.detector.detect([picture], [names], threshold=least * eyes.detector.threshold)
    return each_once(regions, picture)


def each_once(regions: Sequence[Region], picture: Picture) -> list[Region]:
    """The first region of each place, without what covers most of the picture."""
    kept: list[Region] = []
    for region in regions:
        small = area(region.box) < _MOST * picture.width * picture.height
        if small and all(box_iou(region.box, other.box) < SAME for other in kept):
            kept.append(region)
    return kept


def find_background(eyes: Eyes, picture: Picture) -> Mask:
    """The pixels of no thing, shape (height, width), not even of one that the detector is unsure of: whatever stands
    there, it is to stay."""
    taken = np.zeros((picture.height, picture.width), np.bool_)
    for mask in eyes.segmenter.segment(picture, [thing.box for thing in find_things(eyes, picture, UNSURE)]):
        taken |= mask
    return ~taken


@dataclass(frozen=True, slots=True)
class Around:
    """What a picture shows besides some things: the others, and where they all are («in the snow at night»)."""

    others: tuple[str, ...]
    place: str

    @property
    def all(self) -> str:
        """«a fox and a castle in the snow»."""
        return f"{' and '.join(map(article, self.others))} {self.place}".strip()


def describe_around(eyes: Eyes, picture: Picture, without: Sequence[str]) -> Around:
    """What the caption says of a picture but for the things `without`, of whatever colour it says that they are."""
    [caption] = eyes.captioner.caption([picture])
    names = named_things(caption)
    [regions] = eyes.detector.detect([picture], [names])
    found = {region.label for region in regions}
    gone = {head_noun(name) for name in without}
    things = [name for name in names if name in found]
    last = max((caption.rfind(name) + len(name) for name in things), default=0)
    return Around(tuple(name for name in things if head_noun(name) not in gone), caption[last:].strip(" ,."))


def find_thing(eyes: Eyes, picture: Picture, name: str) -> Region:
    """The best region for «red car», or for «car» where no red one is found; of «left car» the leftmost.

    What the detector is unsure of is taken where it looks like nothing else more, and what it hardly sees where the
    caption names it. Raises BadInput without any.
    """
    place, noun = split_place(name)
    bare = bare_name(noun)
    found = find_called(eyes, picture, noun) or find_called(eyes, picture, bare)
    found = found or [thing for thing in find_things(eyes, picture, UNSURE) if thing.label == bare]
    if not found:
        [caption] = eyes.captioner.caption([picture])
        named = {bare_name(thing) for thing in named_things(caption)}
        found = find_called(eyes, picture, bare, _FAINT) if bare in named else []
        if not found:
            hint = "say where with --box or --mask"
            raise BadInput(f"no {name} was found; the picture seems to show {caption}", hint)
    return in_place(found, place)[0] if place else max(found, key=lambda region: region.score)


def _free_box(eyes: Eyes, picture: Picture, place: str) -> Box:
    """Where something new goes: «left of the castle» beside that, else the least crowded spot."""
    if place:
        anchor = without_article(_LINK.sub("", place, count=1))
        whole = set(anchor.split()) <= _FRAME
        frame = (0.0, 0.0, float(picture.width), float(picture.height))
        return _beside(frame if whole else find_thing(eyes, picture, anchor).box, place, picture)
    [caption] = eyes.captioner.caption([picture])
    [regions] = eyes.detector.detect([picture], [named_things(caption)])
    side = round(_NEW_SIZE * min(picture.width, picture.height))
    return min(spots(picture, side), key=lambda spot: crowding(spot, regions, picture))


def _beside(anchor: Box, place: str, picture: Picture) -> Box:
    """A square about as large as the anchor, beside, above, below or before it."""
    x0, y0, x1, y1 = anchor
    shorter = min(picture.width, picture.height)
    side = round(min(max(x1 - x0, y1 - y0, 0.25 * shorter), 0.5 * shorter))
    return beside((0, 0, side, side), anchor, place, (picture.width, picture.height))


def beside(box: Box, anchor: Box, place: str, size: tuple[int, int]) -> Box:
    """A box of the first one's sides where the words («left of», «in front of») have it of the anchor, moved into a
    picture of `size` (width, height)."""
    x0, y0, x1, y1 = anchor
    wide, tall = box[2] - box[0], box[3] - box[1]
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    words = set(place.lower().split())
    sideways = -1 if "left" in words else 1 if words & _RIGHT else 0
    upright = -1 if words & _ABOVE else 1 if words & _BELOW else 0
    x += sideways * (x1 - x0 + wide) / 2
    y += upright * (y1 - y0 + tall) / 2
    if not sideways and not upright and not words & _MIDDLE:  # in front of it
        y = y1 - tall / 4
    left = min(max(round(x - wide / 2), 0), size[0] - wide)
    top = min(max(round(y - tall / 2), 0), size[1] - tall)
    return (left, top, left + wide, top + tall)


def spots(picture: Picture, side: int) -> list[Box]:
    """Squares on a grid over the picture, from front to back as people place things: the lower half first."""
    xs = np.linspace(0, picture.width - side, _GRID).round().tolist()
    ys = np.linspace(picture.height - side, 0, _GRID).round().tolist()
    return [(x, y, x + side, y + side) for y in ys for x in xs]


def crowding(spot: Box, regions: Sequence[Region], picture: Picture) -> float:
    """How much of a spot is taken, and a little for being far from where things usually stand."""
    covered = sum(overlap(spot, region.box) for region in regions) / area(spot)
    x, y = (spot[0] + spot[2]) / 2 / picture.width, (spot[1] + spot[3]) / 2 / picture.height
    return covered + 0.2 * math.hypot(x - 0.5, y - 0.6)


def area(box: Box) -> float:
    """Square pixels in a box."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap(first: Box, second: Box) -> float:
    """Square pixels that two boxes share."""
    return area(
        (max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3]))
    )


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0 to 1; 0 when both are empty."""
    shared = overlap(first, second)
    union = area(first) + area(second) - shared
    return shared / union if union > 0 else 0.0


def lies_in(inner: Box, outer: Box) -> bool:
    """Whether at least half of a box lies in another."""
    return overlap(inner, outer) >= _INSIDE * area(inner) > 0


def mask_box(mask: Mask) -> Box:
    """The box around a mask that is not empty."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))
