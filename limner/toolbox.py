"""From settings to models: each is loaded when it is first needed, and only then.

Making a Toolbox loads nothing. `studio` asks it for the bundle that a verb wants.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner import __version__
from limner.backends import hardware
from limner.config import Profile, Settings, load_profile
from limner.protocols import (
    Captioner,
    Detector,
    EditModels,
    Eyes,
    Hands,
    ImageTextScorer,
    Inpainter,
    LanguageModel,
    Mender,
    Models,
    Segmenter,
)
from limner.shelf import Shelf
from limner.writers import with_writer

if TYPE_CHECKING:
    from limner.backends.diffusion import DiffusionModel
    from limner.draw import DrawOptions

_KNOWN = ("concepts", "colours", "backgrounds", "times", "weathers", "styles", "thresholds")
_WEIGHTS = Path(__file__).parent / "world" / "weights"  # as in backends.hub, which takes seconds to import
_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


class Toolbox:
    """The models of one profile under one set of settings. Loading raises ModelUnavailable, saying what is missing."""

    def __init__(self, settings: Settings) -> None:
        hardware.prepare_threads()
        self.settings = settings

    @cached_property
    def plan(self) -> hardware.Plan:
        """Device, threads and precision, decided once."""
        wanted = self.settings
        return hardware.plan(
            wanted.device, wanted.precision, threads=wanted.threads, workers=wanted.workers, cache=wanted.cache
        )

    @cached_property
    def versions(self) -> dict[str, str]:
        """What decides, besides the recipe, which bytes a picture gets."""
        return {"limner": __version__, **_versions(), "device": self.plan.device, "precision": self.plan.precision}

    @cached_property
    def profile(self) -> Profile:
        """The profile that `--model` and `--scorer` name."""
        return load_profile(self.settings.model, self.settings.scorer)

    def draw_options(self, prompt: str) -> DrawOptions:
        """How to draw a prompt under these settings."""
        from limner.draw import DrawOptions

        wanted = self.settings
        width, height = wanted.size or (None, None)
        least = self.profile.scorer.threshold if wanted.threshold is None else wanted.threshold
        return DrawOptions(
            prompt=prompt,
            count=wanted.count,
            rounds=wanted.rounds,
            threshold=least,
            seed=wanted.seed,
            steps=wanted.steps,
            guidance=wanted.guidance,
            negative_prompt=wanted.negative_prompt,
            width=width,
            height=height,
            baseline=wanted.baseline,
        )

    @cached_property
    def shelf(self) -> Shelf:
        """The user's concepts."""
        return Shelf(self.settings.data / "concepts")

    @cached_property
    def language(self) -> LanguageModel:
        """The language model that `--llm` names; a trained writer rewrites prompts for it, see `writers`."""
        return with_writer(self.language_called(self.settings.llm), self.settings.writer, lambda: self.plan)

    def language_called(self, name: str) -> LanguageModel:
        """The language model of any name, with the settings' key, address and patience."""
        from limner.backends.language import load_language_model
        from limner.world.vocabulary import CONCEPTS

        key = self.settings.openai_api_key
        return load_language_model(
            name,
            base_url=self.settings.openai_base_url,
            api_key=key.get_secret_value() if key else None,
            device=self.plan.device,
            timeout_s=self.settings.llm_timeout,
            categories={name: concept.general for name, concept in CONCEPTS.items()},
        )

    @property
    def talkers(self) -> list[LanguageModel]:
        """Who can say whether a request is clear: the rules, the embedded model, and the one that `--llm` names."""
        here = ["rules", "embedded"] if is_here("embedded:dialogue") else ["rules"]
        names = list(dict.fromkeys([*here, self.settings.llm]))
        return [self.language_called(name) for name in names]

    @cached_property
    def scorer(self) -> ImageTextScorer:
        """The model that says how well texts fit pictures."""
        from limner.backends.vision import load_scorer

        return load_scorer(self.profile.scorer.source, plan=self.plan)

    @cached_property
    def painter(self) -> DiffusionModel:
        """The text-to-image model of the profile, with its defaults."""
        return self.painter_of(self.profile)

    def painter_of(self, profile: Profile, **changes: Any) -> DiffusionModel:
        """The text-to-image model of any profile; `changes` (steps, guidance) replace the profile's defaults."""
        from limner.backends.diffusion import load_text_to_image
        from limner.backends.notes import Notes

        role = profile.text_to_image
        defaults = role.model_dump(include={"steps", "guidance", "size", "rivals"}, exclude_none=True)
        notes = Notes(self.settings.cache / "batches.json")
        model = load_text_to_image(role.source, plan=self.plan, name=profile.name, notes=notes, **(defaults | changes))
        model.loaded.prompts.rack.find = self.shelf.get
        return model

    def pause(self) -> None:
        """Called now and then by what takes long: where a job may end that is not wanted any more."""

    @cached_property
    def models(self) -> Models:
        """All that drawing needs; the language model first, for a wrong name is told at once.

        The detector checks relations where it is on this machine: drawing does not wait for one to be fetched.
        """
        language = self.language
        detector = self.detector if is_here(self.profile.detector.source) else None
        return Models(self.painter, self.scorer, language, detector, self.mender)

    @property
    def mender(self) -> Callable[[], Mender] | None:
        """Loads what puts things into pictures; None where the segmenter would have to be fetched."""
        if not is_here(self.profile.segmenter.source):
            return None
        return lambda: Mender(self.segmenter, self.inpainter)

    @cached_property
    def detector(self) -> Detector:
        """The model that finds what words name, with the profile's threshold where it has one."""
        from limner.backends.detector import load_detector

        role = self.profile.detector
        detector = load_detector(role.source, plan=self.plan)
        if role.threshold is not None:
            detector.threshold = role.threshold
        return detector

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model that cuts out what stands in a box."""
        from limner.backends.segmenter import load_segmenter

        return load_segmenter(self.profile.segmenter.source, plan=self.plan)

    @cached_property
    def captioner(self) -> Captioner:
        """The model that says what a picture shows."""
        from limner.backends.captioner import load_captioner

        return load_captioner(self.profile.captioner.source, plan=self.plan)

    @cached_property
    def eyes(self) -> Eyes:
        """All that looking needs."""
        return Eyes(self.detector, self.segmenter, self.captioner)

    @property
    def sees(self) -> bool:
        """Whether detector, segmenter and captioner are on this machine."""
        roles = (self.profile.detector, self.profile.segmenter, self.profile.captioner)
        return all(is_here(role.source) for role in roles)

    @property
    def eyes_here(self) -> tuple[Detector | None, Segmenter | None, Captioner | None]:
        """Detector, segmenter and captioner, None for each that would have to be fetched."""
        profile = self.profile
        return (
            self.detector if is_here(profile.detector.source) else None,
            self.segmenter if is_here(profile.segmenter.source) else None,
            self.captioner if is_here(profile.captioner.source) else None,
        )

    @cached_property
    def hands(self) -> Hands:
        """All that changing a picture needs."""
        from limner.backends.editor import load_editor

        editing = self.profile.editor
        asked = editing.model_dump(exclude={"source"}, exclude_none=True)
        editor = load_editor(editing.source, plan=self.plan, name=f"{self.profile.name} editor", **asked)
        editor.loaded.prompts.rack.find = self.shelf.get
        return Hands(editor, self.inpainter)

    @cached_property
    def inpainter(self) -> Inpainter:
        """What fills parts of a picture; it shares the text-to-image model's weights."""
        return inpainter_of(self.painter, self.profile)

    @cached_property
    def edit_models(self) -> EditModels:
        """All that editing needs."""
        return EditModels(self.eyes, self.scorer, self.hands)


