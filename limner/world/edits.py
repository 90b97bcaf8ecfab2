"""Exact edits of the picture world: a scene, what somebody asks for, and the scene in which just that has changed.

The training material of the editor and the ground truth it is judged on (DialogPaint 3.2). Nothing but what the
instruction names differs between the two scenes, so that their renders differ only where they must.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt

from limner.types import BadInput, Change, EditKind
from limner.world.caption import RELATION_PHRASES, article
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Fact, Relation, Scene, Thing, colour_of, holds_between
from limner.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    INDOOR_BACKGROUNDS,
    PLAIN_BACKGROUNDS,
    STYLE_PHRASES,
    TIMES,
    WEATHERS,
    binding_held_out,
    concept,
    pair_held_out,
)

KINDS: tuple[EditKind, ...] = ("replace", "add", "remove", "recolour", "restyle", "background", "time", "weather")
"""What an editor can learn; moving and resizing need none."""

WholeKind = Literal["style", "background", "time", "weather"]

_TRIES = 5000
"""Scenes to look at before an edit is called impossible; most kinds take one to ten, what is held out some hundred."""

_TWINS = 0.12
"""The share of pairs made two of one kind in two colours, so that an instruction must say which it means."""

_OBJECT_SAYINGS: dict[str, tuple[str, ...]] = {
    "replace": (
        "replace the {target} with {value}",
        "turn the {target} into {value}",
        "swap the {target} for {value}",
        "change the {target} to {value}",
        "change the {target} into {value}",
        "put {value} in place of the {target}",
    ),
    "add": ("add {value}", "put {value}", "draw {value}", "place {value}"),
    "remove": (
        "remove the {target}",
        "take away the {target}",
        "delete the {target}",
        "get rid of the {target}",
        "erase the {target}",
    ),
    "recolour": (
        "make the {target} {value}",
        "turn the {target} {value}",
        "paint the {target} {value}",
        "colour the {target} {value}",
        "change the colour of the {target} to {value}",
        "change the {target} to {value}",
    ),
}
_BESIDE: tuple[Relation, ...] = ("left of", "right of", "above", "below")
_BACKDROPS = {
    "snow": "snow",
    "mountains": "mountains",
    "space": "outer space",
    "sea": "the sea",
    "underwater": "an underwater scene",
}
_HOURS = {"day": ("day", "daytime"), "sunset": ("sunset", "dusk"), "night": ("night", "nighttime")}
_WEATHER_SAYINGS = {
    "rain": ("let it rain", "make it rain", "make it rainy", "add rain"),
    "snowfall": ("let it snow", "make it snow", "add falling snow"),
    "fog": ("make it foggy", "add fog", "let there be fog"),
    "clear": ("make it clear", "clear the sky", "make the weather clear"),
}
_ENDINGS = {"rain": ("stop the rain",), "snowfall": ("stop the snow",), "fog": ("lift the fog", "remove the fog")}


@dataclass(frozen=True, slots=True)
class EditTriple:
    """One exact edit. `present` must be true and `absent` false of the edited picture for the edit to have succeeded.

    They hold what the instruction asks and no more; that all else stayed is seen from `after`, of which
    `caption.facts` tells, and from `changed_mask`.
    """

    before: Scene
    after: Scene
    change: Change
    present: tuple[Fact, ...]
    absent: tuple[Fact, ...] = ()


def sample_edit(
    rng: Random, kind: EditKind | None = None, palette: Palette | None = None, *, held_out: bool = False
) -> EditTriple:
    """A random edit of a scene of one to four things; what it names is the only thing of that name in the scene.

    Neither scene holds a held-out object pair or (colour, object) binding. With `held_out` the edit is about one: it
    makes it or takes it away or, where it changes the whole picture, happens to a scene that holds one.
    Raises BadInput when the palette allows no such edit, such as a change of style where there is one style only.
    """
    palette = palette or Palette()
    kind = kind or rng.choice([k for k in KINDS if k != "restyle" or len(set(palette.styles)) > 1])
    for _ in range(_TRIES):
        edit = _MAKERS[kind](rng, palette, held_out)
        if edit and _is_on_side(edit, held_out):
            return edit
    raise BadInput(f"found no scene for an edit of the kind «{kind}»", "give a palette with more to choose from")


def changed_mask(edit: EditTriple, size: int = 128) -> npt.NDArray[np.bool_]:
    """Where the renders differ, by more than 2 of 255 in some channel: shape (size, size)."""
    before, after = (render(scene, size).pixels.astype(np.int16) for scene in (edit.before, edit.after))
    return np.abs(before - after).max(axis=2) > 2


def _is_on_side(edit: EditTriple, held_out: bool) -> bool:
    before, after = _held_out_in(edit.before), _held_out_in(edit.after)
    if not held_out:
        return not before | after
    return bool(before ^ after if edit.change.local else before)


def _held_out_in(scene: Scene) -> set[tuple[str, str]]:
    names = sorted({thing.concept for thing in scene.things})
    worn = {(thing.colour, thing.concept) for thing in scene.things if thing.colour}
    pairs = {pair for pair in combinations(names, 2) if pair_held_out(*pair)}
    return pairs | {binding for binding in worn if binding_held_out(*binding)}


def _scene(rng: Random, palette: Palette, held_out: bool, *, several: bool = False) -> Scene:
    """A scene, now and then with two things of one kind in two colours; `several` leaves out single things."""
    stage = rng.choice(("pair", "pair", "crowd") if several else ("single", "pair", "pair", "crowd"))
    scene = sample_scene(rng, stage, palette, held_out=held_out)
    name = scene.things[0].concept
    if stage != "pair" or rng.random() >= _TWINS or not concept(name).tintable:
        return scene
    colours = rng.sample(list(COLOURS), 2)
    twins = (replace(t, concept=name, colour=colour) for t, colour in zip(scene.things, colours, strict=True))
    return replace(scene, things=tuple(twins))


def _other(rng: Random, names: Sequence[str], *taken: str | None) -> str:
    left = [name for name in names if name not in taken]
    if not left:
        raise BadInput(f"there is nothing else than {', '.join(names)}", "give a palette with more to choose from")
    return rng.choice(left)


# The makers: one edit each, on either side of the splits, or None where the scene does not lend itself to it. An
# edit that shall make something held out (`held_out` is ignored then) starts from a scene that has none.


def _replace(rng: Random, palette: Palette, held_out: bool) -> EditTriple:
    before = _scene(rng, palette, held_out=False)
    old = rng.choice(before.things)
    name = _other(rng, palette.concepts, *(thing.concept for thing in before.things))
    coloured = concept(name).tintable and rng.random() < palette.tint
    new = replace(old, concept=name, colour=rng.choice(list(COLOURS)) if coloured else None)
    change = _object_change(rng, "replace", _name(rng, old, before), _words(new))
    return EditTriple(before, _with(before, old, new), change, (_fact(new),), (_fact(old, before),))


def _add(rng: Random, palette: Palette, held_out: bool) -> EditTriple | None:
    """Either the foremost thing of a composed scene was missing, or a small one comes to a large one's side."""
    after = _scene(rng, palette, held_out)
    if len(after.things) == 1:
        after = replace(after, things=(*after.things, _newcomer(rng, palette, after)))
        if _overlap(*after.things) > 0.1:
            return None
    *others, new = after.things
    place = _place(rng, new, others)
    if place is None:
        change = _object_change(rng, "add", value=_words(new))
        return EditTriple(_with(after, new), after, change, (_fact(new, after),))
    relation, other = place
    name = _name(rng, other, after)
    said = f"{rng.choice(RELATION_PHRASES[relation])} the {name}"
    change = _object_change(rng, "add", value=_words(new), place=f"{relation} the {name}", said=said)
    text = f"{new.concept} {RELATION_PHRASES[relation][0]} {article(other.concept)}"
    where = Fact("relation", text, new.concept, relation=relation, other=other.concept)
    return EditTriple(_with(after, new), after, change, (_fact(new, after), where))


