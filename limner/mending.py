"""What a picture lacks is drawn alone and put into it: a model draws one thing better than one among several.

Words have been tried by then (`limner.draw`). Of several pictures of the missing thing the one that shows it best is
cut out, and put where the picture shows something of that name, which leaves first, or, where the prompt does not want
it there, where it does and there is room.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from limner.carrying import Carried, put_down
from limner.easel import Easel
from limner.fill import fill_box
from limner.image.paste import PixelBox, box_mask, dilate
from limner.look import bare_name
from limner.prompt import plain, said
from limner.protocols import Detector, Mask, Mender
from limner.refine import SEEDS, Drawn, Plan, Variant, as_said, rank
from limner.regions import SAME, UNSURE, box_iou, crowding, mask_box, region_room, spots
from limner.relations import Stated, parse_relation, parse_thing
from limner.types import Box, Part, Picture, Region

ALONE, MENDED = "alone", "mended"
"""The names of the wordings of what is drawn to be put in, and of what it was put into."""

TRIES = 4
"""So many pictures of a thing alone are drawn, to put in the best."""

BASES = 2
"""So many pictures are mended, those that lack least."""

_SMALLEST, _NEW = 0.36, 0.4
"""The longer side of what replaces a thing at least, and of what is new, as shares of the picture's shorter one."""

_CLEAR = 0.15
"""So far apart, as a share of the picture's side, are the centres of two things of which one is beside the other."""


def mend(easel: Easel, drawn: Sequence[Drawn], room: int) -> Generator[list[Drawn]]:
    """Put what they lack into the best of the `drawn` pictures, and yield all that is drawn for it, `room` at most.

    Things drawn alone are pictures as well, which the run pays for and shows. Nothing is yielded where there is no
    detector or nothing to cut out with, and where the prompt has one thing only.
    """
    detector, mender = easel.models.detector, easel.models.mender
    things = things_of(easel)
    if detector is None or mender is None or len(things) < 2:
        return
    left, alone = room, dict[str, Drawn]()
    for base in sorted(drawn, key=lambda each: rank(each.card), reverse=True)[:BASES]:
        for thing in [keyword for keyword in base.card.missing if keyword in things]:
            if thing not in base.card.missing:
                continue  # it came with another one
            if thing not in alone:
                if left < TRIES + 1:
                    return
                tries = easel.draw(_alone(easel, thing, things, [*drawn, *alone.values()]))
                yield tries
                left -= len(tries)
                alone[thing] = max(tries, key=lambda each: each.card.scores[thing])
            new = _put(easel, detector, mender(), base, thing, alone[thing]) if left else None
            if new is None:
                continue
            yield [new]
            left -= 1
            base = new if len(new.card.missing) <= len(base.card.missing) else base
        if base.card.passed:
            return


def things_of(easel: Easel) -> list[str]:
    """The keywords that the detector knows as things, in the prompt's order."""
    known = easel.models.detector.things if easel.models.detector else ()
    words = [keyword.original for keyword in easel.keywords]
    return [word for word in words if parse_thing(word, known) and not parse_relation(word)]


def setting(prompt: str, things: Sequence[str]) -> str:
    """What the prompt says behind its last thing: «a fox by a castle in the snow» is set «in the snow»."""
    words = plain(prompt)
    ends = [found.end() for thing in things for found in said(thing).finditer(words)]
    return words[max(ends) :].strip(" ,.") if ends else ""


def _alone(easel: Easel, thing: str, things: Sequence[str], drawn: Sequence[Drawn]) -> list[Plan]:
    words = f"{as_said(easel.words, thing)} {setting(easel.words, things)}".strip()
    fresh = easel.seed + sum(not each.kept for each in drawn)
    return [Plan(Variant(ALONE, easel.spoken(words)), (fresh + number) % SEEDS) for number in range(TRIES)]


