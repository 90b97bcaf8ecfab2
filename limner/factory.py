"""Annotated datasets as a user asks for them: settings and classes in, a job run to its end, and the dataset written.

A job goes on where it was left when it is asked for again. What it makes does not depend on how many processes, or
which machines, it was made by: every worker runs its models with as many threads as any other number of them would.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from limner import jobs, ledger
from limner.assemble import JOB, assemble, known_report, write_report
from limner.backends import hardware
from limner.brainstorm import world_vocabulary
from limner.config import Profile, Settings
from limner.crew import Make
from limner.dataset import FORMS, Form, Info, Split, check, convert
from limner.draw import finish
from limner.duplicates import without_duplicates
from limner.licences import licence
from limner.look import parse_queries
from limner.shards import Made, Outcome
from limner.synth import SynthModels, SynthSpec, make_item
from limner.toolbox import Toolbox, vocabulary
from limner.types import BadInput, Event
from limner.workers import Executor, in_process, in_processes

SHARES: Mapping[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}

_ITEMS_A_PICTURE = 4
"""So many items are tried for each picture that is wanted before a job gives up."""

_SHARD = 8
_ROLES = ("text_to_image", "scorer", "detector", "segmenter", "captioner", "editor")


class Factory:
    """The datasets under one set of settings, and how they are made. Nothing is loaded before it is needed."""

    def __init__(self, settings: Settings, tools: Toolbox) -> None:
        self.settings, self.tools = settings, tools

    def synth(
        self,
        classes: str,
        count: int,
        out: Path,
        chosen: Mapping[str, Any],
        *,
        forms: str = "coco",
        ray: str | None = None,
    ) -> Generator[Event, None, dict[str, Any]]:
        """Make `count` labelled pictures of `classes` («red panda, cat») into `out`, or what is missing of them.

        `chosen` are fields of `SynthSpec` that were given, None for those that were not. `forms` («coco, yolo») are
        written into folders of `out` beside Limner's own. `ray` is "auto" or a cluster's address. Returns the report:
        {"out", "accepted", "items", "complete", "rejected", "set_aside", "splits", "regions", "stages", "forms",
        "seconds"}. A job that is done is told at once, without a model. Raises BadInput, before any model is loaded,
        for classes that the painter does not know, an unknown form, and where `out` holds anything else.
        """
        wanted, spec = parse_forms(forms), self.spec(parse_queries(classes), chosen)
        job = self._job(spec, count)
        _check_free(out)
        ended = jobs.finished(job, out / JOB)
        if ended is None:
            ended = yield from self._run(job, out, spec, ray)
        report = known_report(out) or (yield from self._assembled(ended, out, spec))
        for form in wanted:
            if form != "limner" and not (out / form).exists():
                yield Event("assemble", f"writing {form}")
                convert(out, form, out / form)
        here = {form: str(out / form) for form in FORMS if (out / form).is_dir()}
        return {"out": str(out), **report, "forms": here, "seconds": round(ended.seconds, 1)}

    def convert(self, source: Path, form: Form, out: Path) -> dict[str, Any]:
        """A dataset of any form written in another, into a new folder; see `dataset.convert`."""
        return {"out": str(out), "form": form, "pictures": convert(source, form, out)}

    def check(self, folder: Path) -> dict[str, Any]:
        """All that is wrong with a dataset; see `dataset.check`. Raises BadInput for what is no folder."""
        if not folder.is_dir():
            raise BadInput(f"{folder} is no folder", "name the dataset's own")
        return {"folder": str(folder), "problems": [asdict(problem) for problem in check(folder)]}

    def spec(self, classes: tuple[str, ...], chosen: Mapping[str, Any]) -> SynthSpec:
        """What decides how items turn out. Raises BadInput for classes that a painter of few words does not know."""
        known = vocabulary(self.tools.profile)
        for name in (name for name in classes if known and name not in known["concepts"]):
            near = difflib.get_close_matches(name, known["concepts"], 4, 0.5) or _parts(name, known["concepts"])
            hint = f"near: {', '.join(near)}; " if near else ""
            raise BadInput(
                f"{self.tools.profile.name} cannot draw {name!r}", f"{hint}`limner models show` lists what it can"
            )
        words = world_vocabulary(classes, known["backgrounds"]) if known else world_vocabulary(classes, closed=False)
        given = {key: value for key, value in chosen.items() if value is not None}
        return SynthSpec(classes, words, seed=self.settings.seed or 0, size=self.settings.size, **given)

    def _job(self, spec: SynthSpec, count: int) -> jobs.Job:
        if count < 1:
            raise BadInput(f"count is {count}", "ask for at least 1 picture")
        models = {role: getattr(self.tools.profile, role).model_dump(mode="json") for role in _ROLES}
        asked = {"synth": spec.to_json(), "models": models, "language": self.settings.llm}
        return jobs.Job(asked, count, count * _ITEMS_A_PICTURE + _SHARD, shard=max(1, min(_SHARD, count // 25)))

    def _run(self, job: jobs.Job, out: Path, spec: SynthSpec, ray: str | None) -> Generator[Event, None, jobs.Report]:
        yield Event("load", f"loading {self.tools.profile.name}")
        folder = out / JOB
        execute = without_duplicates(self._executor(spec, ray), lambda: ledger.read_shards(folder))
        with closing(jobs.run(job, folder, execute)) as work:
            return (yield from work)

    def _executor(self, spec: SynthSpec, ray: str | None) -> Executor:
        """Who does the work: here, in processes, or on a cluster."""
        given = self.settings.workers if "workers" in self.settings.model_fields_set else None
        threads = self.settings.threads or (1 if _is_small(self.tools.profile) else hardware.available_cores())
        settings = self.settings.model_copy(update={"threads": threads, "workers": 1})
        if ray is None or ray == "auto":
            # Decided here and not by each worker: a measurement may come out differently twice.
            plan = Toolbox(settings).plan
            settings = settings.model_copy(update={"device": plan.device, "precision": plan.precision})
        factory: Callable[[], Make] = partial(maker, settings, spec)
        if ray is not None:
            from limner.cluster import Needs, on_ray

            return on_ray(factory, ray, Needs(given, threads, 1 if settings.device == "cuda" else 0))
        alone = 1 if settings.device != "cpu" else max(1, hardware.available_cores() // threads)
        workers = given or alone
        return _here(factory) if workers == 1 else in_processes(factory, workers)

    def _assembled(self, ended: jobs.Report, out: Path, spec: SynthSpec) -> Generator[Event, None, dict[str, Any]]:
        info = Info(
            name=", ".join(spec.classes)[:200],
            classes=spec.classes,
            seed=spec.seed,
            spec=spec.to_json(),
            versions=self.tools.versions,
            generated=True,
        )
        counted = yield from assemble(out, info, SHARES, self._licence)
        report = {"accepted": ended.accepted, "items": ended.items, "complete": ended.complete}
        report |= {"rejected": dict(sorted(ended.rejected.items())), "set_aside": ended.set_aside, **counted}
        write_report(out, report)
        return report

    def _licence(self, role: str) -> str:
        """The licence of the model that plays a role; the inpainter is the painter's."""
        if role == "language":
            return licence(self.settings.llm)
        played: Any = getattr(self.tools.profile, "text_to_image" if role == "inpainter" else role)
        return licence(played.source)


