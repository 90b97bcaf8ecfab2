"""Learn, draw with it, forget it: what an evaluation does over and over on one model in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from limner.backends.diffusion import DiffusionModel
from limner.concept import Concept, Kind
from limner.concept_file import rounded
from limner.protocols import DrawRequest
from limner.train.concept.lesson import prepare, study
from limner.train.concept.options import Options
from limner.types import Picture


def taught(
    model: DiffusionModel, picture: Picture, name: str, kind: Kind, like: str, chosen: Mapping[str, Any], seed: int
) -> Concept:
    """The concept of one picture, learned on `model`, which is afterwards as it was. `chosen` are `Options`' fields."""
    options = Options(name, kind=kind, like=like, seed=seed, **chosen)
    lesson = prepare(model.loaded, picture, options, base=model.name, known_words=model.known_words)
    try:
        for _ in study(lesson, None):
            pass
        return rounded(lesson.concept())
    finally:
        lesson.student.dismiss()


def drawer(model: DiffusionModel, concept: Concept) -> Callable[[Sequence[str], Sequence[int]], list[Picture]]:
    """Draws prompts with a concept, at the guidance that it was learned with if its method guides."""
    guided = "negative" in concept.words
    guidance = concept.about.guidance if guided else model.default_guidance

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Picture]:
        model.loaded.prompts.rack.find = {concept.name: concept}.__getitem__
        sheet = DrawRequest("", 0, model.default_steps, guidance, *model.default_size)
        pairs = zip(prompts, seeds, strict=True)
        return model.draw([replace(sheet, prompt=prompt, seed=seed) for prompt, seed in pairs])

    return draw
