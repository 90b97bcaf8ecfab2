"""How well a text-to-image model obeys, measured on the picture world the way GenEval does it.

Every task draws pictures of held-out scenes (object pairs and colour bindings that training never showed) and
asks the world's judge whether the facts of the prompt hold. The judge's score on the same scenes rendered truly,
its ceiling, stands beside every row: a model cannot be measured better than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from random import Random
from statistics import mean, pstdev
from typing import Any, Protocol

from limner.protocols import DrawRequest, TextToImage
from limner.types import Event, Picture
from limner.world.caption import describe, facts, named
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Fact, Scene
from limner.world.vocabulary import STYLE_PHRASES


class FactJudge(Protocol):
    """Says of each picture which of its facts hold; `world.judge.Judge` is one."""

    def judge(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        """One list of verdicts a picture, in the order of its facts."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """One picture to draw and what it must show."""

    prompt: str
    facts: tuple[Fact, ...]
    scene: Scene


@dataclass(frozen=True, slots=True)
class Row:
    """One task's result. Scores are shares of pictures whose facts all hold, 0 to 1.

    `score` is the mean over seeds and `spread` its standard deviation over them (0 for one seed); `low` and
    `high` bound the score at 95 % over all pictures (Wilson). `ceiling` is None when the art is not there to render.
    """

    task: str
    pictures: int
    score: float
    spread: float
    low: float
    high: float
    ceiling: float | None


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of hits (Wilson, 1927)."""
    z, share = 1.96, hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def _plain(palette: Palette) -> Palette:
    """Daylight and clear weather, no colours: what a task does not measure must not disturb it."""
    return replace(palette, tint=0.0, other_time=0.0, weather=0.0)


def single_object(rng: Random, palette: Palette) -> Case:
    """One object."""
    return _case(sample_scene(rng, "single", _plain(palette)), "object")


def two_objects(rng: Random, palette: Palette) -> Case:
    """Two objects of a pair that training never showed together."""
    scene = sample_scene(rng, "pair", _plain(palette), held_out=True)
    both = tuple(fact for fact in facts(scene) if fact.kind == "object")
    names = " and ".join(named(fact.concept, None) for fact in both)
    backdrop = describe(replace(scene, things=scene.things[:1])).split(" ", 1)[1].removeprefix(scene.things[0].concept)
    return Case(f"{names}{backdrop}", both, scene)


def counting(rng: Random, palette: Palette) -> Case:
    """Two to four of a kind."""
    return _case(sample_scene(rng, "count", _plain(palette)), "count")


def colour(rng: Random, palette: Palette) -> Case:
    """One object in a colour that training showed on it."""
    return _case(_until(rng, replace(_plain(palette), tint=1.0), "single", _all_coloured), "colour")


def position(rng: Random, palette: Palette) -> Case:
    """Two objects of a held-out pair, one left of, right of, above, below or in front of the other."""
    scene = _until(rng, _plain(palette), "pair", _has_relation, held_out=True)
    return _case(scene, "object", "relation")


def binding(rng: Random, palette: Palette) -> Case:
    """Two objects in two different colours, (colour, object) bindings that training never showed."""
    scene = _until(rng, replace(_plain(palette), tint=1.0), "pair", _two_colours, held_out=True)
    return _case(scene, "colour")


def background(rng: Random, palette: Palette) -> Case:
    """One object before a background."""
    return _case(sample_scene(rng, "single", _plain(palette)), "background")


def style(rng: Random, palette: Palette) -> Case:
    """One object in one of the drawing styles."""
    scene = sample_scene(rng, "single", _plain(palette))
    words = STYLE_PHRASES[scene.style][0]
    return Case(f"{describe(scene)}, {words}", (Fact("style", words, value=scene.style),), scene)


def time_of_day(rng: Random, palette: Palette) -> Case:
    """One object at sunset or at night."""
    return _case(_until(rng, replace(_plain(palette), other_time=1.0), "single", _not_day), "time")


TASKS: dict[str, Callable[[Random, Palette], Case]] = {
    "single object": single_object,
    "two objects": two_objects,
    "count": counting,
    "colour": colour,
    "position": position,
    "binding": binding,
    "background": background,
    "style": style,
    "time of day": time_of_day,
}


def evaluate_world(
    model: TextToImage,
    judge: FactJudge,
    palette: Palette,
    *,
    tasks: Sequence[str] = tuple(TASKS),
    count: int = 100,
    seeds: Sequence[int] = (0,),
    ceilings: dict[str, float] | None = None,
    with_art: bool = True,
) -> Iterator[Event | Row]:
    """Draw and judge `count` pictures a task and seed; yields progress Events and one Row for each of `tasks`.

    `ceilings` are figures recorded earlier, used where `with_art` is False and nothing can be rendered.
    """
    for number, task in enumerate(tasks):
        shares: list[float] = []
        truths: list[float] = []
        for seed in seeds:
            rng = Random(f"{task}/{seed}")
            cases = [TASKS[task](rng, palette) for _ in range(count)]
            shares.append(_share(judge, draw_cases(model, cases, seed), cases))
            if with_art:
                truths.append(_share(judge, [render(case.scene) for case in cases], cases))
        total = count * len(seeds)
        low, high = wilson(round(mean(shares) * total), total)
        ceiling = mean(truths) if truths else (ceilings or {}).get(task)
        yield Event("eval", task, number + 1, len(tasks))
        yield Row(task, total, mean(shares), pstdev(shares), low, high, ceiling)


def draw_cases(model: TextToImage, cases: Sequence[Case], seed: int) -> list[Picture]:
    """The cases' pictures at the model's own size, steps and guidance; case i has seed 1000 * seed + i."""
    width, height = model.default_size
    steps, guidance = model.default_steps, model.default_guidance
    asked = [
        DrawRequest(c.prompt, 1000 * seed + i, steps, guidance, width, height, model.unwanted(c.prompt))
        for i, c in enumerate(cases)
    ]
    return model.draw(asked)


def to_json(rows: Sequence[Row], model: str) -> dict[str, Any]:
    """The table as one object: {"model", "rows": [{"task", "pictures", "score", ...}]}."""
    return {"model": model, "rows": [asdict(row) for row in rows]}


def _share(judge: FactJudge, pictures: Sequence[Picture], cases: Sequence[Case]) -> float:
    verdicts = judge.judge(pictures, [case.facts for case in cases])
    return mean(float(all(row)) for row in verdicts)


def _case(scene: Scene, *kinds: str) -> Case:
    return Case(describe(scene), tuple(fact for fact in facts(scene) if fact.kind in kinds), scene)


def _until(rng: Random, palette: Palette, stage: str, wanted: Callable[[Scene], bool], held_out: bool = False) -> Scene:
    """The first random scene that is as wanted."""
    while not wanted(scene := sample_scene(rng, stage, palette, held_out=held_out)):
        pass
    return scene


def _all_coloured(scene: Scene) -> bool:
    return all(thing.colour for thing in scene.things)


def _two_colours(scene: Scene) -> bool:
    return _all_coloured(scene) and len({thing.colour for thing in scene.things}) == len(scene.things)


def _has_relation(scene: Scene) -> bool:
    return any(fact.kind == "relation" for fact in facts(scene))


def _not_day(scene: Scene) -> bool:
    return scene.time != "day"