def _newcomer(rng: Random, palette: Palette, scene: Scene) -> Thing:
    """A small thing of another kind in a random spot, which may not be free."""
    size = rng.uniform(0.26, 0.36)
    x, y = (rng.uniform(size / 2 - 0.02, 1.02 - size / 2) for _ in range(2))
    name = _other(rng, palette.concepts, scene.things[0].concept)
    return Thing(name, scene.style, x, y, size, mirrored=rng.random() < 0.3)


def _overlap(first: Thing, second: Thing) -> float:
    """How far the squares around two things reach into each other, as a share of the smaller one."""
    reach = (first.size + second.size) / 2
    return max(0.0, reach - max(abs(first.x - second.x), abs(first.y - second.y))) / min(first.size, second.size)


def _place(rng: Random, new: Thing, others: Sequence[Thing]) -> tuple[Relation, Thing] | None:
    """What is said of where the new thing stands: always when it covers another, else in about half of all cases."""
    alone = [t for t in others if t.concept != new.concept and [o.concept for o in others].count(t.concept) == 1]
    covered = [t for t in alone if holds_between("in front of", new, t) and _overlap(new, t) > 0.2]
    if covered:
        return "in front of", covered[0]
    beside: list[tuple[Relation, Thing]] = [(r, t) for t in alone for r in _BESIDE if holds_between(r, new, t)]
    return rng.choice(beside) if beside and rng.random() < 0.6 else None


