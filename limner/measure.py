"""What `limner eval` runs: the embedded judge and held-out scenes put together with a model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from limner.backends.hub import WEIGHTS
from limner.clarify import clarify
from limner.concept import Concept
from limner.draw import DrawOptions
from limner.evaluate import chatgenimage, detector_sets, dialogpaint, dialogue, dreamartist, gptdrawer, sections, world
from limner.label import fuse
from limner.protocols import Captioner, Detector, EditModels, LanguageModel, Models, Segmenter, TextToImage
from limner.types import BadInput, Event, ModelUnavailable, Picture, Region
from limner.world import art, caption, sample
from limner.world.judge import Judge
from limner.world.vocabulary import CONCEPTS, HELD_OUT_STYLE, SHAPE_CONCEPTS

if TYPE_CHECKING:
    from limner.backends.diffusion import DiffusionModel
    from limner.backends.vision import TwoTowerScorer

JUDGE, VOCABULARY = WEIGHTS / "judge", WEIGHTS / "vocabulary.json"


def check_tasks(tasks: Sequence[str]) -> None:
    """Raise BadInput for a task of drawing that there is not."""
    if unknown := [task for task in tasks if task not in world.TASKS]:
        raise BadInput(f"no task is called {', '.join(unknown)}", f"the tasks are {', '.join(world.TASKS)}")


def measure_world(
    painter: TextToImage, count: int, seeds: Sequence[int], tasks: Sequence[str] = ()
) -> Generator[Event, None, dict[str, Any]]:
    """GenEval's `tasks` (none: all) on held-out combinations, `count` pictures each and seed; {"model", "rows"}.

    Where the world's art is not here the judge's ceilings are those recorded when it was trained.
    """
    judge, palette, rows = _judge(), _palette(), list[world.Row]()
    ceilings: dict[str, float] = json.loads((JUDGE / "judge.json").read_text()).get("ceilings", {})
    with_art = all(map(art.have_art, palette.styles))
    for step in world.evaluate_world(
        painter,
        judge,
        palette,
        tasks=list(dict.fromkeys(tasks)) or list(world.TASKS),
        count=count,
        seeds=seeds,
        ceilings=ceilings,
        with_art=with_art,
    ):
        if isinstance(step, Event):
            yield step
        else:
            rows.append(step)
    return world.to_json(rows, painter.name)


def measure_eyes(
    detector: Detector | None,
    segmenter: Segmenter | None,
    captioner: Captioner | None,
    count: int,
    seeds: Sequence[int],
) -> Generator[Event, None, list[dict[str, Any]]]:
    """The figures of the models that look, on `count` rendered scenes a seed and side; returns the rows.

    A model that is not there, and all of them where the world's art is not here, is left out with a warning.
    """
    palette, rows = _palette(), list[dict[str, Any]]()
    if not all(map(art.have_art, palette.styles)):
        yield Event("warning", "the models that look are left out: `limner world fetch` brings the art to test them on")
        return rows
    for role, model in {"detector": detector, "segmenter": segmenter, "captioner": captioner}.items():
        if model is None:
            yield Event("warning", f"the {role} is not on this machine and is left out")
    found = sections.sections_of(detector, segmenter, captioner, _judge())
    for step in sections.evaluate_eyes(found, palette, count=count, seeds=seeds):
        if isinstance(step, Event):
            yield step
        else:
            rows.append(asdict(step))
    return rows


def measure_gptdrawer(
    models: Models, options: DrawOptions, count: int, whole: bool = False
) -> Generator[Event, None, tuple[dict[str, Any], str]]:
    """Tables 4 and 5 on `count` held-out crowds of three or four things; returns them as JSON values and as text.

    Crowds as they come have a coloured thing and a side now and then, `whole` takes those that have both.
    """
    palette, rng = _palette(), Random("gptdrawer")
    crowds = (sample.sample_scene(rng, "crowd", palette, held_out=True) for _ in itertools.count())
    all_scenes = (gptdrawer.ScenePrompt(caption.describe(crowd), tuple(caption.facts(crowd))) for crowd in crowds)
    wanted: set[str] = {"colour", "relation"} if whole else set()
    scenes = list(itertools.islice((s for s in all_scenes if wanted <= {f.kind for f in s.facts}), count))
    report = yield from gptdrawer.evaluate_gptdrawer(models, _judge().judge, scenes, options)
    return report.to_json(), gptdrawer.table(report)


def measure_dialogpaint(
    models: EditModels, count: int, seed: int
) -> Generator[Event, None, tuple[dict[str, Any], dict[str, Any]]]:
    """Edits of held-out scenes by ours and by the plain pipeline; returns JSON values and the rows for a table."""
    report = yield from dialogpaint.evaluate_dialogpaint(models, _judge(), _palette(), count, seed=seed)
    return report.to_json(), {"rows": dialogpaint.table_rows(report)}


def measure_dreamartist(
    painter: DiffusionModel,
    scorer: TwoTowerScorer,
    count: int,
    parts: Sequence[dreamartist.Part],
    seeds: Sequence[int],
    chosen: Mapping[str, Any],
) -> Generator[Event, None, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """One-shot learning of `count` unseen things and styles, by each method; returns JSON values and a table's rows.

    `chosen` are options of all lessons, such as their steps. Raises LimnerError where the world's art is not here.
    """
    from limner.backends.vision import logit_scale, raw_features
    from limner.train.concept.exam import drawer, taught
    from limner.world import features, oneshot

    judge = _judge()

    def teach(reference: oneshot.Reference, options: Mapping[str, Any], seed: int) -> dreamartist.Draw:
        name, options = dreamartist.WORD.strip("<>"), {**chosen, **options}
        if not options.get("steps", 1):
            return drawer(painter, Concept(name, {}))
        return drawer(painter, taught(painter, reference.picture, name, reference.kind, reference.like, options, seed))

    def true(pictures: Sequence[Picture], asked: Sequence[oneshot.Context]) -> float:
        verdicts = judge.judge(pictures, [context.facts for context in asked])
        return fmean(verdict for row in verdicts for verdict in row)

    senses = dreamartist.Senses(
        maps=partial(features.trunk_maps, judge),
        raw=partial(raw_features, scorer),
        unit=scorer.encode_pictures,
        texts=scorer.encode_texts,
        true=true,
        scale=logit_scale(scorer),
    )
    rows = yield from dreamartist.evaluate_dreamartist(
        teach, senses, oneshot.references(count), parts=parts, seeds=seeds
    )
    clip = f"{scorer.name}, scale {senses.scale:.2f}"
    networks = {"lpips, style loss": features.TRUNK, "cds, cfv, cas, similarities": clip, "true": "the judge"}
    return dreamartist.to_json(rows, networks), dreamartist.table_rows(rows)


def measure_dialogue(models: Sequence[LanguageModel], count: int) -> Generator[Event, None, list[dict[str, Any]]]:
    """How well each model sees what is unclear and understands what is clear, on `count` held-out dialogues."""
    held_out, rows = dialogue.held_out_dialogues(count), list[dict[str, Any]]()
    for number, model in enumerate(models):
        yield Event("dialogues", model.name, number, len(models))
        certain = getattr(model, "perplexity", None)
        found = dialogue.evaluate_dialogue(partial(clarify, model), held_out, perplexity=certain)
        rows += [{"model": model.name, **asdict(row)} for row in found]
    return rows


def measure_chatgenimage(
    dataset: Path, detector: Detector | None, *, count: int, tests: int, seeds: Sequence[int], steps: int
) -> Generator[Event, None, tuple[dict[str, Any], dict[str, Any]]]:
    """What a folder of `limner synth` is worth to small detectors trained for `steps`; returns JSON values, and the
    rows of two tables.

    They begin with `count` simple scenes and are tested on `tests` complex ones of each kind. `detector`, the one that
    labelled the job, labels its rejects; without one they are left out with a warning. Raises BadInput for a folder
    without a job and for classes that the world cannot render, LimnerError where its art is not here.
    """
    from limner.train.small_detector import train_detector

    if detector is None:
        yield Event("warning", "the detector is not on this machine: what the filters do is left out")
    job = yield from detector_sets.read_job(dataset, None if detector is None else partial(_labels, detector))
    palette = _palette_for(job.classes)
    new_style = HELD_OUT_STYLE if "shapes" not in palette.styles and art.have_art(HELD_OUT_STYLE) else None
    if new_style is None:
        yield Event("warning", f"the art of the style {HELD_OUT_STYLE}, held out to test on, is left out")
    rows = yield from chatgenimage.evaluate_chatgenimage(
        partial(train_detector, steps=steps),
        partial(chatgenimage.training_sets, job, palette, count),
        chatgenimage.test_sets(job.classes, palette, tests, new_style),
        job.classes,
        seeds,
    )
    told = {"rows": chatgenimage.table_rows(rows), "stages": chatgenimage.stage_rows(job.stages)}
    return {"classes": list(job.classes), **chatgenimage.to_json(rows, job.stages)}, told


def _labels(detector: Detector, picture: Picture, classes: Sequence[str]) -> list[Region]:
    """The boxes that `label.label` would give, without masks and caption."""
    [found] = detector.detect([picture], [classes], threshold=detector.present)
    return fuse([region for region in found if region.score >= detector.present])


def _palette_for(classes: Sequence[str]) -> sample.Palette:
    """The palette, if the classes can be rendered in its styles."""
    palette = _palette()
    known = SHAPE_CONCEPTS if "shapes" in palette.styles else CONCEPTS
    if unknown := [name for name in classes if name not in known]:
        raise BadInput(f"the picture world cannot render {', '.join(unknown)}", "measure on classes that it has")
    if not all(map(art.have_art, palette.styles)):
        raise ModelUnavailable("the world's art to test on is not here", "`limner world fetch` brings it")
    return palette


def _judge() -> Judge:
    if not JUDGE.is_dir():
        raise ModelUnavailable("the embedded judge is not in this installation", "reinstall limner")
    return Judge.load(JUDGE)


def _palette() -> sample.Palette:
    """Only what the embedded models claim to know is asked of any model."""
    known: dict[str, list[str]] = json.loads(VOCABULARY.read_text())
    return sample.Palette(concepts=known["concepts"], styles=known["styles"], backgrounds=known["backgrounds"])
