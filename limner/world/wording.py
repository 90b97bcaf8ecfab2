"""How a scene and what becomes of it are put into prompts, both alike: short ones, and long ones with tags.

The short ones are as people speak; the long ones are as models like them, 20 to 45 words, with tags of which some say
something of the scene's style, hour and weather and the others only ask for quality (DiffChat A.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple
from zlib import crc32

from limner.world.caption import RELATION_PHRASES, article, named
from limner.world.scene import Relation, Scene
from limner.world.vocabulary import BACKGROUNDS, INDOOR_BACKGROUNDS, TIMES, WEATHERS, concept

SHORTEST, LONGEST = 20, 45
"""Words of the long prompts."""

STYLE_HEADS: Mapping[str, tuple[str, ...]] = {
    "flat": ("flat vector illustration", "flat illustration", "flat style picture"),
    "3d": ("3d render", "3d style picture", "detailed 3d render"),
    "line": ("line art drawing", "black and white icon"),
    "noto": ("cartoon drawing", "cartoon style picture"),
    "twemoji": ("sticker drawing", "sticker style picture"),
    "shapes": ("geometric style picture", "picture of simple shapes"),
}
"""What a picture of a style is called, as a head of the prompt or as a tag."""

STYLE_TAGS: Mapping[str, tuple[str, ...]] = {
    "flat": ("clean shapes", "solid colours", "minimal shading"),
    "3d": ("octane render", "soft studio light", "smooth surfaces"),
    "line": ("ink outlines", "monochrome"),
    "noto": ("bold outlines", "friendly look"),
    "twemoji": ("thick border", "die cut"),
    "shapes": ("abstract composition", "clean edges"),
}
TIME_TAGS: Mapping[str, tuple[str, ...]] = {
    "day": ("bright daylight", "natural daylight"),
    "sunset": ("golden hour", "warm evening glow"),
    "night": ("moonlit", "starry sky"),
}
WEATHER_TAGS: Mapping[str, tuple[str, ...]] = {
    "clear": ("crisp air", "good visibility"),
    "rain": ("wet reflections", "overcast sky"),
    "snowfall": ("drifting snowflakes", "cold air"),
    "fog": ("hazy air", "muted contrast"),
}
QUALITY_TAGS = (
    "highly detailed", "sharp focus", "soft light", "intricate details", "elegant", "masterpiece", "best quality",
    "trending on artstation", "award winning", "vivid colours", "8k resolution", "centered composition",
    "smooth gradients", "cinematic lighting", "digital art", "professional", "beautiful composition", "high contrast",
    "concept art", "wallpaper",
)  # fmt: skip
"""Phrases of diffusion prompts that say nothing of what is there."""


SILENT = {"time": "day", "weather": "clear"}
"""What goes without saying."""


class Stated(NamedTuple):
    """A relation between two things of a scene, by their places in it."""

    first: int
    relation: Relation
    second: int


@dataclass(frozen=True, slots=True)
class Wording:
    """How a row's scenes are put into words. `key` decides every choice of a phrase, so that what both scenes have is
    said alike; `form` of the long prompts is a sentence with tags, tags alone, or «a drawing of»."""

    key: int
    form: Literal["clause", "list", "head"]
    quality: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A scene with what is told of it: `order` ranks its things, `stated` is a relation of two of them, `added` one of
    a thing that came last, whose other thing has been named by then."""

    scene: Scene
    order: tuple[float, ...]
    stated: Stated | None = None
    added: Stated | None = None


def pick(wording: Wording, what: str, options: Sequence[str]) -> str:
    """One of the phrases, the same for the same wording and options."""
    return options[crc32(f"{wording.key}/{what}/{options[0]}".encode()) % len(options)]


def _things(told: Told, wording: Wording, last: str = " and ") -> str:
    """«a red fox to the left of a castle, two dogs and a cat above the castle»."""
    scene, counts = told.scene, told.scene.counts()
    ranks: dict[tuple[str, str | None], float] = {}
    for thing, rank in zip(scene.things, told.order, strict=True):
        group = thing.concept, thing.colour
        ranks[group] = min(rank, ranks.get(group, rank))
    groups = {group: named(*group, counts[group]) for group in sorted(ranks, key=lambda group: ranks[group])}
    items = list[str]()
    if told.stated:
        first, second = (groups.pop(_group(scene, place)) for place in (told.stated.first, told.stated.second))
        items.append(f"{first} {_related(told.stated.relation, wording)} {second}")
    placed = groups.pop(_group(scene, told.added.first)) if told.added else ""
    items += groups.values()
    if told.added:
        other = concept(scene.things[told.added.second].concept).name
        items.append(f"{placed} {_related(told.added.relation, wording)} the {other}")
    return last.join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def _group(scene: Scene, place: int) -> tuple[str, str | None]:
    return scene.things[place].concept, scene.things[place].colour


def _related(relation: Relation, wording: Wording) -> str:
    return pick(wording, "relation", RELATION_PHRASES[relation])


def _sentence(told: Told, wording: Wording) -> str:
    """Things, place, hour and weather, in the words of people; what goes without saying is not said."""
    scene, tables = told.scene, {"background": BACKGROUNDS, "time": TIMES, "weather": WEATHERS}
    said = [_things(told, wording)] if scene.things else []
    for kind, phrases in tables.items():
        value = getattr(scene, kind)
        if value != SILENT.get(kind):
            said.append(pick(wording, kind, phrases[value]))
    return " ".join(said)


def short_prompt(told: Told, wording: Wording) -> str:
    """The prompt as somebody would say it, in other phrases than the long one has."""
    return _sentence(told, replace(wording, key=wording.key ^ 1))


def long_prompt(told: Told, wording: Wording) -> str:
    """The prompt as models like it, with the tags of the wording."""
    scene = told.scene
    head = pick(wording, "head", STYLE_HEADS[scene.style]) if scene.style else ""
    if wording.form == "list":
        loud = [getattr(scene, kind) for kind in SILENT if getattr(scene, kind) != SILENT[kind]]
        said = [*([_things(told, wording, ", ")] if scene.things else []), scene.background, *loud, head]
    elif wording.form == "head" and head:
        said = [f"{article(head)} of {_sentence(told, wording)}"]
    else:
        said = [_sentence(told, wording), head]
    return ", ".join([*filter(None, said), *_faithful_tags(scene, wording), *wording.quality])


def _faithful_tags(scene: Scene, wording: Wording) -> list[str]:
    """Tags that say something of the scene's style, hour and weather: each kind in about half of all prompts."""
    tables = {"style": STYLE_TAGS, "time": TIME_TAGS, "weather": WEATHER_TAGS}
    indoors = scene.background in INDOOR_BACKGROUNDS
    kinds = [kind for kind in tables if kind == "style" or not indoors]
    told = [kind for kind in kinds if crc32(f"{wording.key}/tag/{kind}".encode()) % 2 and getattr(scene, kind)]
    return [pick(wording, f"tag {kind}", tables[kind][getattr(scene, kind)]) for kind in told]


def quality_tags(rng: Random, prompts: Sequence[str]) -> tuple[str, ...]:
    """Tags until the shorter prompt is long enough, and no more than the longer one bears."""
    lengths = [len(prompt.split()) for prompt in prompts]
    wanted, added, tags = rng.randint(SHORTEST + 2, LONGEST - 10), 0, list[str]()
    for tag in rng.sample(QUALITY_TAGS, len(QUALITY_TAGS)):
        words = len(tag.split())
        if min(lengths) + added < wanted and max(lengths) + added + words <= LONGEST:
            tags.append(tag)
            added += words
    return tuple(tags)