def _remove(rng: Random, palette: Palette, held_out: bool) -> EditTriple:
    before = _scene(rng, palette, held_out, several=True)
    old = rng.choice(before.things)
    change = _object_change(rng, "remove", _name(rng, old, before))
    return EditTriple(before, _with(before, old), change, (), (_fact(old, before),))


def _recolour(rng: Random, palette: Palette, held_out: bool) -> EditTriple | None:
    before = _scene(rng, palette, held_out=False)
    old = rng.choice(before.things)
    if not concept(old.concept).tintable:
        return None
    seen = [colour_of(thing) for thing in before.things if thing.concept == old.concept]
    new, was = replace(old, colour=_other(rng, list(COLOURS), *seen)), replace(old, colour=colour_of(old))
    change = _object_change(rng, "recolour", _name(rng, old, before), str(new.colour))
    return EditTriple(before, _with(before, old, new), change, (_fact(new),), (_fact(was),) if was.colour else ())


def _restyle(rng: Random, palette: Palette, held_out: bool) -> EditTriple:
    before = _scene(rng, palette, held_out)
    style = _other(rng, palette.styles, before.style)
    after = replace(before, things=tuple(replace(thing, style=style) for thing in before.things))
    phrase, it = rng.choice(STYLE_PHRASES[style]), rng.choice(("it", "the picture"))
    art = phrase if phrase.endswith("s") else article(phrase)
    said = (f"make {it} {art}", f"turn {it} into {art}", f"make {it} look like {art}", f"redraw {it} as {art}")
    if phrase.endswith("style"):
        said = (f"make {it} {phrase}", f"redraw {it} in {phrase}", f"change {it} to {phrase}", f"draw {it} in {phrase}")
    return _whole_edit(rng, "style", before, after, said)


