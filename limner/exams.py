"""Measuring as users ask for it: one method a paper's tables, and one for the picture world's."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limner.types import BadInput, Event

if TYPE_CHECKING:
    from limner.config import Settings
    from limner.toolbox import Toolbox


class Exams:
    """The measurements, under one set of settings. Making one loads nothing."""

    def __init__(self, settings: Settings, tools: Toolbox) -> None:
        self.settings, self.tools = settings, tools

    def world(
        self,
        count: int,
        seeds: int,
        only: Literal["drawing", "eyes", "all"] = "all",
        tasks: Sequence[str] = (),
    ) -> Generator[Event, None, dict[str, Any]]:
        """How well the model obeys, by the world's judge, `count` pictures a task with each of `seeds` seeds.

        Then how well the profile's eyes see as many rendered scenes; `tasks` are some of drawing, and leave the eyes
        out. Returns {"model", "rows", "eyes"}. Raises BadInput for an unknown task.
        """
        from limner.measure import check_tasks, measure_eyes, measure_world

        check_tasks(tasks)
        if tasks and only == "eyes":
            raise BadInput("tasks are of drawing, and only eyes are to be measured", "leave out --only or --task")
        told: dict[str, Any] = {"model": self.tools.profile.name, "rows": [], "eyes": []}
        if only != "eyes":
            changes = self.settings.model_dump(include={"steps", "guidance"}, exclude_none=True)
            painter = self.tools.painter_of(self.tools.profile, **changes)
            told |= yield from measure_world(painter, count, range(seeds), tasks)
        if only != "drawing" and not tasks:
            told["eyes"] = yield from measure_eyes(*self.tools.eyes_here, count, range(seeds))
        return told

    def gptdrawer(self, count: int, whole: bool = False) -> Generator[Event, None, tuple[dict[str, Any], str]]:
        """What the refinement is worth on `count` scenes: JSON values, and the tables as text.

        `whole` takes scenes only that have a coloured thing and a side.
        """
        from limner.measure import measure_gptdrawer

        options = self.tools.draw_options("any")  # every scene puts its own prompt in
        return (yield from measure_gptdrawer(self.tools.models, options, count, whole))

    def dialogpaint(
        self, count: int, dialogues: int, only: Literal["edits", "dialogue", "all"] = "all"
    ) -> Generator[Event, None, tuple[dict[str, Any], dict[str, Any]]]:
        """How well edits of `count` held-out scenes succeed, and how well so many `dialogues` are understood.

        Returns JSON values, and both tables' rows.
        """
        from limner.measure import measure_dialogpaint, measure_dialogue

        report: dict[str, Any] = {}
        tables: dict[str, Any] = {"rows": [], "dialogue": []}
        if only != "dialogue":
            yield Event("load", f"loading {self.tools.profile.name}")
            report, edits = yield from measure_dialogpaint(self.tools.edit_models, count, self.settings.seed or 0)
            tables |= edits
        if only != "edits":
            tables["dialogue"] = yield from measure_dialogue(self.tools.talkers, dialogues)
        return report | {"dialogue": tables["dialogue"]}, tables

    def dreamartist(
        self,
        count: int,
        seeds: int,
        only: Literal["methods", "gamma", "lengths", "decoders", "all"],
        options: Mapping[str, Any],
    ) -> Generator[Event, None, tuple[dict[str, Any], list[dict[str, Any]]]]:
        """DreamArtist's tables on `count` pictures of what the model never saw: JSON values, and rows for a table.

        Lessons have the profile's `options` where these are None.
        """
        from limner.backends.vision import TwoTowerScorer
        from limner.measure import measure_dreamartist

        yield Event("load", f"loading {self.tools.profile.name}")
        scorer = self.tools.scorer
        if not isinstance(scorer, TwoTowerScorer):
            raise BadInput(f"{scorer.name} gives no features of pictures alone", "score with a CLIP model")
        parts: list[Literal["methods", "gamma", "lengths", "decoders"]] = (
            ["methods", "gamma", "lengths", "decoders"] if only == "all" else [only]
        )
        given = {name: value for name, value in options.items() if value is not None}
        chosen = self.tools.profile.learning.model_dump(exclude_none=True) | given
        return (yield from measure_dreamartist(self.tools.painter, scorer, count, parts, range(seeds), chosen))

    def chatgenimage(
        self, dataset: Path, *, count: int, tests: int, seeds: int, steps: int
    ) -> Generator[Event, None, tuple[dict[str, Any], dict[str, Any]]]:
        """What a dataset of `limner synth` is worth to small detectors: JSON values, and both tables' rows."""
        from limner.evaluate.detector_sets import job_folder
        from limner.measure import measure_chatgenimage

        job_folder(dataset)  # what is no dataset is refused before anything is loaded
        yield Event("load", f"loading the detector of {self.tools.profile.name}")
        detector = self.tools.eyes_here[0]
        work = measure_chatgenimage(dataset, detector, count=count, tests=tests, seeds=range(seeds), steps=steps)
        return (yield from work)