def _put(easel: Easel, detector: Detector, mender: Mender, base: Drawn, thing: str, alone: Drawn) -> Drawn | None:
    """The base with the thing put in, scored; None where it is not found in the picture of it alone."""
    with easel.clock("mend"):
        found = _surest(_find(detector, alone.picture, [thing, bare_name(thing)]))
        if found is None:
            return None
        shape = mask_box(_cut(mender, alone.picture, found.box))
        things = things_of(easel)
        leaves, goal = _place(easel, detector, base.picture, thing, things, shape)
        ground = setting(easel.words, things) or "background"
        part = Part(thing, alone.recipe.prompt, alone.recipe.seed, found.box, goal, leaves, ground)
        picture = put_in(mender, base.picture, alone.picture, part)
    features = easel.models.scorer.encode_pictures([picture])
    [card] = easel.score([picture], features, [keyword.original for keyword in easel.keywords])
    recipe = replace(base.recipe, parts=(*base.recipe.parts, part))
    return Drawn(picture, recipe, card, MENDED, features[0], kept=True)


def put_in(mender: Mender, picture: Picture, alone: Picture, part: Part) -> Picture:
    """The picture with one part in it, which `alone` shows. The same parts give the same pixels."""
    if part.leaves:
        hole = dilate(_cut(mender, picture, part.leaves), region_room(picture))
        picture = fill_box(mender.inpainter, picture, hole, part.ground, part.seed)
    return put_down(alone, picture, Carried(_cut(mender, alone, part.source), part.goal))[0]


def _cut(mender: Mender, picture: Picture, box: Box) -> Mask:
    [cut] = mender.segmenter.segment(picture, [box])
    return cut if cut.any() else box_mask(box, picture.width, picture.height)


def _find(detector: Detector, picture: Picture, names: Sequence[str]) -> list[Region]:
    [found] = detector.detect([picture], [list(dict.fromkeys(names))], threshold=UNSURE * detector.threshold)
    return found


def _surest(regions: Sequence[Region]) -> Region | None:
    return max(regions, key=lambda region: region.score, default=None)


def _place(
    easel: Easel, detector: Detector, picture: Picture, thing: str, things: Sequence[str], shape: Box
) -> tuple[Box | None, PixelBox]:
    """The box of what leaves for the thing, None for nothing, and the one that a thing of such a shape fills."""
    own = {thing, bare_name(thing)}
    found = _find(detector, picture, [*own, *things])
    others = [region for region in found if region.label not in own]
    same = [r for r in found if r.label in own and not any(_is_other(r, o) for o in others)]
    short = min(picture.width, picture.height)
    wanted = [stated for word in easel.keywords if (stated := parse_relation(word.original))]
    old = _surest(same)
    if old and not _astray(old.box, own, wanted, others, picture):
        side = max(_SMALLEST * short, old.box[2] - old.box[0], old.box[3] - old.box[1])
        return old.box, _goal(picture, old.box, shape, side)
    where = min(
        spots(picture, round(_NEW * short)),
        key=lambda spot: (_astray(spot, own, wanted, others, picture), crowding(spot, others, picture)),
    )
    return old and old.box, _goal(picture, where, shape, _NEW * short)


def _is_other(region: Region, other: Region) -> bool:
    """Whether what looks like the thing is more clearly another one: the green apple beside a missing red one."""
    return other.score > region.score and box_iou(region.box, other.box) > SAME


def _astray(spot: Box, own: set[str], wanted: Sequence[Stated], others: Sequence[Region], picture: Picture) -> int:
    """How many of the sides that the prompt wants would be wrong there."""
    wrong = 0
    for stated in wanted:
        first = stated.first in own or bare_name(stated.first) in own
        if not first and stated.second not in own and bare_name(stated.second) not in own:
            continue
        anchor = stated.second if first else stated.first
        here = _surest([each for each in others if each.label in (anchor, bare_name(anchor))])
        if here:
            across = (spot[0] + spot[2] - here.box[0] - here.box[2]) / 2 / picture.width
            down = (spot[1] + spot[3] - here.box[1] - here.box[3]) / 2 / picture.height
            ahead = {"left": -across, "right": across, "above": -down, "below": down}[stated.side]
            wrong += (ahead if first else -ahead) < _CLEAR
    return wrong


def _goal(picture: Picture, around: Box, shape: Box, side: float) -> PixelBox:
    """A box of the shape's proportions and that longer side, around the middle of another, inside the picture."""
    width, height = shape[2] - shape[0], shape[3] - shape[1]
    scale = min(side / max(width, height), picture.width / width, picture.height / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    x = min(max(0, round((around[0] + around[2] - w) / 2)), picture.width - w)
    y = min(max(0, round((around[1] + around[3] - h) / 2)), picture.height - h)
    return x, y, x + w, y + h