def _background(rng: Random, palette: Palette, held_out: bool) -> EditTriple:
    before = _scene(rng, palette, held_out)
    name = _other(rng, palette.backgrounds, before.background)
    indoors = {"time": "day", "weather": "clear"} if name in INDOOR_BACKGROUNDS else {}
    it = "it" if len(before.things) == 1 else rng.choice(("them", "everything"))
    phrase, noun = rng.choice(BACKGROUNDS[name]), _BACKDROPS.get(name) or article(name)
    if name in PLAIN_BACKGROUNDS:
        noun = rng.choice(("plain ", "")) + name.split()[0]
    said = tuple(f"{verb} {it} {phrase}" for verb in ("put", "place"))
    said += tuple(saying.format(noun) for saying in ("change the background to {}", "make the background {}"))
    return _whole_edit(rng, "background", before, replace(before, background=name, **indoors), said)


def _time(rng: Random, palette: Palette, held_out: bool) -> EditTriple | None:
    before = _scene(rng, replace(palette, other_time=0.5), held_out)
    if before.background in INDOOR_BACKGROUNDS:
        return None
    time = _other(rng, list(TIMES), before.time)
    hour = rng.choice(_HOURS[time])
    said = (f"make it {hour}", f"let it be {hour}", f"change the time of day to {hour}")
    return _whole_edit(rng, "time", before, replace(before, time=time), (*said, f"set it {rng.choice(TIMES[time])}"))


def _weather(rng: Random, palette: Palette, held_out: bool) -> EditTriple | None:
    before = _scene(rng, replace(palette, weather=0.5), held_out)
    if before.background in INDOOR_BACKGROUNDS:
        return None
    weather = _other(rng, list(WEATHERS), before.weather)
    said = _WEATHER_SAYINGS[weather] + (_ENDINGS[before.weather] if weather == "clear" else ())
    return _whole_edit(rng, "weather", before, replace(before, weather=weather), said)


_MAKERS: Mapping[EditKind, Callable[[Random, Palette, bool], EditTriple | None]] = {
    "replace": _replace,
    "add": _add,
    "remove": _remove,
    "recolour": _recolour,
    "restyle": _restyle,
    "background": _background,
    "time": _time,
    "weather": _weather,
}


def _whole_edit(rng: Random, what: WholeKind, before: Scene, after: Scene, said: Sequence[str]) -> EditTriple:
    """The edit of a property of the whole scene, asked for in one of these ways."""
    old, new = (Fact(what, getattr(scene, what), value=getattr(scene, what)) for scene in (before, after))
    change = Change("restyle" if what == "style" else what, rng.choice(said), value=new.value)
    return EditTriple(before, after, change, (new,), (old,))


def _object_change(
    rng: Random, kind: EditKind, target: str = "", value: str = "", place: str = "", said: str = ""
) -> Change:
    """The change of one object, in a random phrasing; `said` is the place in the speaker's words."""
    new = value if kind == "recolour" or not value else article(value)
    sayings = _OBJECT_SAYINGS[kind] if kind != "add" or said else ("add {value}", "draw {value}")
    instruction = " ".join([rng.choice(sayings).format(target=target, value=new), *([said] if said else [])])
    return Change(kind, instruction, target, value, place)


def _with(scene: Scene, old: Thing, *new: Thing) -> Scene:
    """The scene with other things, or nothing, in place of `old`."""
    return replace(scene, things=tuple(t for thing in scene.things for t in (new if thing is old else (thing,))))


def _words(thing: Thing) -> str:
    name = concept(thing.concept).name
    return f"{thing.colour} {name}" if thing.colour else name


def _name(rng: Random, thing: Thing, scene: Scene) -> str:
    """What the thing is called: with its colour where that tells it from another, else now and then."""
    alone = [other.concept for other in scene.things].count(thing.concept) == 1
    return concept(thing.concept).name if alone and rng.random() < 0.6 else _words(thing)


def _fact(thing: Thing, scene: Scene | None = None) -> Fact:
    """That the thing is there in its colour; of a `scene` where nothing else bears its name, in any colour."""
    alone = scene is not None and [other.concept for other in scene.things].count(thing.concept) == 1
    if alone or not thing.colour:
        return Fact("object", concept(thing.concept).name, thing.concept)
    return Fact("colour", _words(thing), thing.concept, thing.colour)
