"""One try at changing a picture: where it may change, what is painted there, and how that comes back.

A model edits at its own size, in a crop around the region; what it painted is pasted back inside the mask. Where a
change is one of colour or light only, things keep the detail that they had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from limner.carrying import Carried, carried, put_down
from limner.image.detail import keep_detail
from limner.image.hue import Rgb, keep_hues
from limner.image.paste import PixelBox, box_mask, crop, dilate, paste_back, place, region_box, resize
from limner.image.tint import tint
from limner.protocols import EditModels, EditRequest, FillRequest, Mask
from limner.regions import (
    HIDDEN,
    UNSURE,
    area,
    describe_around,
    find_background,
    find_mask,
    find_things,
    lies_in,
    mask_box,
    overlap,
    region_room,
    standing_in,
)
from limner.types import Change, EditKind, Picture
from limner.verify import wanted_thing
from limner.wearing import colour_called, find_called
from limner.world.caption import article

Method = Literal["instruct", "fill", "tint"]
"""By the editor, by filling the region anew, or, for a new colour only, by no model at all."""

_LARGE = 1.25
"""A picture more than this many times the model's size is edited in a crop around the region, where there is one."""

_NEAR = 0.2
"""How much around a region is seen when a thing is filled into it, as a share of the region's longer side."""

_CLOSE: Sequence[EditKind] = ("recolour", "replace")
"""What is edited from close by, too: of several things, instructions often change another one than they name."""

_STRENGTH: Mapping[EditKind, float] = {"recolour": 0.75}
"""The share of the noise schedule that a fill runs, less than all where what is there shines through."""

_DETAIL: Mapping[EditKind, float] = {"restyle": 0.7}
"""The share of a thing's detail that is its old one, less than all where its shading is to be another."""

_SEAM = 0.02
"""How far the edited region fades into its surroundings, as a share of what the model saw."""

_RIM = 0.008
"""How far things fade into something new around them, from their edge inwards, as a share of what the model saw: their
outermost pixels hold as much of what was behind them."""


@dataclass(frozen=True, slots=True)
class Try:
    """How one attempt is made, with which seed, steps and scales of Eq. 3; a tint has 0 steps and scales of 1."""

    method: Method
    seed: int
    steps: int
    text_guidance: float
    image_guidance: float


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Where the picture may change, and how a fill of it is worded; None where a fill cannot help.

    What is to come into the picture is filled in from close by (`close`): a model draws one large thing best.
    Changes of the whole picture are not filled: the editor with another seed does them better (docs/decisions/0018).
    `things` are the pixels whose detail stays, whatever their colours become, `hues` those that stay red or blue in
    another light, too; `tint` is a new colour of a known name, and what is to wear it. Where no region was given,
    `coming` names what is to come, in words that the eyes know, and `going` is what it replaces; where it replaces
    nothing, the mask is only where it would fit. `carried` is moved or resized once its place is filled.
    """

    mask: Mask
    things: Mask
    prompt: str | None = None
    close: bool = False
    seam: float = _SEAM
    hues: Mask | None = None
    tint: tuple[Rgb, Mask] | None = None
    coming: str = ""
    going: Mask | None = None
    carried: Carried | None = None


def find_site(models: EditModels, picture: Picture, change: Change, readable: Change, given: Mask | None) -> Site:
    """The site of a change, in the region `given` or else found.

    `readable` is the change in words that the eyes know. Raises BadInput when the thing named is not in the picture.
    """
    nothing = np.zeros((picture.height, picture.width), np.bool_)
    if change.kind in ("move", "resize"):
        thing = carried(models.eyes, picture, readable, given)
        around = describe_around(models.eyes, picture, (readable.target,))
        return Site(dilate(thing.cut, region_room(picture)), nothing, around.place or around.all, carried=thing)
    if change.local:
        mask = find_mask(models.eyes, picture, readable) if given is None else given
        wanted = wanted_thing(change)
        around = describe_around(models.eyes, picture, () if wanted else (readable.target,))
        prompt = f"{article(wanted)} {around.place}".strip() if wanted else around.all
        if change.kind != "recolour":
            coming = readable.value if given is None else ""  # who says where means all of it
            replaced = coming and change.kind == "replace"
            going = standing_in(models.eyes, picture, _outline(picture, mask)) if replaced else None
            return Site(mask, nothing, prompt, bool(wanted), coming=coming, going=going)
        colour = colour_called(change.value)
        outline = _outline(picture, mask) if given is None else standing_in(models.eyes, picture, mask)
        return Site(mask, mask, prompt, bool(wanted), tint=(colour, outline) if colour else None)
    if change.kind == "background":
        ground = find_background(models.eyes, picture) if given is None else given
        if given is None:
            ground = dilate(ground, max(1, round(_RIM * min(picture.width, picture.height))))
        return Site(ground if ground.any() else ~nothing, nothing, seam=_RIM)
    mask = ~nothing if given is None else given
    if change.value == "clear":  # nothing lasts that had drops in front of it
        return Site(mask, nothing)
    things = mask & ~find_background(models.eyes, picture)
    if change.kind == "restyle":
        return Site(mask, things)
    # In another light all of a picture for which the model is too small is as sharp as before.
    return Site(mask, mask if _is_large(picture, models.hands.editor.default_size) else things, hues=things)


def _outline(picture: Picture, mask: Mask) -> Mask:
    """A thing's own pixels, of a mask with room around it; all of the mask where nothing would be left."""
    tight = ~dilate(~mask, region_room(picture))
    return tight if tight.any() else mask


