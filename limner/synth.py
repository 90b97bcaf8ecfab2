"""ChatGenImage: one item of an annotated dataset, from a class's name to labelled pictures (Algorithm 1).

brainstorm -> draw the best of several -> label -> imagine -> another background, then things filled into boxes -> label
again -> filter. Its slips are mended (methods 4.2): objects are filled into the picture with the new background, and a
scene is one pass of the loop. What is made depends on the spec, the item's number and the models, on nothing else.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from limner.brainstorm import SceneMode, ScenePrompt, Vocabulary, scene_prompts, visual_features
from limner.draw import Drawn, DrawOptions, draw
from limner.edit import EditOptions, EditResult, edit
from limner.fill import fill_box
from limner.filters import (
    MISMATCH,
    OUTRANKED,
    Verdict,
    all_of,
    check_found,
    check_kept,
    check_pixels,
    check_texts,
)
from limner.image.metadata import recipe_values
from limner.image.paste import box_mask, dilate, paste_back
from limner.imagine import Addition, Scenery, imagine
from limner.label import close_up
from limner.protocols import Mask
from limner.refine import rank
from limner.regions import lies_in
from limner.shards import Made
from limner.types import AnnotatedPicture, Box, Change, Event
from limner.workbench import Bench, SynthModels, SynthSpec, item_id
from limner.world.caption import article

__all__ = ["SynthModels", "SynthSpec", "item_id", "make_item"]

_STAGES = 4
_ROOM = 0.5
"""The share of a box that must be free for a thing to be filled into it."""


def make_item(spec: SynthSpec, index: int, models: SynthModels) -> Generator[Event, None, Made]:
    """Make one item: a first picture and what it is edited into, each labelled and filtered, and all that was rejected.

    Yields the events of drawing and editing, and a «stage» Event before each stage.
    """
    bench = Bench(spec, index, models, item_id(spec, index, models))
    yield Event("stage", "brainstorming", 0, _STAGES)
    prompt = _prompt(bench)
    yield Event("stage", f"drawing {prompt.prompt}", 1, _STAGES)
    first = yield from _first(bench, prompt)
    if first is not None:
        for number in range(spec.scenes):
            yield from _scene(bench, first, prompt, number)
    yield Event("stage", "done", _STAGES, _STAGES)
    return bench.made()


@dataclass(frozen=True, slots=True)
class _Now:
    """A picture as it stands: its labels, the names that were added to the classes, and how it was made."""

    seen: AnnotatedPicture
    background: str
    row: str
    made: Mapping[str, Any]
    also: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def places(self) -> tuple[Box, ...]:
        """Where its things are, to be looked at closely after an edit: the others near them distract a detector."""
        return tuple(region.box for region in self.seen.regions)

    def after(self, seen: AnnotatedPicture, verdict: Verdict, step: Mapping[str, Any], background: str = "") -> _Now:
        """What it became by one edit."""
        done = {**step, "scores": dict(verdict.scores)}
        made = {**self.made, "edits": [*self.made.get("edits", []), done]}
        return replace(self, seen=seen, background=background or self.background, made=made, scores=verdict.scores)


def _prompt(bench: Bench) -> ScenePrompt:
    """What the item's first picture is to show: the classes take turns, and with "both" so do the modes."""
    spec, drawing, features = bench.spec, bench.models.drawing, bench.models.features
    turn, place = divmod(bench.index, len(spec.classes))
    wanted = spec.classes[place]
    both: tuple[SceneMode, SceneMode] = ("complex", "centric")
    mode = both[turn % 2] if spec.mode == "both" else spec.mode
    if wanted not in features:
        features[wanted] = visual_features(wanted, drawing.language)
    order = (wanted, *(name for name in spec.classes if name != wanted))
    unknown = drawing.text_to_image.unknown_words if spec.vocabulary.closed else None
    seed = bench.seed("prompt")
    found = scene_prompts(
        order, 1, mode, seed, drawing.language, spec.vocabulary, features=features, unknown_words=unknown
    )
    return found.prompts[0]


