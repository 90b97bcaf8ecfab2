"""What somebody in a dialogue wishes for: values and how they are said, answers to questions, the effect on a scene."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from limner.seen import Seen
from limner.types import Change, EditKind
from limner.world import sayings
from limner.world.caption import article
from limner.world.clarity import OTHER_COLOURS, Referent, Request, explicit
from limner.world.sample import Palette
from limner.world.scene import Scene, Thing
from limner.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    CONCEPTS,
    INDOOR_BACKGROUNDS,
    PLAIN_BACKGROUNDS,
    STYLE_PHRASES,
    TIMES,
    held_out_concepts,
)

_STRANGE = 0.12
"""The share of nouns and colours from outside what the world's drawings know, so that words are copied, not guessed."""

_HOURS = {"day": ("day", "daytime"), "sunset": ("sunset", "dusk"), "night": ("night", "nighttime", "dark")}
_WEATHERS: dict[str, sayings.Sayings] = {
    "rain": ("let it rain", "make it rain", "make it rainy", "add rain"),
    "snow": ("let it snow", "make it snow", "add falling snow"),
    "fog": ("make it foggy", "add fog", "let there be fog"),
    "clear": ("make it clear", "clear the sky", "make the weather clear"),
}
_SPOTS = (0.25, 0.5, 0.75)
_BESIDE = {
    "left of": (-0.45, 0),
    "right of": (0.45, 0),
    "above": (0, -0.45),
    "below": (0, 0.45),
    "in front of": (0, 0.3),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A request, its values as they are said («a dog» for dog), and the sayings that it may be put in."""

    request: Request
    said: tuple[str, ...] = ()
    sayings: sayings.Sayings = ()


@functools.cache
def strange_nouns() -> tuple[str, ...]:
    """Names beyond the core concepts, of one word or two, none of them held out or weather."""
    small = ("and", "in", "of", "on", "with", "style", "art", "picture", "fog", "foggy", "thunderstorm")
    plain = (name for name in CONCEPTS if name.replace(" ", "").isalpha() and name.isascii() and name.count(" ") < 2)
    return tuple(n for n in plain if n not in held_out_concepts() and not set(n.split()) & set(small))


def noun(rng: Random, palette: Palette) -> str:
    """A thing that may be asked for."""
    return rng.choice(strange_nouns() if rng.random() < _STRANGE else list(palette.concepts))


def colour(rng: Random) -> str:
    """A colour that may be asked for."""
    return rng.choice(OTHER_COLOURS if rng.random() < _STRANGE else list(COLOURS))


def wish(rng: Random, palette: Palette, request: Request, trouble: str) -> Wish | None:
    """The request with its value, without it («value»), or with two that exclude each other («torn»)."""
    kind = request.kind
    assert kind is not None
    if kind == "remove":
        plain = None if trouble == "value" else Wish(request, (), sayings.CLEAR[kind])
        return _torn(rng, request) if trouble == "torn" else plain
    if trouble == "value":
        return Wish(request, (), sayings.WITHOUT_VALUE[kind])
    first = _value(rng, palette, kind)
    if trouble != "torn":
        return replace(first, request=replace(request, values=first.request.values))
    second = _value(rng, palette, kind)
    alike = first.request.values == second.request.values or first.sayings != second.sayings
    if alike or kind in ("replace", "add", "weather"):
        return None
    values = first.request.values + second.request.values
    both = f"{first.said[0]} and {second.said[0]}"
    return Wish(replace(request, values=values), (both,), first.sayings)


def _torn(rng: Random, request: Request) -> Wish:
    """The thing is to be removed and painted: what comes first is offered first."""
    hue = rng.choice(list(COLOURS))
    saying = rng.choice(sayings.TORN)
    values = ("remove", hue) if saying.startswith(("remove", "delete")) else (hue, "remove")
    return Wish(replace(request, kind=None, values=values), (hue,), (saying,))


def with_name(wish: Wish, name: str) -> Wish:
    """A wish torn between two actions offers them as instructions about the thing, now that its name is known."""
    if wish.request.kind or not wish.request.values:
        return wish
    values = wish.request.values
    actions = tuple(explicit("remove" if v == "remove" else "recolour", name, v) for v in values)
    return replace(wish, request=replace(wish.request, values=actions))


def _value(rng: Random, palette: Palette, kind: EditKind) -> Wish:
    match kind:
        case "recolour":
            value = colour(rng)
            return _of(kind, value, value)
        case "restyle":
            return _style(rng)
        case "background":
            return _background(rng, palette)
        case "time":
            value = rng.choice(list(TIMES))
            return _of(kind, value, rng.choice(_HOURS[value]))
        case "weather":
            value = rng.choice(list(_WEATHERS))
            return _of(kind, value, rng.choice(_WEATHERS[value]))
        case _:
            name = noun(rng, palette)
            value = f"{rng.choice(list(COLOURS))} {name}" if rng.random() < 0.3 else name
            return _of(kind, value, article(value))


def _of(kind: EditKind, value: str, said: str, forms: sayings.Sayings = ()) -> Wish:
    return Wish(Request(kind, values=(value,)), (said,), forms or sayings.CLEAR[kind])


def _style(rng: Random) -> Wish:
    name = rng.choice(("flat", "3d", "line", "noto", "shapes"))
    phrase = rng.choice(STYLE_PHRASES[name])
    if phrase.endswith("style"):
        return _of("restyle", STYLE_PHRASES[name][0], phrase)
    art = phrase if phrase.endswith("s") else article(phrase)
    forms = ("make the picture {v}", "turn the picture into {v}", "redraw it as {v}", "make it look like {v}")
    return _of("restyle", STYLE_PHRASES[name][0], art, forms)


def _background(rng: Random, palette: Palette) -> Wish:
    name = rng.choice(list(palette.backgrounds))
    value = name.split()[0] if name in PLAIN_BACKGROUNDS else name
    if rng.random() < 0.5:
        forms = ("put it {v}", "put everything {v}", "place it {v}", "i want it {v}")
        return _of("background", value, rng.choice(BACKGROUNDS[name]), forms)
    return _of("background", value, f"plain {value}" if name in PLAIN_BACKGROUNDS and rng.random() < 0.4 else value)


def worded(rng: Random, wish: Wish, spoken: str) -> str:
    """The wish in words; `spoken` is how its thing is spoken of."""
    request = wish.request
    needs = request.referent is not None and bool(request.referent.noun) and not request.relation
    forms = [form for form in wish.sayings if "{t}" in form or not needs]
    place = f" {rng.choice(sayings.PLACES[request.relation])} {spoken}" if request.relation else ""  # pyright: ignore
    return sayings.as_people_write(rng, rng.choice(forms).format(t=spoken, v="".join(wish.said), p=place))


def vague(referent: Referent) -> Wish:
    """Something is to happen to a thing."""
    return Wish(Request(None, referent), (), sayings.VAGUE)


def pick(rng: Random, thing: Seen, among: Sequence[Seen]) -> str:
    """An answer that chooses one of the things offered, in words that fit no other of them."""
    if len(among) == 1:
        return _answered(rng, rng.choice(sayings.YES).format(t=thing.name))
    place = thing.text.removeprefix(thing.noun).strip()
    order = sayings.ORDINALS[among.index(thing)]
    forms = [f"the {order} one", f"the {order}", f"the {thing.text}"]
    forms += ["the last one"] if thing == among[-1] else []
    if thing.colour and _alone([s.colour for s in among], thing.colour):
        forms += [f"the {thing.colour} one", thing.colour, f"the {thing.colour} one"]
    if _alone([s.where for s in among], thing.where):
        forms += [f"the {thing.where} one", f"the one {place}", thing.where, place]
    if _alone([s.name for s in among], thing.name):
        forms += [thing.name, *[f"the {thing.name}"] * 3]
    if _alone([s.noun for s in among], thing.noun):
        forms += [f"the {thing.noun}", thing.noun]
    return _answered(rng, rng.choice(forms))


def _alone(values: Sequence[str], value: str) -> bool:
    return values.count(value) == 1


def _answered(rng: Random, words: str) -> str:
    before = rng.choice(("i mean ", "oh, ", "sorry, ", "well, ")) if rng.random() < 0.15 else ""
    after = rng.choice((" please", ".", " pls", "!", ", thanks")) if rng.random() < 0.25 else ""
    return before + words + after


def completed(rng: Random, palette: Palette, wish: Wish) -> tuple[str, Wish]:
    """What the user answers to a question about the value, and the wish as it is then."""
    request = wish.request
    if not request.kind:
        return _acted(rng, palette, request)
    if not request.values:
        said = _value(rng, palette, request.kind)
        whole = replace(said, request=replace(request, values=said.request.values))
        return _stated(rng, request.kind, said), whole
    value = rng.choice(request.values)
    order = sayings.ORDINALS[request.values.index(value)]
    words = _answered(rng, rng.choice((value, value, f"make it {value}", f"the {order}", f"the {order} one")))
    return words, Wish(replace(request, values=(value,)))


def _stated(rng: Random, kind: EditKind, value: Wish) -> str:
    """A missing value: the bare words, or the whole request about «it»."""
    if kind in ("weather", "restyle", "background") or (kind != "add" and rng.random() < 0.3):
        return worded(rng, value, "it")
    forms = ("{}", "{}", "i want {}", "make it {}") if kind in ("recolour", "time") else ("{}", "{}", "i want {}")
    return _answered(rng, rng.choice(forms).format(value.said[0]))


def _acted(rng: Random, palette: Palette, request: Request) -> tuple[str, Wish]:
    """What is to be done with a thing: one of two actions that were offered, or any."""
    if request.values:
        action = rng.choice(request.values)
        kind: EditKind = "remove" if action.startswith("remove") else "recolour"
        hue = action.split()[-1]
        order = sayings.ORDINALS[request.values.index(action)]
        brief = "remove it" if kind == "remove" else f"paint it {hue}"
        words = _answered(rng, rng.choice((action, brief, brief, f"the {order}")))
        return words, Wish(replace(request, kind=kind, values=() if kind == "remove" else (hue,)))
    kind = rng.choice(("replace", "remove", "recolour"))
    done = wish(rng, palette, replace(request, kind=kind), "")
    assert done is not None
    return worded(rng, replace(done, request=replace(done.request, referent=None)), "it"), done


def applied(rng: Random, scene: Scene, change: Change, index: int | None) -> tuple[Scene, Thing | None]:
    """The scene after a change of its thing `index` (for «add» the one beside it), and what is spoken of now."""
    things = list(scene.things)
    match change.kind:
        case "add":
            new = _newcomer(rng, scene, change, index)
            return replace(scene, things=(*things, new)), new
        case "remove" | "replace" | "recolour":
            assert index is not None
            new = _changed(things[index], change)
            things[index : index + 1] = [new] if new else []
            return replace(scene, things=tuple(things)), new
        case "background":
            name = change.value if change.value in BACKGROUNDS else f"{change.value} background"
            indoors = {"time": "day", "weather": "clear"} if name in INDOOR_BACKGROUNDS else {}
            return replace(scene, background=name, **indoors), None
        case _:
            return scene, None


def _changed(thing: Thing, change: Change) -> Thing | None:
    if change.kind == "remove":
        return None
    if change.kind == "recolour":
        return replace(thing, colour=change.value)
    hue, name = _parted(change.value)
    return replace(thing, concept=name, colour=hue)


def _parted(value: str) -> tuple[str | None, str]:
    """Colour and noun of a value, which is a noun alone where it names a concept."""
    first, _, rest = value.partition(" ")
    return (first, rest) if value not in CONCEPTS and first in COLOURS and rest else (None, value)


def _newcomer(rng: Random, scene: Scene, change: Change, index: int | None) -> Thing:
    hue, name = _parted(change.value)
    if index is None:
        return Thing(name, scene.style, rng.choice(_SPOTS), rng.choice(_SPOTS), 0.3, hue)
    dx, dy = _BESIDE[change.place]
    beside = scene.things[index]
    x, y = (min(max(at + shift, 0.15), 0.85) for at, shift in ((beside.x, dx), (beside.y, dy)))
    return Thing(name, scene.style, x, y, 0.3, hue)
