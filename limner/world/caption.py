"""What a scene is called: short as people speak, long with tags as models like, in several phrasings."""

from __future__ import annotations

from random import Random

from limner.world.scene import Fact, Relation, Scene, relations
from limner.world.vocabulary import BACKGROUNDS, STYLE_PHRASES, TIMES, WEATHERS, concept

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
RELATION_PHRASES: dict[Relation, tuple[str, ...]] = {
    "left of": ("to the left of", "left of", "on the left of"),
    "right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "in front of": ("in front of",),
}


def article(phrase: str) -> str:
    """«a» or «an» before a phrase, by its first letter but for the world's words that sound otherwise."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith(("uni", "ufo", "ukulele", "one", "euro"))
    return f"{'an' if vowel or phrase.startswith('hour') else 'a'} {phrase}"


def named(name: str, colour: str | None, count: int = 1) -> str:
    """«a red car», «two red cars»."""
    noun = concept(name).name if count == 1 else concept(name).plural
    phrase = f"{colour} {noun}" if colour else noun
    return article(phrase) if count == 1 else f"{NUMBERS[count]} {phrase}"


def describe(scene: Scene, rng: Random | None = None) -> str:
    """The plain short caption of a scene, without weather in clear weather nor time by day.

    With `rng` the phrasing varies; without it the commonest one is taken, so that the caption is a fixed name.
    """
    pick = rng.choice if rng else _first
    parts = [_objects(scene, rng), pick(BACKGROUNDS[scene.background])]
    if scene.time != "day":
        parts.append(pick(TIMES[scene.time]))
    if scene.weather != "clear":
        parts.append(pick(WEATHERS[scene.weather]))
    return " ".join(parts)


def tagged(scene: Scene, rng: Random | None = None) -> str:
    """The long caption: what is there, then tags for background, time, weather and style."""
    pick = rng.choice if rng else _first
    items = [named(name, colour, count) for (name, colour), count in scene.counts().items()]
    if rng:
        rng.shuffle(items)
    tags = [*items, scene.background, *([scene.time] if scene.time != "day" else [])]
    tags += [scene.weather] if scene.weather != "clear" else []
    return ", ".join([*tags, pick(STYLE_PHRASES[scene.style])])


def caption(scene: Scene, rng: Random) -> str:
    """A random caption, as training wants them: short, short with style, long with tags, or only the things."""
    kind = rng.random()
    if kind < 0.4:
        return describe(scene, rng)
    if kind < 0.7:
        return f"{describe(scene, rng)}, {rng.choice(STYLE_PHRASES[scene.style])}"
    return tagged(scene, rng) if kind < 0.9 else _objects(scene, rng)


def facts(scene: Scene, rng: Random | None = None) -> list[Fact]:
    """Everything a picture of the scene must show, one Fact a keyword, in the order people say it.

    Of the relations that hold one is stated: with `rng` any of them, without it the first.
    """
    found = [_thing_fact(name, colour, count) for (name, colour), count in scene.counts().items()]
    relation = _stated_relation(scene, rng)
    if relation:
        i, kind, j = relation
        first, second = scene.things[i].concept, scene.things[j].concept
        text = f"{first} {RELATION_PHRASES[kind][0]} {article(second)}"
        found.append(Fact("relation", text, first, relation=kind, other=second))
    found.append(Fact("background", scene.background, value=scene.background))
    if scene.time != "day":
        found.append(Fact("time", scene.time, value=scene.time))
    if scene.weather != "clear":
        found.append(Fact("weather", scene.weather, value=scene.weather))
    return found


def _thing_fact(name: str, colour: str | None, count: int) -> Fact:
    phrase = named(name, colour, count)
    text = phrase if count > 1 else phrase.split(" ", 1)[1]
    return Fact("count" if count > 1 else "colour" if colour else "object", text, name, colour, count)


def _stated_relation(scene: Scene, rng: Random | None = None) -> tuple[int, Relation, int] | None:
    holding = list(relations(scene))
    if not holding or len(scene.counts()) > 3:
        return None
    return rng.choice(holding) if rng else holding[0]


def _objects(scene: Scene, rng: Random | None) -> str:
    pick = rng.choice if rng else _first
    groups = [(name, named(name, colour, count)) for (name, colour), count in scene.counts().items()]
    relation = _stated_relation(scene, rng)
    if relation and (rng is None or rng.random() < 0.75):
        i, kind, j = relation
        first, second = (dict(groups)[scene.things[k].concept] for k in (i, j))
        rest = [phrase for _, phrase in groups if phrase not in (first, second)]
        return _listed([f"{first} {pick(RELATION_PHRASES[kind])} {second}", *rest])
    phrases = [phrase for _, phrase in groups]
    if rng:
        rng.shuffle(phrases)
    return _listed(phrases)


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _first(options: tuple[str, ...]) -> str:
    return options[0]


def phrase(fact: Fact, rng: Random) -> str:
    """The fact's text in a random phrasing: «in the snow» for «snow», «a fox» for «fox», «over» for «above»."""
    if fact.kind == "relation":
        assert fact.relation is not None
        return f"{fact.concept} {rng.choice(RELATION_PHRASES[fact.relation])} {article(fact.other)}"
    if fact.kind in ("object", "colour"):
        return article(fact.text) if rng.random() < 0.4 else fact.text
    phrases = {"background": BACKGROUNDS, "time": TIMES, "weather": WEATHERS, "style": STYLE_PHRASES}
    options = phrases.get(fact.kind, {}).get(fact.value, ())
    return rng.choice((fact.text, *options))
