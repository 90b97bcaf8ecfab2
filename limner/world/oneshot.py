"""The exam of one-shot learning: pictures of what training never saw, and what is then asked for (DreamArtist 5.1).

A reference is one picture of a held-out thing, or of known things in the held-out style. A context says it together
with what the embedded models do know, in the words of their captions and in combinations that training showed, so
that a failure is the learned concept's. Everything follows from a seed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from random import Random
from typing import Literal

from limner.types import BadInput, Picture
from limner.world.caption import describe, facts, named
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Fact, Scene, Thing
from limner.world.vocabulary import (
    BACKGROUNDS,
    CORE_CONCEPTS,
    HELD_OUT_STYLE,
    INDOOR_BACKGROUNDS,
    STYLE_PHRASES,
    TIMES,
    WEATHERS,
    concept,
)

NEAREST = {
    "boar": "pig", "tiger": "cat", "raccoon": "panda", "ladybug": "bee", "kick scooter": "bicycle",
    "classical building": "castle", "office building": "house", "chicken leg": "hamburger", "flatbread": "pizza",
    "tangerine": "apple", "cooked rice": "cake", "rice cracker": "donut", "woman’s hat": "crown", "dress": "umbrella",
    "folding hand fan": "umbrella", "radio": "camera", "briefcase": "camera", "razor": "key",
}  # fmt: skip
"""Held-out things and the core noun that comes nearest to each: broader nouns («animal») stand in no caption.

