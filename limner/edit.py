"""DialogPaint's editing step: change a picture as an instruction says, and nothing else.

instruction -> what changes and where -> edit -> verify -> paste back. An attempt that fails its checks is followed by
another: other scales and seed (Eq. 3), or the region filled anew. Outside the region every pixel stays as it was; a new
background leaves the things themselves untouched.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from limner.concept import in_words, uses
from limner.easel import notes
from limner.image.paste import PixelBox, changed_fraction, crop, drift_outside, paste_back, place, region_box, resize
from limner.protocols import EditModels, EditRequest, FillRequest, Learned, Mask
from limner.refine import SEEDS
from limner.regions import checked_mask, describe_around, find_background, find_mask, mask_box, name_target
from limner.rewrite import rewrite_by_rules
from limner.types import BadInput, Change, EditKind, Event, Picture
from limner.verify import KEPT_CHECK, Check, check_edit, directional_similarity, wanted_thing
from limner.world.caption import article

Method = Literal["instruct", "fill"]
_LARGE = 1.25
"""A picture more than this many times the model's size is edited in a crop around the region."""

_NEAR = 0.2
"""How much around a region is seen when a thing is filled into it, as a share of the region's longer side."""

_STRENGTH: Mapping[EditKind, float] = {"recolour": 0.75, "restyle": 0.65, "time": 0.65, "weather": 0.65}
"""The share of the noise schedule that a fill runs, less than all where what is there shines through."""

_SEAM = 0.02
"""How far the edited region fades into its surroundings, as a share of what the model saw."""

_SCALES = ((1.0, 1.0), (1.6, 0.9), (1.0, 1.15), (2.2, 1.0))
"""What the guidance scales (s_T, s_I) are multiplied with, attempt by attempt: as asked, stronger, truer, strongest."""