def paint(models: EditModels, picture: Picture, change: Change, site: Site, how: Try) -> tuple[Picture, Mask]:
    """The picture after one try, at its own size, and the mask within which it may differ.

    It is edited in a crop at the model's size and pasted back, things that last with the detail that they had. What is
    added by instruction stands where the editor put it, if that is found.
    """
    if site.carried:
        leave = Change("remove", f"remove the {change.target}", change.target)
        emptied, mask = paint(models, picture, leave, replace(site, carried=None), how)
        there, covered = put_down(picture, emptied, site.carried)
        return there, mask | covered
    if site.tint and how.method == "tint":
        colour, outline = site.tint
        return paste_back(picture, tint(picture, outline, colour), outline, feather=1), site.mask
    filled = how.method == "fill"
    size = models.hands.inpainter.default_size if filled else models.hands.editor.default_size
    close = site.close and (filled or change.kind in _CLOSE)
    box = _close_box(site.mask) if close else _working_box(picture, site.mask, size)
    small = resize(crop(picture, box), _fitted(box, size))
    if filled:
        [painted] = models.hands.inpainter.fill([_filling(small, box, change, site, how)])
    else:
        request = EditRequest(small, change.instruction, how.seed, how.steps, how.text_guidance, how.image_guidance)
        [painted] = models.hands.editor.edit([request])
    if painted.sha256 == small.sha256:
        return picture, site.mask
    detailed = _as_it_lasts(picture, small, painted, site, box, _detail_share(picture, change, size))
    free = site.going is None and not filled and box == (0, 0, picture.width, picture.height)
    where = _where_added if free else _silhouettes
    mask = where(models, picture, detailed, site) if site.coming else None
    mask = site.mask if mask is None else mask
    seam = max(1, round(site.seam * min(box[2] - box[0], box[3] - box[1])))
    return (detailed if mask.all() else paste_back(picture, detailed, mask, feather=seam)), mask


def _as_it_lasts(
    picture: Picture, small: Picture, painted: Picture, site: Site, box: PixelBox, share: float
) -> Picture:
    """The picture with what was painted of its part in the box, but for the detail and the hues that things keep.

    Their outermost pixels, which hold as much of what was behind them, fade into what was painted.
    """
    part = crop(picture, box)
    new = place(picture, resize(painted, (part.width, part.height)), box)
    things = site.things[box[1] : box[3], box[0] : box[2]]
    kept = place(picture, keep_detail(part, small, painted, things, share), box)
    kept = kept if site.hues is None else keep_hues(picture, kept, site.hues)
    return paste_back(new, kept, site.things, feather=max(1, round(_RIM * min(part.width, part.height))))


def _detail_share(picture: Picture, change: Change, size: tuple[int, int]) -> float:
    """How much of a thing's detail is its old one: all of it where the model is too small to bring another."""
    return 1.0 if _is_large(picture, size) else _DETAIL.get(change.kind, 1.0)


def _where_added(models: EditModels, before: Picture, after: Picture, site: Site) -> Mask | None:
    """The pixels of the surest thing of that name that was not there before, with some room; None without any, and
    where it hides something. It need not be a good one: only the checks ask for that."""
    things = find_things(models.eyes, before)
    for region in find_called(models.eyes, after, site.coming, UNSURE):
        hidden = (overlap(region.box, thing.box) > HIDDEN * area(thing.box) for thing in things)
        if not any(hidden):
            [coming] = models.eyes.segmenter.segment(after, [region.box])
            coming = coming if coming.any() else box_mask(region.box, before.width, before.height)
            return dilate(coming, region_room(before))
    return None


def _silhouettes(models: EditModels, before: Picture, after: Picture, site: Site) -> Mask | None:
    """Where something comes and goes within the mask, with some room: all around was only drawn again. None where what
    came is not seen."""
    box = mask_box(site.mask)
    found = [region for region in find_called(models.eyes, after, site.coming) if lies_in(region.box, box)]
    if not found:
        return None
    [coming] = models.eyes.segmenter.segment(after, [found[0].box])
    changed = coming if site.going is None else coming | site.going
    return site.mask & dilate(changed, region_room(before))


def _filling(small: Picture, box: PixelBox, change: Change, site: Site, how: Try) -> FillRequest:
    """A fill of the mask within a crop; what only changes its colour shines through, and so stays."""
    hole = _shrunk(site.mask[box[1] : box[3], box[0] : box[2]], (small.width, small.height))
    strength = _STRENGTH.get(change.kind, 1.0)
    return FillRequest(small, hole, site.prompt or "", how.seed, how.steps, how.text_guidance, strength)


def _close_box(mask: Mask) -> PixelBox:
    """The mask and some of what is around it."""
    x0, y0, x1, y1 = mask_box(mask)
    return region_box(mask, margin=max(1, round(_NEAR * max(x1 - x0, y1 - y0))), least=1)


def _is_large(picture: Picture, size: tuple[int, int]) -> bool:
    return max(picture.width, picture.height) > _LARGE * max(size)


def _working_box(picture: Picture, mask: Mask, size: tuple[int, int]) -> PixelBox:
    """The part of the picture that the model sees: all of it unless it is large and the change is small."""
    if mask.all() or not _is_large(picture, size):
        return (0, 0, picture.width, picture.height)
    x0, y0, x1, y1 = mask_box(mask)
    return region_box(mask, margin=int(max(x1 - x0, y1 - y0) / 2), least=max(size))


def _fitted(box: PixelBox, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the box's shape with about the model's number of pixels, in multiples of 8."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = (size[0] * size[1] / (width * height)) ** 0.5
    return max(8, round(width * scale / 8) * 8), max(8, round(height * scale / 8) * 8)


def _shrunk(mask: Mask, size: tuple[int, int]) -> Mask:
    as_picture = Picture(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))
    hole: Mask = resize(as_picture, size).pixels[..., 0] > 0
    return hole