def inpainter_of(painter: DiffusionModel, profile: Profile) -> Inpainter:
    """An inpainter over the weights of a profile's text-to-image model."""
    from limner.backends.inpainter import inpainter_from

    filling = profile.text_to_image.model_dump(include={"steps", "guidance", "size"}, exclude_none=True)
    return inpainter_from(painter.loaded, name=profile.name, **filling)


@cache
def _versions() -> dict[str, str]:
    """Of the libraries that decide about bytes; asking takes ten milliseconds, which each job of a server would pay."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def all_here(profile: Profile) -> bool:
    """Whether a profile can draw and score without fetching anything."""
    return all(is_here(role.source) for role in (profile.text_to_image, profile.scorer))


def is_here(source: str) -> bool:
    """Whether the model at a source can be loaded without fetching anything."""
    from huggingface_hub import constants

    cached = Path(constants.HF_HUB_CACHE) / f"models--{source.replace('/', '--')}"
    return _local(source).is_dir() or cached.is_dir()


def _local(source: str) -> Path:
    return _WEIGHTS / source.removeprefix("embedded:") if source.startswith("embedded:") else Path(source)


def vocabulary(profile: Profile) -> dict[str, list[str]]:
    """What the embedded models know; other models have an open vocabulary."""
    file = _local(profile.text_to_image.source).parent / "vocabulary.json"
    known: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: known[name] for name in _KNOWN if name in known}
