"""The composition root: settings in, models loaded when first needed, one method per user verb.

Methods return JSON-able values, or generators of Events that return them; `cli` and `server` show them.
"""

from __future__ import annotations

import platform
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.backends import hardware
from limner.config import Settings, load_profile, profile_names
from limner.protocols import Mender
from limner.staging import check_target, free_name, staged_folder
from limner.toolbox import Toolbox, all_here, inpainter_of, vocabulary
from limner.types import BadInput, Change, Event, Picture, Recipe

if TYPE_CHECKING:
    from limner.conversations import Conversations
    from limner.edit import EditOptions
    from limner.exams import Exams
    from limner.factory import Factory
    from limner.lessons import Lessons
    from limner.protocols import Mask

OUT = Path("limner-out")


class Studio:
    """Everything a user can ask for, under one set of settings. Making one loads nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tools = Toolbox(settings)

    @cached_property
    def conversations(self) -> Conversations:
        """The sessions, opened when they are first asked for."""
        from limner.conversations import Conversations

        return Conversations(self.settings)

    @cached_property
    def lessons(self) -> Lessons:
        """The concepts, and how they are learned."""
        from limner.lessons import Lessons

        return Lessons(self.settings, self.tools)

    @cached_property
    def factory(self) -> Factory:
        """The annotated datasets, and how they are made."""
        from limner.factory import Factory

        return Factory(self.settings, self.tools)

    @cached_property
    def exams(self) -> Exams:
        """What measures the models and the methods."""
        from limner.exams import Exams

        return Exams(self.settings, self.tools)

    def draw(self, prompt: str, heatmaps: Path | None = None) -> Generator[Event, None, dict[str, Any]]:
        """Draw a prompt into a new folder; returns the report that `--json` prints. Raises as `limner.draw.draw`.

        `heatmaps` gets a sheet of where the best picture shows each word (see backends.heat); the report names it and
        the words.
        """
        from limner import gallery
        from limner.draw import draw
        from limner.image import save_png
        from limner.prompt import check_prompt

        options = self.tools.draw_options(check_prompt(prompt))
        if heatmaps:
            check_target(heatmaps)
        target = self.settings.out or free_name(OUT, gallery.slug(prompt))
        with staged_folder(target) as folder:
            yield Event("load", f"loading {self.tools.profile.name}")
            result = yield from draw(self.tools.models, options)
            told, sheet = gallery.report(result, target), None
            if heatmaps:
                sheet, words = yield from self._heat(result.best.recipe)
                told |= {"heatmaps": {"file": str(heatmaps), "words": words}}
            gallery.save_drawing(result, folder, told, self.tools.versions if self.settings.metadata else None)
        # After the folder has its name: the file may be meant to lie in it.
        if heatmaps and sheet:
            save_png(heatmaps, sheet)
        return told

    def _heat(self, recipe: Recipe) -> Generator[Event, None, tuple[Picture, list[str]]]:
        """Look again at how a recipe is drawn: the sheet of its words' heat maps, and the words on it."""
        from limner.backends.heat import heat_of
        from limner.image.heat import heat_sheet
        from limner.protocols import DrawRequest

        yield Event("heat", "looking at what each word became")
        asked: dict[str, Any] = {name: getattr(recipe, name) for name in DrawRequest.__dataclass_fields__}
        picture, heat = heat_of(self.tools.painter, DrawRequest(**asked))
        if heat.left_out:
            every = len(heat.words) + len(heat.left_out)
            yield Event("warning", f"heat maps show the first {len(heat.words)} of {every} words")
        return heat_sheet(picture, heat.words, heat.maps), list(heat.words)

    def draw_again(self, file: Path) -> Generator[Event, None, dict[str, Any]]:
        """Draw the picture of a file again from the recipe inside it, into a new folder.

        `--model`, `--seed`, `--steps`, `--guidance`, `--size` and `--negative-prompt` change it where given. Returns
        the new file and whether its pixels are the old ones. Raises BadInput for a file without a recipe and for
        an edited picture.
        """
        from limner import gallery
        from limner.image.metadata import recipe_values

        old = gallery.drawn_by(file)
        profile = load_profile(self.settings.model if "model" in self.settings.model_fields_set else old.model)
        target = self.settings.out or free_name(OUT, f"{gallery.slug(file.stem)}-again")
        with staged_folder(target) as folder:
            yield Event("load", f"loading {profile.name}")
            painter, cuts = self.tools.painter_of(profile), self.tools.mender is not None
            mender = (lambda: Mender(self.tools.segmenter, inpainter_of(painter, profile))) if cuts else None
            redrawn = gallery.redraw(file, painter, self._changes(), self.tools.versions, mender)
            gallery.save_again(folder / gallery.BEST, file, redrawn, metadata=self.settings.metadata)
        yield from (Event("warning", warning) for warning in redrawn.warnings)
        told = {"file": str(target / gallery.BEST), "like": str(file), "same": redrawn.same}
        return told | {"recipe": recipe_values(redrawn.recipe), "warnings": list(redrawn.warnings)}

    def look(self, file: Path, find: str | None, out: Path | None) -> Generator[Event, None, dict[str, Any]]:
        """What a picture shows and where: the report of `findings.look_report`; `out` gets the annotated picture.

        `find` names what to look for, with commas between. Raises BadInput for a file that is no picture.
        """
        from limner import findings
        from limner.image import open_picture
        from limner.look import look, parse_queries

        queries = parse_queries(find) if find is not None else ()
        picture = open_picture(file)
        if out:
            check_target(out)
        yield Event("load", f"loading {self.tools.profile.name}")
        seen = yield from look(self.tools.eyes, picture, queries)
        if out:
            findings.save_annotated(out, seen)
        return findings.look_report(seen)

    def edit(
        self,
        file: Path,
        instruction: str,
        *,
        box: str | None = None,
        mask: Path | None = None,
        compare: Path | None = None,
    ) -> Generator[Event, None, dict[str, Any]]:
        """Change a picture as an instruction says; returns the report of `findings.edit_report`.

        `box` (x0,y0,x1,y1) or `mask` (a picture, bright where it may change) say where, instead of the words;
        `compare` gets before and after side by side. Raises BadInput before any model is loaded where it can.
        """
        from limner import findings, gallery
        from limner.edit import edit
        from limner.image import open_picture
        from limner.understanding import understand

        picture = open_picture(file)
        where = findings.given_mask(picture, box, mask)
        change, fallback = understand(self.tools.language, instruction)
        if fallback:
            yield Event("warning", fallback)
        options = self._edit_options(change, where)
        for named in (self.settings.out, compare):
            if named:
                check_target(named)
        target = self.settings.out or free_name(OUT, f"{gallery.slug(f'{file.stem} {instruction}')}.png")
        yield Event("load", f"loading {self.tools.profile.name}")
        result = yield from edit(self.tools.edit_models, picture, options)
        if not self.settings.out:
            OUT.mkdir(parents=True, exist_ok=True)
        findings.save_edit(target, result, self.tools.hands, self.tools.versions if self.settings.metadata else None)
        if compare:
            findings.save_comparison(compare, result)
        return findings.edit_report(result, target)

    def recipe(self, file: Path) -> dict[str, Any]:
        """How a picture was made. Raises BadInput for a file that does not say."""
        from limner import gallery

        return gallery.told_by(file)

    def _changes(self) -> dict[str, Any]:
        """The fields of a recipe that were set explicitly."""
        given = self.settings.model_dump(include={"seed", "steps", "guidance", "negative_prompt"}, exclude_none=True)
        width, height = self.settings.size or (None, None)
        return given | ({"width": width, "height": height} if self.settings.size else {})

    def _edit_options(self, change: Change, mask: Mask | None) -> EditOptions:
        from limner.edit import EditOptions

        names = {"seed", "steps", "text_guidance", "image_guidance"}
        given = self.settings.model_dump(include=names, exclude_none=True)
        attempts: dict[str, Any] = {} if self.settings.count is None else {"attempts": self.settings.count}
        return EditOptions(change, mask, **given, **attempts)

    def models_list(self) -> list[dict[str, Any]]:
        """Every profile, with whether its models are on this machine already."""
        profiles = [load_profile(name) for name in profile_names()]
        return [{"name": p.name, "here": all_here(p), "description": p.description} for p in profiles]

    def models_show(self, name: str) -> dict[str, Any]:
        """One profile and, for a model with a closed vocabulary, all that it knows."""
        profile = load_profile(name, self.settings.scorer)
        return profile.model_dump(exclude_none=True) | {"here": all_here(profile), "knows": vocabulary(profile)}

    def doctor(self) -> dict[str, Any]:
        """What this installation is and has, and how it would run here."""
        from huggingface_hub import constants

        return {
            "python": platform.python_version(),
            "versions": self.tools.versions,
            "machine": f"{platform.system()} {platform.machine()}, {hardware.available_cores()} cores for this process",
            "threads": self.tools.plan.threads,
            "reason": self.tools.plan.reason,
            "profile": self.tools.profile.name,
            "models_here": all_here(self.tools.profile),
            "language_model": self.settings.llm,
            "cache": str(self.settings.cache),
            "hub_cache": constants.HF_HUB_CACHE,
            "hub_offline": constants.HF_HUB_OFFLINE,
            "sessions": str(self.settings.data),
            "problems": self.conversations.problems() or "none",
        }

    def world_dialogues(
        self, out: Path, *, count: int, held_out: bool, captions: Path | None, edits: bool
    ) -> Generator[Event, None, dict[str, Any]]:
        """Dialogues in a file: the picture world's, or what the language model writes from a file of captions.

        Raises BadInput for `edits` without captions, and where no language model is named that could write.
        """
        from limner import corpora

        seed = self.settings.seed or 0
        if captions is None:
            if edits:
                raise BadInput("--edits needs --captions", "name a file of captions to write them from")
            return (yield from corpora.world_dialogues(out, count=count, seed=seed, held_out=held_out))
        if self.settings.llm in ("rules", "embedded"):
            raise BadInput(f"{self.settings.llm} cannot write dialogues", "name one, such as --llm openai:MODEL")
        return (yield from corpora.written_dialogues(out, captions, self.tools.language, seed=seed, edits=edits))

    def train_dialogue(self, base: str, out: Path, minutes: float, data: Path | None) -> dict[str, Any]:
        """Train the dialogue model: `small` from nothing, or a Blenderbot of a folder or the hub on; see the recipe.

        Raises BadInput for a time that is none and a file that is not there, ModelUnavailable for the base.
        """
        from limner.train.dialogue import train_dialogue

        if not minutes > 0:
            raise BadInput(f"{minutes} minutes", "give more than 0")
        if data is not None and not data.is_file():
            raise BadInput(f"{data} is not there", "`limner world dialogues` makes one")
        return train_dialogue(base, out, minutes, data)

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