Held-out things that look like a core one (the clocks, the lock with its key), or like none, are left out.
"""

POOL = (
    *CORE_CONCEPTS,
    *BACKGROUNDS,
    *(time for time in TIMES if time != "day"),
    *(weather for weather in WEATHERS if weather != "clear"),
)
"""Noun phrases of the world, from which CAS draws what was not asked for."""

PLAIN = "white background"
ONE_IN = 4
"""Every fourth reference is one of the style."""

_QUESTIONS = (
    ("single", 0.0, 0.0, 0.0),
    ("single", 0.0, 1.0, 0.0),
    ("single", 0.0, 0.0, 1.0),
    ("pair", 0.0, 0.0, 0.0),
    ("pair", 1.0, 0.0, 0.0),
    ("pair", 0.0, 1.0, 0.0),
)
"""What is asked of each reference: a stage of the sampler, and how often it tints, changes the hour, the weather."""


@dataclass(frozen=True, slots=True)
class Material:
    """What an exam is made of: `unseen` things, each with the known noun nearest to it, an unseen `style`, and what
    is `known`. Contexts of two things need some pairs of known concepts that are not held out."""

    unseen: Mapping[str, str]
    style: str
    known: Palette = field(default_factory=Palette)


WORLD = Material(NEAREST, HELD_OUT_STYLE)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """One picture to learn from.

    `name` is a concept's name (`limner.concept.check_name`); `like` are words that the embedded models know and that
    come nearest; `truth` is the scene that `picture` shows.
    """

    name: str
    kind: Literal["thing", "style"]
    picture: Picture
    like: str
    truth: Scene


@dataclass(frozen=True, slots=True)
class Context:
    """One thing to ask for. In `prompt`, `{}` stands for what was learned, article and all (`{0}` and `{1}` for two).

    `facts` are what must be true of the picture besides; `truth` is a scene in which it all is, drawn as it should be.
    """

    prompt: str
    facts: tuple[Fact, ...]
    truth: Scene

    @property
    def phrases(self) -> tuple[str, ...]:
        """The noun phrases that CAS asks for: «snow», «castle», «red car», «night»."""
        return tuple(fact.text for fact in self.facts)


def references(count: int = 16, seed: int = 0, *, material: Material = WORLD, size: int = 128) -> list[Reference]:
    """Things of as many groups as possible, each once, then every fourth picture one of the style.

    Pictures are `size` pixels a side. Raises BadInput for a count below 1 or of more things than there are, and
    LimnerError when art was not fetched.
    """
    most = len(material.unseen) * ONE_IN // (ONE_IN - 1)
    if not 1 <= count <= most:
        raise BadInput(f"{count} references cannot be made", f"1 to {most}")
    styles = count // ONE_IN
    names = _spread(material.unseen, Random(f"oneshot/{seed}"))[: count - styles]
    things = [_thing(name, Random(f"oneshot/{seed}/{name}"), material, size) for name in names]
    return things + [_style(n, Random(f"oneshot/{seed}/{n}"), material, size) for n in range(1, styles + 1)]


def _spread(names: Mapping[str, str], rng: Random) -> list[str]:
    """Shuffled, the first of each group before the second of any."""
    shuffled = rng.sample(sorted(names), len(names))
    groups = [concept(name).group for name in shuffled]
    earlier = {name: groups[:place].count(groups[place]) for place, name in enumerate(shuffled)}
    return sorted(shuffled, key=lambda name: earlier[name])


def _thing(name: str, rng: Random, material: Material, size: int) -> Reference:
    style = rng.choice(list(material.known.styles))
    truth = Scene((Thing(name, style, 0.5, 0.52, rng.uniform(0.68, 0.8)),), PLAIN)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("’", ""))
    return Reference(slug, "thing", render(truth, size), material.unseen[name], truth)


def _style(number: int, rng: Random, material: Material, size: int) -> Reference:
    """Two known things, for one alone would be taken for what is to be learned."""
    plain = replace(material.known, styles=(material.style,), backgrounds=(PLAIN,), tint=0.0)
    truth = sample_scene(rng, "pair", plain)
    like = STYLE_PHRASES[material.known.styles[0]][0]
    return Reference(f"{material.style}-{number}", "style", render(truth, size), like, truth)


def contexts(reference: Reference, seed: int = 0, *, material: Material = WORLD) -> list[Context]:
    """Six things to ask for with `{}`: other backgrounds, hours, weathers, and another thing beside it in a colour.

    A style is asked for with known things that its reference does not show. No context holds the noun in `like`.
    """
    return _contexts({"{}": reference}, seed, material)


def composed(first: Reference, second: Reference, seed: int = 0, *, material: Material = WORLD) -> list[Context]:
    """Six things to ask for with two learned concepts together (DreamArtist 6.7), `{0}` and `{1}`.

    Two things stand beside each other, in the first one's drawing style in `truth`; a thing and a style are the thing
    drawn so. Raises BadInput for two styles, of which no true picture can be made.
    """
    if first.kind == second.kind == "style":
        raise BadInput("two styles cannot be composed", "a style goes with a thing")
    return _contexts({"{0}": first, "{1}": second}, seed, material)


def _contexts(marks: Mapping[str, Reference], seed: int, material: Material) -> list[Context]:
    rng = Random(f"contexts/{seed}/{'/'.join(reference.name for reference in marks.values())}")
    palette = _beside(list(marks.values()), material)
    outdoors = cycle(rng.sample(palette.backgrounds, len(palette.backgrounds)))
    crowded = sum(reference.kind == "thing" for reference in marks.values()) > 1
    found: list[Context] = []
    for (stage, tint, hour, weather), background in zip(_QUESTIONS, outdoors, strict=False):
        tintable = [name for name in palette.concepts if concept(name).tintable]
        names = tintable if tint else palette.concepts
        shares = Palette(names, palette.styles, (background,), tint, hour, weather)
        found.append(_context(sample_scene(rng, "pair" if crowded else stage, shares), marks))
    return found


def _beside(learned: Sequence[Reference], material: Material) -> Palette:
    """What of the known may stand beside the learned: nothing that was in a reference or is what it is like."""
    taken = {reference.like for reference in learned}
    taken |= {thing.concept for reference in learned for thing in reference.truth.things}
    style = min(learned, key=lambda reference: reference.kind).truth.style  # «style» goes before «thing»
    return replace(
        material.known,
        concepts=[name for name in material.known.concepts if name not in taken],
        styles=(style,),
        backgrounds=[name for name in material.known.backgrounds if name not in INDOOR_BACKGROUNDS],
    )


def _context(scene: Scene, marks: Mapping[str, Reference]) -> Context:
    """The scene with its first things swapped for the learned ones, and a learned style said at the end."""
    prompt, things = describe(scene), list(scene.things)
    learned = [(mark, reference.truth.things[0]) for mark, reference in marks.items() if reference.kind == "thing"]
    for place, (mark, thing) in enumerate(learned):
        said = named(things[place].concept, things[place].colour)
        prompt = re.sub(rf"\b{re.escape(said)}\b", mark, prompt, count=1)
        things[place] = replace(things[place], concept=thing.concept, colour=None)
    styles = [mark for mark, reference in marks.items() if reference.kind == "style"]
    swapped = {thing.concept for thing in scene.things[: len(learned)]}
    kept = [fact for fact in facts(scene) if fact.kind != "relation" and fact.concept not in swapped]
    return Context(", ".join([prompt, *styles]), tuple(kept), replace(scene, things=tuple(things)))