def _first(bench: Bench, prompt: ScenePrompt) -> Generator[Event, None, _Now | None]:
    """The best of the candidates that passes the filters, labelled; None where none does."""
    spec, (width, height) = bench.spec, bench.spec.size or (None, None)
    options = DrawOptions(prompt.prompt, spec.candidates, rounds=1, seed=bench.seed("draw"), width=width, height=height)
    result = yield from draw(bench.models.drawing, options)
    ranked = sorted(result.pictures, key=lambda drawn: rank(drawn.card), reverse=True)
    for number, drawn in enumerate(ranked):
        seen, made = bench.look(drawn.picture), _drawn(prompt, drawn)
        [shows] = check_texts(bench.models.editing.scorer, [drawn.picture], prompt.label, spec.thresholds)
        verdict = all_of(check_found(seen.regions, prompt.label), shows)
        if bench.passes(verdict):
            _outranked(bench, prompt, ranked[number + 1 :])
            row = bench.keep(seen, "", prompt.label, verdict.scores, made)
            return _Now(seen, prompt.background, row.id, made)
        bench.turn_down("draw", "", verdict, made, drawn.picture)
    return None


def _outranked(bench: Bench, prompt: ScenePrompt, others: Sequence[Drawn]) -> None:
    """Keep the other candidates aside, without their pictures: recipe and models make them again."""
    for drawn in others:
        scores = {"margin": round(drawn.card.margin, 5), "similarity": round(drawn.card.overall, 5)}
        bench.turn_down("draw", "", Verdict(False, OUTRANKED, scores), _drawn(prompt, drawn))


def _drawn(prompt: ScenePrompt, drawn: Drawn) -> dict[str, Any]:
    recipe = recipe_values(drawn.recipe)
    return {"description": prompt.prompt, "worded_by": prompt.source, "label": prompt.label, "recipe": recipe}


def _scene(bench: Bench, first: _Now, prompt: ScenePrompt, number: int) -> Generator[Event]:
    """One pass of Algorithm 1's loop: a new background, new things in it; kept if anything came of it."""
    yield Event("stage", "imagining", 2, _STAGES)
    scenery = _imagined(bench, first, number)
    now = first
    if bench.spec.background and scenery.background != first.background:
        yield Event("stage", f"putting it before {scenery.background}", 3, _STAGES)
        now = yield from _change_background(bench, now, scenery.background, number)
    for place, addition in enumerate(scenery.additions):
        yield Event("stage", f"adding {article(addition.label)}", 3, _STAGES)
        now = _add(bench, now, addition, (number, place))
    if now is not first:
        bench.keep(now.seen, first.row, prompt.label, now.scores, {**now.made, "imagined_by": scenery.source})


def _imagined(bench: Bench, first: _Now, number: int) -> Scenery:
    spec, language = bench.spec, bench.models.drawing.language
    seed = bench.seed("imagine", number)
    return imagine(
        first.seen, first.background, spec.classes, spec.objects, seed, language, spec.vocabulary, spec.limits
    )


def _change_background(bench: Bench, now: _Now, background: str, number: int) -> Generator[Event, None, _Now]:
    """The picture before another background, every labelled thing as it was; as it is where that fails."""
    mask = _ground(now.seen)
    if not mask.any():
        return now
    change = Change("background", _instruction(bench.spec.vocabulary, now.seen, background), value=background)
    seed = bench.seed("background", number)
    options = EditOptions(change, mask=mask, seed=seed, attempts=bench.spec.attempts)
    result = yield from edit(bench.models.editing, now.seen.picture, options)
    _failed_attempts(bench, now, result)
    after, step = result.best.picture, _background_step(result)
    seen = bench.look(after, now.also, now.places)
    verdict = _checked(bench, now, seen, ~mask, background)
    if bench.passes(verdict):
        return now.after(seen, verdict, step, background)
    bench.turn_down("background", now.row, verdict, {**now.made, "tried": step}, after)
    return now


def _ground(seen: AnnotatedPicture) -> Mask:
    """Everything but the things, which keep a pixel around them."""
    width, height = seen.picture.width, seen.picture.height
    taken = np.zeros((height, width), np.bool_)
    for region in seen.regions:
        taken |= box_mask(region.box, width, height) if region.mask is None else region.mask
    return ~dilate(taken, 1)


