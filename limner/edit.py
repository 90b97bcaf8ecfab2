"""DialogPaint's editing step: change a picture as an instruction says, and nothing else.

instruction -> what changes and where -> edit -> verify -> paste back. An attempt that fails its checks is followed by
another: other scales and seed (Eq. 3), or the region filled anew. Outside the region every pixel stays as it was; of
things before a new background only the outermost pixels change, which are half of what was behind them.
"""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from limner.concept import in_words, uses
from limner.easel import notes
from limner.image.paste import changed_fraction, drift_outside
from limner.painting import Method, Site, Try, find_site, paint
from limner.protocols import EditModels, Learned, Mask
from limner.refine import SEEDS
from limner.regions import checked_mask, name_target
from limner.types import BadInput, Change, Event, Picture
from limner.verify import KEPT_CHECK, Check, check_edit, directional_similarity

_SCALES = ((1.0, 1.0), (1.6, 0.9), (1.0, 1.15), (2.2, 1.0))
"""What the guidance scales (s_T, s_I) are multiplied with, attempt by attempt: as asked, stronger, truer, strongest."""

_WHOLE_SCALES = ((1.0, 1.0), (1.0, 1.0), (1.6, 0.9), (1.0, 1.15))
"""The same where the whole picture changes: another seed comes first, for stronger scales lose things."""

_TINT = 1
"""The attempt at a new colour that asks no model, counted from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class EditOptions:
    """What to edit and how hard to try. None means: the model's own, or for `seed` one drawn by lot and recorded.

    `mask` (height, width) says where, instead of the words; `attempts` bounds the tries. Raises BadInput, also for
    scales that turn guidance off: s_T up to 1, s_I below 1.
    """

    change: Change
    mask: Mask | None = None
    seed: int | None = None
    steps: int | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None
    attempts: int = 4

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
    """One try: how it was made, the whole picture after it, where it was allowed to differ, and what the checks say.

    A fill knows no picture guidance: s_I is 1, with which Eq. 3 is plain guidance by the words; a tint has no steps.
    `changed` is the share of pixels that differ, `drift` the mean difference (of 255) outside the region.
    """

    method: Method
    seed: int
    steps: int
    text_guidance: float
    image_guidance: float
    picture: Picture
    mask: Mask
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
    site = find_site(models, picture, change, readable, given)
    attempts: list[Attempt] = []
    for how in _plan(models, site, options):
        yield Event("attempt", f"{change.kind}: {how.method}", len(attempts), options.attempts)
        painted, mask = paint(models, picture, change, site, how)
        attempts.append(_judged(models, picture, painted, readable, mask, how))
        if attempts[-1].passed:
            break
    best = max(attempts, key=lambda attempt: attempt.merit)
    failed = () if best.passed else (f"no attempt of {len(attempts)} did all that was asked; this is the nearest",)
    hidden = site.carried.hidden if site.carried else ()
    covers = (f"it stands before the {' and the '.join(hidden)} now",) if hidden else ()
    return EditResult(picture, change, best.mask, tuple(attempts), best, (*notes(learned), *covers, *failed))


def _readable(change: Change, learned: Sequence[Learned]) -> Change:
    """The change as models read it that never learned its concepts; "" for words with one that is like nothing."""
    likes = {each.word.strip("<>"): each.like for each in learned}

    def read(words: str) -> str:
        return in_words(words, likes) if all(likes.get(use.name) for use in uses(words)) else ""

    target = read(change.target)
    value = "" if change.target and not target and change.kind == "recolour" else read(change.value)
    return replace(change, target=target, value=value, place=read(change.place))


def _check_findable(change: Change, readable: Change) -> None:
    goal = ((change.value, readable.value),) if change.kind == "move" else ()
    for said, read in ((change.target, readable.target), (change.place, readable.place), *goal):
        if said and not read:
            raise BadInput(f"nothing tells what {said} is like, so it cannot be found", "say where, --box or --mask")


def _plan(models: EditModels, site: Site, options: EditOptions) -> Iterator[Try]:
    """The attempts in order: where a fill can help, instructing and filling take turns, a replacement being filled
    in first. A new colour that has a known name is tried without a model and never filled in: that would lose the
    thing's shape."""
    editor, inpainter = models.hands.editor, models.hands.inpainter
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    text = options.text_guidance or editor.default_text_guidance
    image = options.image_guidance or editor.default_image_guidance
    fills = site.prompt is not None and site.tint is None
    fill_first = options.change.kind == "replace"  # the text-to-image model knows things better than the editor
    scales = itertools.cycle(_SCALES if site.prompt else _WHOLE_SCALES)
    for number in range(options.attempts):
        this = (seed + number) % SEEDS
        if site.tint and number == _TINT:
            yield Try("tint", this, steps=0, text_guidance=1.0, image_guidance=1.0)
        elif fills and (number % 2 == 0) == fill_first:
            yield Try("fill", this, options.steps or inpainter.default_steps, inpainter.default_guidance, 1.0)
        else:
            more_text, more_image = next(scales)
            image_scale = max(1.0, image * more_image)
            yield Try("instruct", this, options.steps or editor.default_steps, text * more_text, image_scale)


def _judged(models: EditModels, before: Picture, after: Picture, change: Change, mask: Mask, how: Try) -> Attempt:
    return Attempt(
        method=how.method,
        seed=how.seed,
        steps=how.steps,
        text_guidance=how.text_guidance,
        image_guidance=how.image_guidance,
        picture=after,
        mask=mask,
        checks=check_edit(models, before, after, change, mask),
        directional=directional_similarity(models, before, after, change),
        changed=changed_fraction(before, after),
        drift=drift_outside(before, after, mask),
    )
