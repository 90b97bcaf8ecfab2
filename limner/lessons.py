"""Learning a concept as a user asks for it: the picture made ready, looks on the way, and the concept on the shelf.

A lesson's state lies in a folder of its own until it is finished, so that a killed one goes on when it is asked for
again; one that is stopped leaves what it has learned by then on the shelf.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner import findings
from limner.concept import Concept, check_name
from limner.concept_file import fingerprint, rounded
from limner.config import Settings
from limner.image import contact_sheet, open_picture, save_png
from limner.image.fit import fitted, thumbnail
from limner.look import named_things
from limner.protocols import DrawRequest, Mask
from limner.shelf import Shelf
from limner.staging import check_target
from limner.toolbox import Toolbox
from limner.types import BadInput, Event, LimnerError, Picture

if TYPE_CHECKING:
    from limner.backends.diffusion import DiffusionModel
    from limner.train.concept.lesson import Lesson
    from limner.train.concept.options import Options

_PASSING = ("seconds", "minutes", "preview_every")
"""Settings that change nothing of what is learned."""

LOOKS = ("{}", "{} in the snow", "{} on the beach", "{} at night")
"""What a preview shows, where the model can read it."""


class Lessons:
    """The concepts under one set of settings, and how they are learned. Nothing is opened before it is asked for."""

    def __init__(self, settings: Settings, tools: Toolbox) -> None:
        self.settings, self.tools = settings, tools

    @cached_property
    def shelf(self) -> Shelf:
        """The user's concepts."""
        return self.tools.shelf

    def learn(
        self,
        file: Path,
        name: str,
        chosen: dict[str, Any],
        *,
        box: str | None = None,
        mask: Path | None = None,
        previews: Path | None = None,
        again: bool = False,
    ) -> Generator[Event, None, dict[str, Any]]:
        """Teach a concept from one picture and put it on the shelf; returns {"name", "word", "file", "steps", ...}.

        `chosen` are fields of `Options` that were given. `box` (x0,y0,x1,y1 in pixels of the file's picture) or `mask`
        say what in it is to be learned. `previews` gets a sheet of what is drawn with it at the end, and on the way
        where `preview_every` says so; then «preview» events tell of it too: `step`, `prompts`, and the `pictures`.
        `again` replaces a concept of this name. Raises BadInput before any model is loaded where it can; what is
        learned when it is closed or fails on the way stays on the shelf.
        """
        options = self._options(name, chosen)
        picture = open_picture(file)
        where = findings.given_mask(picture, box, mask)
        if previews:
            check_target(previews)
        return (yield from self._learn(picture, where, options, previews, again))

    def learn_picture(
        self, picture: Picture, name: str, chosen: Mapping[str, Any]
    ) -> Generator[Event, None, dict[str, Any]]:
        """Teach a concept from a picture, like `learn`, so that nothing of it depends on the clock: as turns are kept.

        Learned again with the same picture and settings on the same machine, its file has the same bytes. Returns
        {"name", "like", "method", "steps", "settings", "reference", "concept"}, the last the sha256 of the file.
        """
        yield from self._learn(picture, None, self._options(name, chosen), None, again=False)
        concept = self.shelf.get(name)
        settings = {key: value for key, value in concept.about.settings.items() if key not in _PASSING}
        about = replace(concept.about, settings=settings)
        file = self.shelf.put(replace(concept, about=about), replace=True)
        told: dict[str, Any] = {"name": name, "like": about.like, "method": about.method, "steps": settings["steps"]}
        return told | {"settings": settings, "reference": about.reference, "concept": fingerprint(file)}

    def _options(self, name: str, chosen: Mapping[str, Any]) -> Options:
        from limner.train.concept.options import Options

        wanted = self.tools.profile.learning.model_dump(exclude_none=True)
        wanted |= {key: value for key, value in chosen.items() if value is not None} | {"name": check_name(name)}
        wanted |= {key: tuple(wanted[key]) for key in ("targets", "text_targets") if key in wanted}  # JSON has lists
        return Options(**wanted)

    def _learn(
        self, picture: Picture, where: Mask | None, options: Options, previews: Path | None, again: bool
    ) -> Generator[Event, None, dict[str, Any]]:
        name = options.name
        if name in self.shelf.names() and not again and not self._unfinished(name):
            raise BadInput(f"<{name}> is known already", "--again replaces it, or choose another --name")
        yield Event("load", f"loading {self.tools.profile.name}")
        model = self.tools.painter_of(self.tools.profile)  # its own: what is learned must not touch what is drawn with
        picture, where = fitted(picture, where, model.default_size)
        options = replace(options, like=options.like or self._like(picture, model))
        lesson = yield from self._prepared(model, picture, where, options)
        return (yield from self._study(model, lesson, picture, previews))

    def rows(self) -> list[dict[str, Any]]:
        """What is on the shelf, a row a file."""
        return self.shelf.rows()

    def show(self, name: str) -> dict[str, Any]:
        """How a concept was learned, and the sizes of what it holds."""
        concept = self.shelf.get(name)
        sizes = {side: {part: len(rows) for part, rows in table.items()} for side, table in concept.words.items()}
        adapters = {side: len(table) for side, table in concept.adapters.items()}
        told = {"name": concept.name, "word": concept.word, "file": str(self.shelf.path(name))}
        return told | {"words": sizes, "adapters": adapters, "changes": len(concept.changes)} | asdict(concept.about)

    def export(self, name: str, form: str, out: Path) -> dict[str, Any]:
        """Write a concept for other programs into a folder; returns {"files", "left_out"}.

        Raises BadInput for a name that is taken there.
        """
        from limner import concept_file, concept_formats

        concept = self.shelf.get(name)
        out.mkdir(parents=True, exist_ok=True)
        if form != "limner":
            other: Any = form
            written = [str(path) for path in concept_formats.export(concept, other, out)]
            return {"files": written, "left_out": list(concept_formats.left_out(concept, other))}
        target = out / f"{concept.name}.safetensors"
        if target.exists():
            raise BadInput(f"{target} already exists", "name another folder with --out")
        concept_file.save(concept, target)
        return {"files": [str(target)], "left_out": []}

    def take_over(self, files: Sequence[Path], name: str, *, like: str, unsafe: bool, again: bool) -> dict[str, Any]:
        """Put what other programs wrote onto the shelf; returns {"name", "matched", "of", "unknown", "file"}.

        Pickled files are opened only if `unsafe`, and then only for tensors. Raises BadInput for what matches nothing.
        """
        from limner import concept_formats
        from limner.backends.pickled import read_embedding

        name = check_name(name)
        if name in self.shelf.names() and not again:
            raise BadInput(f"<{name}> is known already", "--again replaces it, or choose another --name")
        weights = self.tools.painter.loaded.prompts.rack.weights()
        shapes = {path: tuple(weight.shape) for path, weight in weights.items()}
        unpickle = partial(read_embedding, allow=unsafe)
        wanted = [file for file in files if file.name != "adapter_config.json"]  # PEFT's, read with its weights
        concept, matched = concept_formats.read_foreign(wanted, name, shapes, unpickle=unpickle)
        about = replace(concept.about, like=like or concept.about.like)
        file = self.shelf.put(replace(concept, about=about), replace=True)
        counts = {"matched": matched.found, "of": matched.total, "unknown": list(matched.unknown)}
        return {"name": name, "file": str(file)} | counts

    def remove(self, name: str) -> None:
        """Take a concept off the shelf."""
        self.shelf.remove(name)

    def _unfinished(self, name: str) -> bool:
        return (self._folder(name) / "state.safetensors").is_file()

    def _folder(self, name: str) -> Path:
        return self.settings.data / "lessons" / name

    def _like(self, picture: Picture, model: DiffusionModel) -> str:
        """Words to begin from, where none were given: the first thing that the captioner names, if it is here."""
        _, _, captioner = self.tools.eyes_here
        if captioner is None:
            return ""
        found = named_things(captioner.caption([picture])[0])
        return next((thing for thing in found if not model.unknown_words(thing)), "")

    def _prepared(
        self, model: DiffusionModel, picture: Picture, where: Mask | None, options: Options
    ) -> Generator[Event, None, Lesson]:
        from limner.train.concept.lesson import prepare

        others: list[Picture] = []
        if options.regularise:
            if not options.like:
                raise BadInput("--regularise draws pictures of --like", "say what it is like, such as --like robot")
            yield Event("load", f"drawing {options.regularise} pictures of {options.like}")
            requests = self._requests(model, [options.like] * options.regularise, options.seed, None)
            others = model.draw(requests, on_step=self._wanted)
        try:
            return prepare(
                model.loaded, picture, options, mask=where, others=others, base=self.tools.profile.name,
                known_words=model.known_words,
            )  # fmt: skip
        except ValueError as error:
            raise LimnerError(f"{self.tools.profile.name} cannot learn: {error}") from error

    def _study(
        self, model: DiffusionModel, lesson: Lesson, picture: Picture, previews: Path | None
    ) -> Generator[Event, None, dict[str, Any]]:
        """Run the lesson with looks in between. What it has learned goes onto the shelf, however it ends."""
        from limner.train.concept.lesson import study

        folder, every = self._folder(lesson.options.name), lesson.options.preview_every
        try:
            with closing(study(lesson, folder)) as work:
                for event in work:
                    yield event
                    if every and event.done % every == 0 and event.done < event.total:
                        yield self._look(model, lesson, picture, previews)
        except BaseException as end:
            if isinstance(end, LimnerError) or not isinstance(end, Exception):  # stopped: no fault of ours spoilt it
                self._keep(lesson, picture)
            raise
        kept = self._keep(lesson, picture)
        if previews:
            self._look(model, lesson, picture, previews)
        shutil.rmtree(folder, ignore_errors=True)
        return _report(kept, self.shelf.path(kept.name), previews)

    def _keep(self, lesson: Lesson, picture: Picture) -> Concept:
        """Put what was learned so far onto the shelf, if anything was."""
        concept = replace(rounded(lesson.concept()), preview=thumbnail(picture))
        if lesson.step:
            self.shelf.put(concept, replace=True)
        return concept

    def _look(self, model: DiffusionModel, lesson: Lesson, picture: Picture, file: Path | None) -> Event:
        """Draw with what is known by now: the event that shows it, and a sheet of it beside what is learned from."""
        concept = replace(rounded(lesson.concept()), name=f"{lesson.options.name}-now")
        prompts = [look.format(f"a {concept.word}") for look in LOOKS if not model.unknown_words(look.format(""))]
        rack = model.loaded.prompts.rack
        before, rack.find = rack.find, {concept.name: concept}.__getitem__
        try:
            with lesson.student.resting():
                requests = self._requests(model, prompts, lesson.options.seed, lesson.options)
                drawn = model.draw(requests, on_step=self._wanted)
        finally:
            rack.find = before
        captions = [prompt.replace("-now", "") for prompt in prompts]
        if file:
            save_png(file, contact_sheet([picture, *drawn], ["learned from", *captions], columns=1 + len(captions)))
        shown = {"step": lesson.step, "prompts": captions, "pictures": drawn}
        return Event("preview", f"drawn with what is known after {lesson.step} steps", data=shown)

    def _wanted(self, _done: int, _total: int) -> None:
        """Between two steps of what is drawn here."""
        self.tools.pause()

    def _requests(
        self, model: DiffusionModel, prompts: list[str], seed: int, options: Options | None
    ) -> list[DrawRequest]:
        guidance = options.guidance if options is not None and options.how.guided else model.default_guidance
        size = model.default_size
        return [
            DrawRequest(prompt, seed + place, model.default_steps, guidance, *size)
            for place, prompt in enumerate(prompts)
        ]


def _report(concept: Concept, file: Path, previews: Path | None) -> dict[str, Any]:
    settings = concept.about.settings
    told: dict[str, Any] = {"name": concept.name, "word": concept.word, "file": str(file), "like": concept.about.like}
    told |= {"method": concept.about.method, "guidance": concept.about.guidance}
    told |= {"steps": settings["steps"], "seconds": settings["seconds"], "loss": concept.about.curve[-1][1]}
    return told | {"previews": str(previews) if previews else None}