@dataclass(frozen=True, slots=True, eq=False)
class EditOptions:
    """What to edit and how hard to try. None means: the model's own, or for `seed` one drawn by lot and recorded.

    `mask` (height, width) says where, instead of the words; `attempts` bounds the tries; `described` is what the
    picture is known to show, where a caption would only guess. Raises BadInput, also for scales that turn guidance off:
    s_T up to 1, s_I below 1.
    """

    change: Change
    mask: Mask | None = None
    seed: int | None = None
    steps: int | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None
    attempts: int = 4
    described: str | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise BadInput(f"{self.attempts} attempts", "it must be at least 1")
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise BadInput(f"seed is {self.seed}", f"give a whole number from 0 to {SEEDS - 1}")
        if self.text_guidance is not None and not 1 < self.text_guidance < math.inf:
            raise BadInput(f"text guidance is {self.text_guidance}", "choose a number above 1, about 3 to 12")
        if self.image_guidance is not None and not 1 <= self.image_guidance < math.inf:
            raise BadInput(f"image guidance is {self.image_guidance}", "choose a number from 1 on, about 1 to 3")


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One try: how it was made, the whole picture after it, and what the checks say.

    A fill knows no picture guidance: s_I is 1, with which Eq. 3 is plain guidance by the words.
    `changed` is the share of pixels that differ, `drift` the mean difference (of 255) outside the region.
    """

    method: Method
    seed: int
    steps: int
    text_guidance: float
    image_guidance: float
    picture: Picture
    checks: Mapping[str, Check]
    directional: float | None
    changed: float
    drift: float

    @property
    def passed(self) -> bool:
        """True when every check passed and something changed at all."""
        return self.changed > 0 and all(check.passed for check in self.checks.values())

    @property
    def kept(self) -> float:
        """The share of the other things that are where they were: 1 unless that was checked."""
        return self.checks[KEPT_CHECK].value if KEPT_CHECK in self.checks else 1.0

    @property
    def merit(self) -> tuple[float, ...]:
        """What the best attempt has most of: what was asked, things kept, then direction, then pixels left alone."""
        asked = sum(check.passed for name, check in self.checks.items() if name != KEPT_CHECK)
        return (float(self.passed), asked, self.kept, self.directional or 0.0, -self.changed)


@dataclass(frozen=True, slots=True, eq=False)
class EditResult:
    """What came of an instruction: all attempts, which of them is the answer, and where it was allowed to paint."""

    before: Picture
    change: Change
    mask: Mask
    attempts: tuple[Attempt, ...]
    best: Attempt
    warnings: tuple[str, ...]


def edit(models: EditModels, picture: Picture, options: EditOptions) -> Generator[Event, None, EditResult]:
    """Carry out one change of a picture of any size; yields an «attempt» Event before each try.

    Learned concepts are painted by their word, and found and checked by what they are like. Raises BadInput for a
    thing that is not in the picture or cannot be looked for, or a mask of another size.
    """
    given = None if options.mask is None else checked_mask(options.mask, picture)
    learned = models.hands.inpainter.concepts(options.change.instruction)
    change = name_target(models.eyes, picture, options.change, given)
    readable = _readable(change, learned)
    if given is None:
        _check_findable(change, readable)
    site = _site(models, picture, change, readable, given, options.described)
    attempts: list[Attempt] = []
    for how in _plan(models, site, options):
        yield Event("attempt", f"{change.kind}: {how.method}", len(attempts), options.attempts)
        painted = _paint(models, picture, change, site, how)
        attempts.append(_judged(models, picture, painted, readable, site.mask, how))
        both_ways = change.local or site.prompt is None or len(attempts) > 1
        if attempts[-1].passed and attempts[-1].kept == 1 and both_ways:
            break
    best = max(attempts, key=lambda attempt: attempt.merit)
    failed = () if best.passed else (f"no attempt of {len(attempts)} did all that was asked; this is the nearest",)
    return EditResult(picture, change, site.mask, tuple(attempts), best, (*notes(learned), *failed))


def _readable(change: Change, learned: Sequence[Learned]) -> Change:
    """The change as models read it that never learned its concepts; "" for words with one that is like nothing."""
    likes = {each.word.strip("<>"): each.like for each in learned}

    def read(words: str) -> str:
        return in_words(words, likes) if all(likes.get(use.name) for use in uses(words)) else ""

    target = read(change.target)
    value = "" if change.target and not target and change.kind == "recolour" else read(change.value)
    return replace(change, target=target, value=value, place=read(change.place))


def _check_findable(change: Change, readable: Change) -> None:
    for said, read in ((change.target, readable.target), (change.place, readable.place)):
        if said and not read:
            raise BadInput(f"nothing tells what {said} is like, so it cannot be found", "say where, --box or --mask")


@dataclass(frozen=True, slots=True)
class _Try:
    method: Method
    seed: int
    steps: int
    text_guidance: float
    image_guidance: float


@dataclass(frozen=True, slots=True)
class _Site:
    """Where the picture may change, and how a fill of it is worded; None where a fill cannot help.

    What is to come into the picture is filled in from close by: a model draws one large thing best. A change of the
    whole picture is filled over all of it, worded as what the picture shows with that change; but not a background,
    into which things that are named would be drawn once more.
    """

    mask: Mask
    prompt: str | None = None
    close: bool = False


def _site(
    models: EditModels, picture: Picture, change: Change, readable: Change, given: Mask | None, described: str | None
) -> _Site:
    if change.local:
        mask = find_mask(models.eyes, picture, readable) if given is None else given
        wanted = wanted_thing(change)
        around = describe_around(models.eyes, picture, () if wanted else (readable.target,))
        return _Site(mask, f"{article(wanted)} {around.place}".strip() if wanted else around.all, bool(wanted))
    if change.kind == "background":
        ground = find_background(models.eyes, picture) if given is None else given
        return _Site(ground if ground.any() else np.ones_like(ground))
    [caption] = [described] if described else models.eyes.captioner.caption([picture])
    prompt = rewrite_by_rules(caption, change.instruction, change).prompt
    return _Site(np.ones((picture.height, picture.width), np.bool_) if given is None else given, prompt)


def _plan(models: EditModels, site: _Site, options: EditOptions) -> Iterator[_Try]:
    """The attempts in order: where a fill can help, instructing and filling take turns."""
    editor, inpainter = models.hands.editor, models.hands.inpainter
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    text = options.text_guidance or editor.default_text_guidance
    image = options.image_guidance or editor.default_image_guidance
    for number in range(options.attempts):
        instructed = site.prompt is None or number % 2 == 0
        more_text, more_image = _SCALES[(number if site.prompt is None else number // 2) % len(_SCALES)]
        yield _Try(
            method="instruct" if instructed else "fill",
            seed=(seed + number) % SEEDS,
            steps=options.steps or (editor if instructed else inpainter).default_steps,
            text_guidance=text * more_text if instructed else inpainter.default_guidance,
            image_guidance=max(1.0, image * more_image) if instructed else 1.0,
        )


def _paint(models: EditModels, picture: Picture, change: Change, site: _Site, how: _Try) -> Picture:
    """The picture after one try, at its own size: edited in a crop at the model's size, pasted back inside the mask."""
    filled = how.method == "fill"
    size = models.hands.inpainter.default_size if filled else models.hands.editor.default_size
    box = _close_box(site.mask) if filled and site.close else _working_box(picture, site.mask, size)
    part = resize(crop(picture, box), _fitted(box, size))
    if filled:
        [painted] = models.hands.inpainter.fill([_filling(part, box, change, site, how)])
    else:
        request = EditRequest(part, change.instruction, how.seed, how.steps, how.text_guidance, how.image_guidance)
        [painted] = models.hands.editor.edit([request])
    width, height = box[2] - box[0], box[3] - box[1]
    whole = place(picture, resize(painted, (width, height)), box)
    if site.mask.all():
        return whole
    return paste_back(picture, whole, site.mask, feather=max(1, round(_SEAM * min(width, height))))


def _filling(part: Picture, box: PixelBox, change: Change, site: _Site, how: _Try) -> FillRequest:
    """A fill of the mask within a crop; what only changes its colour, style or light shines through, and so stays."""
    hole = _shrunk(site.mask[box[1] : box[3], box[0] : box[2]], (part.width, part.height))
    strength = _STRENGTH.get(change.kind, 1.0)
    return FillRequest(part, hole, site.prompt or "", how.seed, how.steps, how.text_guidance, strength)


def _close_box(mask: Mask) -> PixelBox:
    """The mask and some of what is around it."""
    x0, y0, x1, y1 = mask_box(mask)
    return region_box(mask, margin=max(1, round(_NEAR * max(x1 - x0, y1 - y0))), least=1)


def _working_box(picture: Picture, mask: Mask, size: tuple[int, int]) -> PixelBox:
    """The part of the picture that the model sees: all of it unless it is large and the change is small."""
    if mask.all() or max(picture.width, picture.height) <= _LARGE * max(size):
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


def _judged(models: EditModels, before: Picture, after: Picture, change: Change, mask: Mask, how: _Try) -> Attempt:
    return Attempt(
        method=how.method,
        seed=how.seed,
        steps=how.steps,
        text_guidance=how.text_guidance,
        image_guidance=how.image_guidance,
        picture=after,
        checks=check_edit(models, before, after, change, mask),
        directional=directional_similarity(models, before, after, change),
        changed=changed_fraction(before, after),
        drift=drift_outside(before, after, mask),
    )