def _instruction(vocabulary: Vocabulary, seen: AnnotatedPicture, background: str) -> str:
    """In the words that the editor knows best: «put it in the snow», or as the paper asks for what has no phrase."""
    if background not in dict(vocabulary.backgrounds):
        return f"change the background to {background}"
    return f"put {'it' if len(seen.regions) == 1 else 'everything'} {vocabulary.phrase(background)}"


def _failed_attempts(bench: Bench, now: _Now, result: EditResult) -> None:
    """Keep aside the tries of an edit that were not its best, without their pictures."""
    for tried in result.attempts:
        if tried is not result.best:
            scores = {name: round(check.value, 5) for name, check in tried.checks.items()}
            reason = OUTRANKED if tried.passed else MISMATCH
            step = {"kind": "background", "instruction": result.change.instruction, "seed": tried.seed}
            bench.turn_down("background", now.row, Verdict(False, reason, scores), {**now.made, "tried": step})


def _background_step(result: EditResult) -> dict[str, Any]:
    best = result.best
    return {
        "kind": "background",
        "instruction": result.change.instruction,
        "value": result.change.value,
        "seed": best.seed,
        "steps": best.steps,
        "text_guidance": best.text_guidance,
        "image_guidance": best.image_guidance,
    }


def _add(bench: Bench, now: _Now, addition: Addition, place: tuple[int, int]) -> _Now:
    """The picture with a thing filled into its box, tried with several seeds; as it is where none will do."""
    inpainter, picture = bench.models.editing.hands.inpainter, now.seen.picture
    prompt = f"{article(addition.label)} {bench.spec.vocabulary.phrase(now.background)}"
    also, places = (*now.also, addition.label), (*now.places, addition.box)
    whole = box_mask(addition.box, picture.width, picture.height)
    mask = whole & _ground(now.seen)  # what is there stands before what comes
    if mask.sum() < _ROOM * whole.sum():
        return now
    for number in range(bench.spec.attempts):
        seed = bench.seed("fill", *place, number)
        after = fill_box(inpainter, picture, mask, prompt, seed)
        step = {"kind": "fill", "label": addition.label, "box": addition.box, "relation": addition.relation}
        step |= {"prompt": prompt, "seed": seed}
        seen = bench.look(after, also, places)
        if (thing := _filled(seen, addition)) is not None:
            # Its surroundings stay as they are: a box that can be seen would be what a detector learns.
            after = paste_back(picture, after, dilate(thing, 1) & mask, feather=1)
            seen = bench.look(after, also, places)
        found = check_found(seen.regions, addition.label, addition.box)
        verdict = all_of(found, _checked(bench, now, seen, ~mask, addition.label, addition.box))
        if bench.passes(verdict):
            return replace(now.after(seen, verdict, step), also=also)
        bench.turn_down("fill", now.row, verdict, {**now.made, "tried": step}, after)
    return now


def _filled(seen: AnnotatedPicture, addition: Addition) -> Mask | None:
    """What was cut out of the thing that was filled in, if it is found."""
    here = [r for r in seen.regions if r.label == addition.label and lies_in(r.box, addition.box)]
    return next((region.mask for region in here), None)


def _checked(
    bench: Bench, now: _Now, seen: AnnotatedPicture, kept: Mask, text: str, place: Box | None = None
) -> Verdict:
    """Pixel check and semantic check of an edit that was to leave `kept` alone and to show `text`, in `place` if given.

    A small thing hardly moves a scorer's view of the whole: it may show the text from close by instead.
    """
    limits = bench.spec.thresholds
    pixels = check_pixels(now.seen.picture, seen.picture, ~kept, limits)
    [shows] = check_texts(bench.models.editing.scorer, [seen.picture], text, limits)
    if place is not None and not shows.kept:
        [shows] = check_texts(bench.models.editing.scorer, [close_up(seen.picture, place)[0]], text, limits)
    return all_of(pixels, check_kept(now.seen.regions, seen.regions, limits), shows)