def maker(settings: Settings, spec: SynthSpec) -> Make:
    """Load the models, and return what makes one item; for workers, who get this function and its arguments."""
    from tqdm import tqdm

    # Its own lock is a semaphore of the system, which a worker that is ended would leave behind.
    tqdm.set_lock(threading.RLock())  # pyright: ignore[reportUnknownMemberType]
    tools = Toolbox(settings)
    return partial(_make, spec, SynthModels(tools.models, tools.edit_models))


def _make(spec: SynthSpec, models: SynthModels, index: int) -> Made:
    return finish(make_item(spec, index, models))


def _here(factory: Callable[[], Make]) -> Executor:
    """Do the work in this process, with models that are loaded when it begins."""

    def execute(indices: Iterator[int]) -> Generator[Outcome]:
        yield from in_process(factory())(indices)

    return execute


def parse_forms(text: str) -> tuple[Form, ...]:
    """«coco, yolo» as forms, each once. Raises BadInput for names that are none."""
    names = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    unknown = next((name for name in names if name not in FORMS), None)
    if unknown is not None or not names:
        raise BadInput(f"no form is called {(unknown or '')[:80]!r}", f"known are {', '.join(FORMS)}")
    return tuple(form for form in FORMS if form in names)


def _check_free(out: Path) -> None:
    """Raise BadInput where a folder holds anything but a dataset that is being made."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / JOB).is_dir()):
        raise BadInput(f"{out} holds other files", "name a new or empty folder with --out")


def _parts(name: str, known: Sequence[str]) -> list[str]:
    """Known names that share a word with this one: «panda» for «red panda»."""
    return [each for each in known if set(each.split()) & set(name.split())]


def _is_small(profile: Profile) -> bool:
    """Whether one thread is enough for each copy of the models."""
    return profile.text_to_image.source.startswith("embedded:")
