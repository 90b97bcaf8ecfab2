"""Move or resize a thing: it is cut out, the place that it leaves is filled, and it is put down where it was to go.

No model draws the thing anew, so that it stays itself; only what was behind it is painted (see `limner.painting`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limner.image.paste import Mask, PixelBox, box_mask, crop, paste_back, place, resize
from limner.look import split_place
from limner.moving import moved, resized, side_said
from limner.protocols import Eyes
from limner.regions import HIDDEN, SAME, area, beside, box_iou, find_thing, find_things, lies_in, mask_box, overlap
from limner.rules import without_article
from limner.tagger import SPATIAL
from limner.types import BadInput, Box, Change, Picture, Region
from limner.wearing import find_called


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A thing's pixels (height, width) where it stands, the box that it shall fill, and what it will hide there."""

    cut: Mask
    goal: PixelBox
    hidden: tuple[str, ...] = ()


def carried(eyes: Eyes, picture: Picture, change: Change, within: Mask | None = None) -> Carried:
    """What a change moves or resizes, and to where; of several things that which lies `within` the mask.

    Raises BadInput where the thing, or the one that it shall stand beside, is not in the picture, and where the thing
    is there already.
    """
    box = _start(eyes, picture, change, within)
    [cut] = eyes.segmenter.segment(picture, [box])
    cut = cut if cut.any() else box_mask(box, picture.width, picture.height)
    start = mask_box(cut)
    goal = goal_of(eyes, picture, change, start)
    if goal == start:
        raise BadInput(f"the {change.target} is there already", "say where else, or by how much")
    x0, y0, x1, y1 = (round(side) for side in goal)
    return Carried(cut, (x0, y0, x1, y1), tuple(_hidden(eyes, picture, start, goal)))


def _start(eyes: Eyes, picture: Picture, change: Change, within: Mask | None) -> Box:
    """Where the thing stands: it need not be found where somebody marked it."""
    if within is None:
        return find_thing(eyes, picture, change.target).box
    marked = _marked(eyes, picture, change, within)
    return marked.box if marked else mask_box(within)


def _hidden(eyes: Eyes, picture: Picture, start: Box, goal: Box) -> list[str]:
    """What the thing will stand before and did not before."""
    others = [thing for thing in find_things(eyes, picture) if box_iou(thing.box, start) < SAME]
    covered = [[overlap(thing.box, box) > HIDDEN * area(thing.box) for box in (start, goal)] for thing in others]
    return [thing.label for thing, (was, will) in zip(others, covered, strict=True) if will and not was]


def thing_meant(eyes: Eyes, picture: Picture, change: Change, within: Mask) -> Region:
    """The thing that a change names, the best one within the mask where that holds one. Raises BadInput for none."""
    return _marked(eyes, picture, change, within) or find_thing(eyes, picture, change.target)


def _marked(eyes: Eyes, picture: Picture, change: Change, within: Mask) -> Region | None:
    found = find_called(eyes, picture, split_place(change.target)[1]) if change.target else []
    return next((region for region in found if lies_in(region.box, mask_box(within))), None)


def goal_of(eyes: Eyes, picture: Picture, change: Change, start: Box) -> Box:
    """The box that the thing of `start` shall fill. Raises BadInput for a thing beside it that is not there."""
    size = picture.width, picture.height
    if change.kind == "resize":
        return resized(start, change.value, size)
    if side_said(change.value):
        return moved(start, change.value, size)
    link = next(each for each in SPATIAL if change.value.startswith(f"{each} "))
    anchor = find_thing(eyes, picture, without_article(change.value.removeprefix(link)))
    return beside(start, anchor.box, link, size)


def put_down(before: Picture, emptied: Picture, thing: Carried) -> tuple[Picture, Mask]:
    """The thing of `before` in the box that it shall fill of `emptied`, and the pixels that it covers there.

    Its outermost pixels, which hold as much of what was behind it, fade into what is there now.
    """
    x0, y0, x1, y1 = (int(side) for side in mask_box(thing.cut))
    width, height = thing.goal[2] - thing.goal[0], thing.goal[3] - thing.goal[1]
    shape = Picture(np.repeat(thing.cut[y0:y1, x0:x1, None].astype(np.uint8) * 255, 3, axis=2))
    there = np.zeros_like(thing.cut)
    there[thing.goal[1] : thing.goal[3], thing.goal[0] : thing.goal[2]] = (
        resize(shape, (width, height)).pixels[..., 0] > 127
    )
    laid = place(emptied, resize(crop(before, (x0, y0, x1, y1)), (width, height)), thing.goal)
    return paste_back(emptied, laid, there, feather=1), there
