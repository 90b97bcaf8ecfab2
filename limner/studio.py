"""The composition root: settings in, models loaded when first needed, one method per user verb.

Methods return JSON-able values, or generators of Events that return them; `cli` and `server` show them.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Generator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner import __version__
from limner.backends import hardware
from limner.config import Profile, Settings, load_profile, profile_names
from limner.protocols import LanguageModel, Models, TextToImage
from limner.staging import free_name, staged_folder
from limner.types import Event

if TYPE_CHECKING:
    from limner.draw import DrawOptions

OUT = Path("limner-out")
_KNOWN = ("concepts", "colours", "backgrounds", "times", "weathers", "styles", "thresholds")
_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


class Studio:
    """Everything a user can ask for, under one set of settings. Making one loads nothing."""

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
        libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        return {"limner": __version__, **libraries, "device": self.plan.device, "precision": self.plan.precision}

    @cached_property
    def profile(self) -> Profile:
        """The profile that `--model` and `--scorer` name."""
        return load_profile(self.settings.model, self.settings.scorer)

    @cached_property
    def models(self) -> Models:
        """The models of the profile, loaded. Raises ModelUnavailable, which says what is missing."""
        from limner.backends.vision import load_scorer

        language = self._language_model()  # first, for a wrong name is told at once
        painter = self._painter(self.profile)
        return Models(painter, load_scorer(self.profile.scorer.source, plan=self.plan), language)

    def draw(self, prompt: str) -> Generator[Event, None, dict[str, Any]]:
        """Draw a prompt into a new folder; returns the report that `--json` prints. Raises as `limner.draw.draw`."""
        from limner import gallery
        from limner.draw import draw
        from limner.prompt import check_prompt

        options = self._options(check_prompt(prompt))
        target = self.settings.out or free_name(OUT, gallery.slug(prompt))
        with staged_folder(target) as folder:
            yield Event("load", f"loading {self.profile.name}")
            result = yield from draw(self.models, options)
            told = gallery.report(result, target)
            gallery.save_drawing(result, folder, told, self.versions if self.settings.metadata else None)
        return told

    def draw_again(self, file: Path) -> Generator[Event, None, dict[str, Any]]:
        """Draw the picture of a file again from the recipe inside it, into a new folder.

        `--model`, `--seed`, `--steps`, `--guidance` and `--size` change the recipe where they were given. Returns
        the new file and whether its pixels are the old ones. Raises BadInput for a file without a recipe.
        """
        from limner import gallery
        from limner.image import read_recipe

        old = read_recipe(file)
        profile = load_profile(self.settings.model if "model" in self.settings.model_fields_set else old.model)
        target = self.settings.out or free_name(OUT, f"{gallery.slug(file.stem)}-again")
        with staged_folder(target) as folder:
            yield Event("load", f"loading {profile.name}")
            redrawn = gallery.redraw(file, self._painter(profile), self._changes(), self.versions)
            gallery.save_again(folder / gallery.BEST, file, redrawn, metadata=self.settings.metadata)
        yield from (Event("warning", warning) for warning in redrawn.warnings)
        told = {"file": str(target / gallery.BEST), "like": str(file), "same": redrawn.same}
        return told | {"recipe": asdict(redrawn.recipe), "warnings": list(redrawn.warnings)}

    def recipe(self, file: Path) -> dict[str, Any]:
        """How a picture was made. Raises BadInput for a file that does not say."""
        from limner import gallery

        return gallery.told_by(file)

    def _changes(self) -> dict[str, Any]:
        """The fields of a recipe that were set explicitly."""
        given = self.settings.model_dump(include={"seed", "steps", "guidance"}, exclude_none=True)
        width, height = self.settings.size or (None, None)
        return given | ({"width": width, "height": height} if self.settings.size else {})

    def _options(self, prompt: str) -> DrawOptions:
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
            width=width,
            height=height,
            baseline=wanted.baseline,
        )

    def _language_model(self) -> LanguageModel:
        from limner.backends.language import load_language_model
        from limner.world.vocabulary import CONCEPTS

        key = self.settings.openai_api_key
        return load_language_model(
            self.settings.llm,
            base_url=self.settings.openai_base_url,
            api_key=key.get_secret_value() if key else None,
            device=self.plan.device,
            timeout_s=self.settings.llm_timeout,
            categories={name: concept.general for name, concept in CONCEPTS.items()},
        )

    def _painter(self, profile: Profile, **changes: Any) -> TextToImage:
        from limner.backends.diffusion import load_text_to_image

        role = profile.text_to_image
        defaults = role.model_dump(include={"steps", "guidance", "size"}, exclude_none=True)
        return load_text_to_image(role.source, plan=self.plan, name=profile.name, **(defaults | changes))

    def models_list(self) -> list[dict[str, Any]]:
        """Every profile, with whether its models are on this machine already."""
        profiles = [load_profile(name) for name in profile_names()]
        return [{"name": p.name, "here": _all_here(p), "description": p.description} for p in profiles]

    def models_show(self, name: str) -> dict[str, Any]:
        """One profile and, for a model with a closed vocabulary, all that it knows."""
        profile = load_profile(name, self.settings.scorer)
        return profile.model_dump(exclude_none=True) | {"here": _all_here(profile), "knows": _vocabulary(profile)}

    def doctor(self) -> dict[str, Any]:
        """What this installation is and has, and how it would run here."""
        from huggingface_hub import constants

        return {
            "python": platform.python_version(),
            "versions": self.versions,
            "machine": f"{platform.system()} {platform.machine()}, {hardware.available_cores()} cores for this process",
            "threads": self.plan.threads,
            "reason": self.plan.reason,
            "profile": self.profile.name,
            "models_here": _all_here(self.profile),
            "language_model": self.settings.llm,
            "cache": str(self.settings.cache),
            "hub_cache": constants.HF_HUB_CACHE,
            "hub_offline": constants.HF_HUB_OFFLINE,
        }

    def eval_world(self, count: int, seeds: int) -> Generator[Event, None, dict[str, Any]]:
        """How well the model obeys, by the world's judge, `count` pictures a task with each of `seeds` seeds."""
        from limner.measure import measure_world

        changes = self.settings.model_dump(include={"steps", "guidance"}, exclude_none=True)
        return (yield from measure_world(self._painter(self.profile, **changes), count, range(seeds)))

    def eval_gptdrawer(self, count: int) -> Generator[Event, None, tuple[dict[str, Any], str]]:
        """What the refinement is worth on `count` scenes: JSON values, and the tables as text."""
        from limner.measure import measure_gptdrawer

        options = self._options("any")  # every scene puts its own prompt in
        return (yield from measure_gptdrawer(self.models, options, count))

    def world_show(self, out: Path, *, seed: int, stage: str, style: str | None, size: int) -> dict[str, Any]:
        """One random scene of the picture world, saved to `out`, with its caption, facts and boxes."""
        from limner import scenes
        from limner.image import save_png

        picture, known = scenes.make_scene(seed, stage, style, size)
        save_png(out, picture)
        return {"file": str(out), **known}

    def world_sample(
        self, out: Path, *, count: int, seed: int, stage: str, style: str | None, size: int
    ) -> Generator[Event, None, dict[str, Any]]:
        """Many random scenes into a new folder."""
        from limner import scenes

        return scenes.sample_folder(out, count=count, seed=seed, stage=stage, style=style, size=size)

    def world_splits(self) -> dict[str, Any]:
        """What training never sees."""
        from limner import scenes

        return scenes.splits()

    def world_fetch(self) -> list[str]:
        """Bring the world's art into the cache; returns the folders."""
        from limner.world.art import fetch_art

        return [str(folder) for folder in fetch_art()]


def _all_here(profile: Profile) -> bool:
    return _is_here(profile.text_to_image.source) and _is_here(profile.scorer.source)


def _is_here(source: str) -> bool:
    """Whether a source can be loaded without fetching anything."""
    from huggingface_hub import constants

    cached = Path(constants.HF_HUB_CACHE) / f"models--{source.replace('/', '--')}"
    return _local(source).is_dir() or cached.is_dir()


def _local(source: str) -> Path:
    from limner.backends.hub import WEIGHTS

    return WEIGHTS / source.removeprefix("embedded:") if source.startswith("embedded:") else Path(source)


def _vocabulary(profile: Profile) -> dict[str, list[str]]:
    """What the embedded models know; other models have an open vocabulary."""
    file = _local(profile.text_to_image.source).parent / "vocabulary.json"
    known: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: known[name] for name in _KNOWN if name in known}
