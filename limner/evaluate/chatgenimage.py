"""ChatGenImage's tables: is a synthetic set of use to who trains a detector, and what do its stages do for it?

Nobody knows the truth of drawn pictures, so labels are measured by what is learned from them. The same small detector
is trained from nothing on few rendered simple scenes; on these and a job's pictures; on these and as many rendered
complex scenes, the upper bound; and on parts of the job, told apart by lineage. All are tested on rendered scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev
from typing import Any

from limner.evaluate.detection import coco_average_precision
from limner.evaluate.detector_sets import JobSet, Stage, complex_scenes, simple_scenes
from limner.types import AnnotatedPicture, Event, Picture, Region
from limner.world.sample import Palette

Find = Callable[[Sequence[Picture]], list[list[Region]]]
"""A detector of the classes: what it finds in each picture, doubtful finds with low scores too."""

Train = Callable[[Sequence[AnnotatedPicture], Sequence[str], int], Find]
"""Trains a detector of classes on pictures from a seed; the number of pictures must not change how long."""

Sets = Mapping[str, Sequence[AnnotatedPicture]]

SIMPLE, SYNTHETIC, BOUND = "(a) simple", "(b) simple + synthetic", "(c) simple + rendered complex"
NO_FILTERS, NO_BACKGROUND, NO_FILL = "(b) without filters", "(b) without new backgrounds", "(b) without filled things"
COMPLEX, NEW_STYLE, NEW_GROUNDS = "complex", "new style", "new grounds"

GOAL = 0.05
"""By so much AP (b) is to be better than (a) on complex scenes."""


@dataclass(frozen=True, slots=True)
class Row:
    """Detectors trained on one set, tested on another: the means over seeds, and standard deviations (0 for one seed).

    AP is COCO's AP@[.5:.95], `gain` how much better it is than that of (a) of the same seed; all 0 to 1 (gain from -1).
    """

    trained_on: str
    pictures: int
    test: str
    ap: float
    ap_spread: float
    ap50: float
    ap50_spread: float
    gain: float
    gain_spread: float


def training_sets(job: JobSet, palette: Palette, count: int, seed: int) -> dict[str, list[AnnotatedPicture]]:
    """What is compared, (a) first: `count` simple scenes, and what is added to them.

    A part is left out where it is none: no reject was labelled, or nothing or all was edited in that way.
    """
    simple, whole = simple_scenes(job.classes, palette, count, seed), job.pictures
    added = {
        SIMPLE: [],
        SYNTHETIC: whole,
        BOUND: complex_scenes(job.classes, palette, len(whole), f"train {seed}"),
        NO_FILTERS: [*whole, *job.rejects] if job.rejects else [],
        NO_BACKGROUND: _part(job, "background"),
        NO_FILL: _part(job, "fill"),
    }
    return {name: [*simple, *pictures] for name, pictures in added.items() if pictures or name == SIMPLE}


def _part(job: JobSet, edit: str) -> list[AnnotatedPicture]:
    rest = job.without(edit)
    return rest if len(rest) < len(job.kept) else []


def test_sets(classes: Sequence[str], palette: Palette, count: int, new_style: str | None) -> Sets:
    """`count` rendered complex scenes of each kind, other ones than any for training: as these are; in a style that
    nothing was trained on (None where there is no such); before grounds that nothing was trained on."""
    found = {COMPLEX: complex_scenes(classes, palette, count, "test")}
    if new_style:
        styled = Palette(palette.concepts, (new_style,), palette.backgrounds, palette.tint)
        found[NEW_STYLE] = complex_scenes(classes, styled, count, "test, new style")
    return found | {NEW_GROUNDS: complex_scenes(classes, palette, count, "test, new grounds", new_grounds=True)}


def evaluate_chatgenimage(
    train: Train, sets: Callable[[int], Sets], tests: Sets, classes: Sequence[str], seeds: Sequence[int]
) -> Generator[Event, None, list[Row]]:
    """A row for each training set and test; `sets` gives those of a seed, the same names each time, (a) first.

    Yields an Event before each training.
    """
    cells: dict[tuple[str, str], list[tuple[float, float]]] = {}
    sizes: dict[str, int] = {}
    for turn, seed in enumerate(seeds):
        chosen = sets(seed)
        for number, (name, pictures) in enumerate(chosen.items()):
            yield Event("detectors", f"training on {name}", turn * len(chosen) + number, len(seeds) * len(chosen))
            find, sizes[name] = train(pictures, classes, seed), len(pictures)
            for test, shown in tests.items():
                figures = coco_average_precision(find([s.picture for s in shown]), [s.regions for s in shown])
                cells.setdefault((name, test), []).append(figures)
    first = next(iter(sizes))
    return [_row(name, sizes[name], test, cell, cells[first, test]) for (name, test), cell in cells.items()]


def _row(
    name: str, pictures: int, test: str, cell: Sequence[tuple[float, float]], first: Sequence[tuple[float, float]]
) -> Row:
    ap, ap50 = [each[0] for each in cell], [each[1] for each in cell]
    gains = [own - other[0] for own, other in zip(ap, first, strict=True)]
    spreads = [(fmean(values), pstdev(values)) for values in (ap, ap50, gains)]
    return Row(name, pictures, test, *(figure for pair in spreads for figure in pair))


def to_json(rows: Sequence[Row], stages: Sequence[Stage]) -> dict[str, Any]:
    """The rows, the job's stages, and whether the goal was reached: None where (b) was not measured."""
    gain = next((row.gain for row in rows if row.trained_on == SYNTHETIC and row.test == COMPLEX), None)
    goal = {"least": GOAL, "gain": gain, "reached": None if gain is None else gain >= GOAL}
    return {"rows": [asdict(row) for row in rows], "stages": [_told(stage) for stage in stages], "goal": goal}


def _told(stage: Stage) -> dict[str, Any]:
    return {**asdict(stage), "rate": stage.rate}


def table_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One row a training set, with the figures of all tests in points, «31.2 ±1.0»: what a terminal shows."""
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = table.setdefault(row.trained_on, {"trained on": row.trained_on, "pictures": row.pictures})
        line[f"{row.test} AP"] = _points(row.ap, row.ap_spread)
        line[f"{row.test} AP50"] = _points(row.ap50, row.ap50_spread)
        if row.test == COMPLEX:
            line["gain"] = _points(row.gain, row.gain_spread, "+")
    return list(table.values())


def _points(mean: float, spread: float, sign: str = "") -> str:
    return f"{100 * mean:{sign}.1f} ±{100 * spread:.1f}"


def stage_rows(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """One row a stage, with its acceptance rate and rejects by reason."""
    return [
        {
            "stage": stage.stage,
            "tried": stage.tried,
            "kept": stage.kept,
            "rate": stage.rate,
            "rejects": ", ".join(f"{reason}: {count}" for reason, count in stage.rejected.items()) or None,
        }
        for stage in stages
    ]
