"""Pictures whose worth is known: how much of a prompt they show, and how cleanly they are drawn.

A group is a prompt and pictures of scenes that break none, one or several of its facts, rendered, decoded or half
redrawn. What a picture shows is known from its scene; how clean it is from how it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from limner.protocols import DrawRequest, FillRequest, Inpainter, TextToImage
from limner.train.chimera import spoilt
from limner.types import Picture
from limner.world.caption import caption, describe, facts
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Fact, Scene, is_true
from limner.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    INDOOR_BACKGROUNDS,
    STYLE_PHRASES,
    TIMES,
    WEATHERS,
    binding_held_out,
    concept,
    pair_held_out,
)

PICTURES = 4
"""In a group, as people who rank for HPS are shown them."""

CLEAN, DECODED, SPOILT = 10.0, 8.5, 3.0
"""How clean a render is, the same through the autoencoder, and one with a thing that is half another."""

DRAWN: dict[tuple[int, float], float] = {(20, 3.5): 7.0, (10, 3.5): 6.0, (6, 3.5): 4.0, (20, 1.0): 4.0, (3, 3.5): 1.5}
"""How clean a drawn picture is by steps and guidance."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture: the share of its group's facts that it shows, 0 to 1, and how clean it is, 0 to 10."""

    picture: Picture
    shows: float
    clean: float


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt and PICTURES pictures."""

    prompt: str
    seen: tuple[Seen, ...]


def sample_group(rng: Random, palette: Palette, fill: Inpainter | None = None) -> Group:
    """A group of the training side; with `fill` some of its pictures went through the drawing model."""
    scene = sample_scene(rng, rng.choice(STAGES), palette)
    said = _said(scene, rng)
    true = told(scene, said)
    scenes = [scene, *(broken(scene, rng, palette, rng.choice((1, 1, 2, 3))) for _ in range(PICTURES - 1))]
    seen = [_seen(each, true, rng, palette, said, fill) for each in scenes]
    rng.shuffle(seen)
    return Group(said, tuple(seen))


def _said(scene: Scene, rng: Random) -> str:
    words = caption(scene, rng) if rng.random() < 0.6 else describe(scene, rng)
    return words if rng.random() < 0.5 else f"{words}, {rng.choice(STYLE_PHRASES[scene.style])}, highly detailed"


def told(scene: Scene, said: str) -> list[Fact]:
    """The facts of a scene that a caption of it says; there may be others."""
    phrases = {"background": BACKGROUNDS, "time": TIMES, "weather": WEATHERS, "style": STYLE_PHRASES}
    whole = [*facts(scene), Fact("style", scene.style, value=scene.style)]
    return [f for f in whole if f.kind not in phrases or any(p in said for p in (f.text, *phrases[f.kind][f.value]))]


def _seen(scene: Scene, true: Sequence[Fact], rng: Random, palette: Palette, said: str, fill: Inpainter | None) -> Seen:
    chance = rng.random()
    if chance < 0.15 and len({t.concept for t in scene.things}) == len(scene.things) > 1:
        shown = spoilt(scene, rng, palette)
        return Seen(shown.picture, _share(true, shown.scene), SPOILT)
    picture, share = render(scene), _share(true, scene)
    if fill is not None and chance < 0.17:
        strength = rng.choice((0.1, 0.3, 0.5))
        return Seen(redrawn(fill, picture, said, strength, rng), share, DECODED - 3 * strength)
    if chance < 0.5:
        damaged, clean = damage(picture, rng)
        return Seen(damaged, share, clean)
    return Seen(picture, share, CLEAN)


def _share(true: Sequence[Fact], scene: Scene) -> float:
    return sum(is_true(fact, scene) for fact in true) / len(true)


def broken(scene: Scene, rng: Random, palette: Palette, times: int) -> Scene:
    """The scene with so many random changes, none of which makes anything held out."""
    for _ in range(times):
        change = rng.choice(_CHANGES)
        changed = change(scene, rng, palette)
        scene = changed if _is_known(changed) else scene
    return scene


def _is_known(scene: Scene) -> bool:
    names = {thing.concept for thing in scene.things}
    worn = {(thing.colour, thing.concept) for thing in scene.things if thing.colour}
    return bool(names) and not (
        any(pair_held_out(a, b) for a, b in combinations(names, 2)) or any(binding_held_out(*each) for each in worn)
    )


def _without(scene: Scene, rng: Random, palette: Palette) -> Scene:
    gone = rng.randrange(len(scene.things))
    return replace(scene, things=tuple(t for i, t in enumerate(scene.things) if i != gone))


def _renamed(scene: Scene, rng: Random, palette: Palette) -> Scene:
    old = rng.choice(scene.things)
    name = rng.choice(list(palette.concepts))
    things = (replace(t, concept=name, colour=None) if t is old else t for t in scene.things)
    return replace(scene, things=tuple(things))


def _recoloured(scene: Scene, rng: Random, palette: Palette) -> Scene:
    old = rng.choice(scene.things)
    colour = rng.choice(list(COLOURS)) if concept(old.concept).tintable else old.colour
    return replace(scene, things=tuple(replace(t, colour=colour) if t is old else t for t in scene.things))


def _swapped(scene: Scene, rng: Random, palette: Palette) -> Scene:
    """Colours or places of the first and the last thing exchanged: what a bag of words does not see."""
    first, *rest = scene.things
    if not rest:
        return scene
    last = rest[-1]
    if rng.random() < 0.5 and concept(first.concept).tintable and concept(last.concept).tintable:
        ends = replace(first, colour=last.colour), replace(last, colour=first.colour)
    else:
        ends = replace(first, x=last.x, y=last.y), replace(last, x=first.x, y=first.y)
    return replace(scene, things=(ends[0], *rest[:-1], ends[1]))


def _elsewhere(scene: Scene, rng: Random, palette: Palette) -> Scene:
    name = rng.choice([name for name in palette.backgrounds if name in BACKGROUNDS])
    indoors = {"time": "day", "weather": "clear"} if name in INDOOR_BACKGROUNDS else {}
    return replace(scene, background=name, **indoors)


def _restyled(scene: Scene, rng: Random, palette: Palette) -> Scene:
    style = rng.choice(list(palette.styles))
    return replace(scene, things=tuple(replace(thing, style=style) for thing in scene.things))


def _another_hour(scene: Scene, rng: Random, palette: Palette) -> Scene:
    if scene.background in INDOOR_BACKGROUNDS:
        return scene
    weather = rng.choice(("clear", "rain", "snowfall", "fog"))
    return replace(scene, time=rng.choice(("day", "sunset", "night")), weather=weather)


_CHANGES: tuple[Callable[[Scene, Random, Palette], Scene], ...] = (
    _without,
    _renamed,
    _renamed,
    _recoloured,
    _recoloured,
    _swapped,
    _elsewhere,
    _restyled,
    _another_hour,
)


def damage(picture: Picture, rng: Random) -> tuple[Picture, float]:
    """The picture blurred, noisy, blocky or washed out, and how clean it still is: from 9 for a trace of it to 0."""
    amount = rng.random()
    way = rng.choice((_blurred, _noisy, _blocky, _washed_out))
    return way(picture, amount, rng), 9 * (1 - amount)


def _image(picture: Picture) -> Image.Image:
    return Image.fromarray(picture.pixels)


def _blurred(picture: Picture, amount: float, rng: Random) -> Picture:
    return Picture(np.asarray(_image(picture).filter(ImageFilter.GaussianBlur(0.5 + 4 * amount))).copy())


def _noisy(picture: Picture, amount: float, rng: Random) -> Picture:
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 8 + 90 * amount, picture.pixels.shape)
    return Picture(np.clip(picture.pixels + noise, 0, 255).astype(np.uint8))


def _blocky(picture: Picture, amount: float, rng: Random) -> Picture:
    side = max(6, round(picture.width / (1.5 + 8 * amount)))
    small = _image(picture).resize((side, side), Image.Resampling.BOX)
    return Picture(np.asarray(small.resize((picture.width, picture.height), Image.Resampling.NEAREST)).copy())


def _washed_out(picture: Picture, amount: float, rng: Random) -> Picture:
    grey = np.full_like(picture.pixels, 128, np.float32)
    mixed = picture.pixels * (1 - 0.9 * amount) + grey * 0.9 * amount
    return Picture(np.rint(mixed).astype(np.uint8))


def redrawn(fill: Inpainter, picture: Picture, said: str, strength: float, rng: Random) -> Picture:
    """The picture noised by so much of the schedule and drawn again from there: the model's hand, the scene's truth."""
    whole = np.ones(picture.pixels.shape[:2], np.bool_)
    asked = FillRequest(picture, whole, said, rng.getrandbits(31), 10, fill.default_guidance, strength)
    return fill.fill([asked])[0]


def drawn(painter: TextToImage, rng: Random, palette: Palette, count: int) -> list[tuple[Picture, float]]:
    """Pictures by the drawing model, and how clean they are by the steps and the guidance that they got."""
    made: list[tuple[Picture, float]] = []
    for (steps, guidance), clean in DRAWN.items():
        said = [_said(sample_scene(rng, rng.choice(STAGES), palette), rng) for _ in range(count // len(DRAWN))]
        asked = [DrawRequest(each, rng.getrandbits(31), steps, guidance, *painter.default_size) for each in said]
        made += [(picture, clean) for picture in painter.draw(asked)]
    return made
