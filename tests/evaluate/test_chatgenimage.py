"""What a synthetic set is worth: a job of rendered shapes, its parts by lineage, and the tables on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.cli import main
from limner.draw import finish
from limner.evaluate.chatgenimage import (
    BOUND,
    COMPLEX,
    NEW_GROUNDS,
    NO_BACKGROUND,
    NO_FILL,
    NO_FILTERS,
    SIMPLE,
    SYNTHETIC,
    Find,
    Row,
    evaluate_chatgenimage,
    stage_rows,
    table_rows,
    to_json,
    training_sets,
)
from limner.evaluate.chatgenimage import test_sets as sets_to_test_on
from limner.evaluate.detector_sets import SIZE, JobSet, Stage, complex_scenes, job_folder, read_job, simple_scenes
from limner.filters import NOT_FOUND, OUTRANKED
from limner.image import png_bytes
from limner.jobs import Job, run
from limner.measure import measure_chatgenimage
from limner.shards import Made, Reject
from limner.shards import Row as JobRow
from limner.types import AnnotatedPicture, BadInput, Event, LimnerError, Picture, Region
from limner.workers import in_process
from limner.world.sample import Palette
from limner.world.vocabulary import BACKGROUNDS, PLAIN_BACKGROUNDS
from tests import tiny_eyes
from tests.world.small import SHAPES

CLASSES = ("circle", "star")
FIVE = replace(SHAPES, concepts=("circle", "star", "ring", "heart", "cross"), weather=0.5)
BACKGROUND, FILL = {"kind": "background"}, {"kind": "fill", "label": "star"}
DUPLICATE = "duplicate"
ITEMS = 12


def stored(seen: AnnotatedPicture, size: tuple[int, int] = (SIZE, SIZE)) -> tuple[str, bytes, list[dict[str, Any]]]:
    """A picture's name and file, and its regions as a job has them."""
    data = png_bytes(seen.picture)
    regions = [{"label": r.label, "box": list(r.box), "score": 0.9, "mask": None} for r in seen.regions]
    return hashlib.sha256(data).hexdigest(), data, regions


def make(index: int) -> Made:
    """A first picture, what it was edited into (a new background, a filled thing or both in turn), and rejects."""
    name, item = CLASSES[index % 2], f"item{index}"
    first = simple_scenes((name,), SHAPES, 1, 1000 + index)[0]
    after, failed = complex_scenes((*CLASSES, "ring"), SHAPES, 2, f"job {index}")
    files = [stored(each) for each in (first, after, failed)]
    edits = [[BACKGROUND], [FILL], [BACKGROUND, FILL]][index % 3]
    rows = [
        JobRow(f"{item}-{n}", item, index, parent, picture, SIZE, SIZE, name, "", regions, {}, lineage)
        for n, ((picture, _, regions), parent, lineage) in enumerate(
            zip(files, ("", f"{item}-0"), ({"label": name}, {"label": name, "edits": edits}), strict=False)
        )
    ]
    told = {"label": name}
    rejects = [
        Reject(f"{item}-r0", item, index, "", "draw", OUTRANKED, {}, told),
        Reject(f"{item}-r1", item, index, f"{item}-0", "fill", NOT_FOUND, {}, told, files[2][0]),
        *([Reject(f"{item}-r2", item, index, "", "dedupe", DUPLICATE, {}, told, files[0][0])] if index == 7 else []),
    ]
    return Made(index, rows, rejects, {name: data for name, data, _ in files}, "shapes")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset's folder, with the job in a folder of its own."""
    folder = tmp_path_factory.mktemp("dataset")
    finish(run(Job({"what": "shapes"}, 2 * ITEMS, ITEMS, shard=5), folder / ".job", in_process(make)))
    return folder


def in_the_middle(picture: Picture, classes: Sequence[str]) -> list[Region]:
    return [Region("star", (32, 32, 96, 96)), Region("ring", (0, 0, 9, 9))]


@pytest.fixture(scope="module")
def job(dataset: Path) -> JobSet:
    return finish(read_job(dataset, in_the_middle))


@pytest.fixture(autouse=True)
def on_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.measure._palette", lambda: SHAPES)


def test_simple_scenes_are_simple() -> None:
    scenes = simple_scenes(CLASSES, SHAPES, 10, 0)
    assert [[region.label for region in each.regions] for each in scenes] == [["circle"], ["star"]] * 5
    for each in scenes:
        [region] = each.regions
        assert max(region.box[2] - region.box[0], region.box[3] - region.box[1]) > 0.45 * SIZE
        assert any(word in each.caption for name in PLAIN_BACKGROUNDS for word in BACKGROUNDS[name])
    assert len({each.picture.sha256 for each in (*scenes, *simple_scenes(CLASSES, SHAPES, 10, 1))}) == 20


def test_complex_scenes_show_the_classes_among_strangers() -> None:
    scenes = complex_scenes(CLASSES, FIVE, 80, 0)
    assert all(each.regions for each in scenes)
    assert {region.label for each in scenes for region in each.regions} == set(CLASSES)
    assert {len(each.regions) for each in scenes} == {2, 3, 4}
    # Crowds of three and four things hold strangers, which are in the caption but have no label.
    assert any("ring" in each.caption or "heart" in each.caption for each in scenes)
    again, other = complex_scenes(CLASSES, FIVE, 80, 0), complex_scenes(CLASSES, FIVE, 80, 1)
    assert [each.picture.sha256 for each in scenes] == [each.picture.sha256 for each in again]
    assert not {each.picture.sha256 for each in scenes} & {each.picture.sha256 for each in other}


def test_one_class_is_enough() -> None:
    assert all(len(each.regions) >= 1 for each in complex_scenes(("ring",), SHAPES, 12, 0))


def test_new_grounds_are_none_of_the_worlds_and_things_stay() -> None:
    plain = replace(FIVE, backgrounds=("grey background",))
    before, after = (complex_scenes(CLASSES, plain, 8, 0, new_grounds=new) for new in (False, True))
    for old, new in zip(before, after, strict=True):
        assert old.regions == new.regions
        for region in old.regions:
            x, y = (round((region.box[i] + region.box[i + 2]) / 2) for i in (0, 1))
            assert old.picture.pixels[y, x].tolist() == new.picture.pixels[y, x].tolist()
        changed = (old.picture.pixels != new.picture.pixels).any(axis=2)
        assert 0.3 < changed.mean() < 0.95
    corners = {tuple(each.picture.pixels[0, 0].tolist()) for each in after}
    assert len(corners) > 4


def test_a_job_is_told_apart_by_lineage(job: JobSet) -> None:
    assert job.classes == CLASSES
    assert len(job.kept) == len(job.pictures) == 2 * ITEMS
    assert len(job.without("background")) == ITEMS + ITEMS // 3
    assert len(job.without("fill")) == ITEMS + ITEMS // 3
    assert {region.label for each in job.pictures for region in each.regions} == set(CLASSES)  # no ring


def test_rejects_are_labelled_by_who_looks(job: JobSet, dataset: Path) -> None:
    assert len(job.rejects) == ITEMS
    for each in job.rejects:
        assert [(region.label, region.box) for region in each.regions] == [("star", (32, 32, 96, 96))]
    assert finish(read_job(dataset)).rejects == []


def test_stages_count_what_was_checked(job: JobSet) -> None:
    draw, background, fill, dedupe = job.stages
    assert (draw.tried, draw.kept, draw.rejected, draw.rate) == (ITEMS, ITEMS, {OUTRANKED: ITEMS}, 1.0)
    assert (background.tried, background.kept, background.rejected) == (8, 8, {})
    assert (fill.tried, fill.kept, fill.rejected, fill.rate) == (20, 8, {NOT_FOUND: ITEMS}, 0.4)
    assert (dedupe.tried, dedupe.kept, dedupe.rejected) == (2 * ITEMS + 1, 2 * ITEMS, {DUPLICATE: 1})
    assert Stage("fill", 0, 0, {}).rate is None
    assert stage_rows(job.stages)[2]["rejects"] == f"{NOT_FOUND}: {ITEMS}"
    assert stage_rows(job.stages)[1]["rejects"] is None


def test_pictures_of_other_sizes_are_fitted_with_their_boxes(tmp_path: Path) -> None:
    pixels = np.zeros((64, 256, 3), np.uint8)
    pixels[16:32, 64:192] = 255
    name, data, _ = stored(AnnotatedPicture(Picture(pixels), "", []))
    regions = [{"label": "star", "box": [64, 16, 192, 32], "score": 0.5, "mask": None}]
    row = JobRow("a", "a", 0, "", name, 256, 64, "star", "", regions, {}, {})
    made = Made(0, [row], [], {name: data})
    finish(run(Job({}, 1, 1), tmp_path / "job", in_process(lambda index: made)))
    [picture] = finish(read_job(tmp_path / "job")).pictures
    assert picture.picture.pixels.shape == (SIZE, SIZE, 3)
    [region] = picture.regions
    assert (region.box, region.score) == ((32, 32, 96, 64), 0.5)
    assert picture.picture.pixels[34:62, 34:94].min() > 200
    assert picture.picture.pixels[:28].max() < 50


def test_what_is_no_job_is_refused(tmp_path: Path, dataset: Path) -> None:
    assert job_folder(dataset) == job_folder(dataset / ".job") == dataset / ".job"
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="no job"):
            job_folder(folder)
    finish(run(Job({}, 1, 1), tmp_path / "job", in_process(lambda index: Made(index))))
    with pytest.raises(BadInput, match="no picture"):
        finish(read_job(tmp_path / "job"))
    [shard] = (tmp_path / "job" / "shards").glob("*.tar")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(LimnerError, match="altered"):
        finish(read_job(tmp_path / "job"))


def test_sets_are_the_simple_ones_and_what_is_added(job: JobSet) -> None:
    sets = training_sets(job, SHAPES, 6, 0)
    sizes = {name: len(pictures) - 6 for name, pictures in sets.items()}
    third = ITEMS + ITEMS // 3
    assert sizes == {
        SIMPLE: 0,
        SYNTHETIC: 2 * ITEMS,
        BOUND: 2 * ITEMS,
        NO_FILTERS: 3 * ITEMS,
        NO_BACKGROUND: third,
        NO_FILL: third,
    }
    assert next(iter(sets)) == SIMPLE
    for pictures in sets.values():
        assert [each.picture.sha256 for each in pictures[:6]] == [each.picture.sha256 for each in sets[SIMPLE]]
    shown = {each.picture.sha256 for pictures in sets.values() for each in pictures}
    for seen in sets_to_test_on(job.classes, SHAPES, 20, None).values():
        assert not shown & {each.picture.sha256 for each in seen}
    other = training_sets(job, SHAPES, 6, 1)
    assert other[SIMPLE][0].picture.sha256 != sets[SIMPLE][0].picture.sha256


def test_parts_that_are_none_are_left_out(job: JobSet) -> None:
    plain = JobSet(job.classes, [(seen, frozenset()) for seen in job.pictures], [], job.stages)
    assert list(training_sets(plain, SHAPES, 2, 0)) == [SIMPLE, SYNTHETIC, BOUND]
    all_filled = JobSet(job.classes, [(seen, frozenset({"fill"})) for seen in job.pictures], [], job.stages)
    assert list(training_sets(all_filled, SHAPES, 2, 0)) == [SIMPLE, SYNTHETIC, BOUND]


def knowing(known: Sequence[AnnotatedPicture], share: Callable[[int, int], float]) -> Any:
    """Trains by counting: of `n` pictures and a seed it finds so large a share of the tests' pictures right."""
    truth = {each.picture.sha256: each.regions for each in known}

    def train(pictures: Sequence[AnnotatedPicture], classes: Sequence[str], seed: int) -> Find:
        kept = share(len(pictures), seed)
        return lambda shown: [list(truth[each.sha256]) if n < kept * len(shown) else [] for n, each in enumerate(shown)]

    return train


def measured(job: JobSet, share: Callable[[int, int], float]) -> tuple[list[Row], list[Event]]:
    tests = sets_to_test_on(job.classes, SHAPES, 20, None)
    told: list[Event] = []
    train = knowing([each for some in tests.values() for each in some], share)
    work = evaluate_chatgenimage(train, lambda seed: training_sets(job, SHAPES, 6, seed), tests, job.classes, (0, 1))
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return end.value, told


def test_more_pictures_that_teach_more_are_a_gain(job: JobSet) -> None:
    rows, told = measured(job, lambda count, seed: min(1.0, count / 30) - 0.1 * seed)
    assert [(event.kind, event.done, event.total) for event in told] == [("detectors", n, 12) for n in range(12)]
    by = {(row.trained_on, row.test): row for row in rows}
    assert len(by) == len(rows) == 12
    assert {row.test for row in rows} == {COMPLEX, NEW_GROUNDS}
    bad, good = by[SIMPLE, COMPLEX], by[SYNTHETIC, COMPLEX]
    assert (bad.pictures, good.pictures) == (6, 6 + 2 * ITEMS)
    assert good.ap == pytest.approx(0.95, abs=0.06)
    assert good.ap_spread == pytest.approx(0.05, abs=0.03)
    assert good.ap50 == pytest.approx(good.ap)
    assert (bad.gain, bad.gain_spread) == (0, 0)
    assert good.gain == pytest.approx(good.ap - bad.ap)
    report = to_json(rows, job.stages)
    assert report["goal"] == {"least": 0.05, "gain": good.gain, "reached": True}
    assert report["stages"][2]["rate"] == 0.4
    json.dumps(report, allow_nan=False)


def test_what_teaches_nothing_misses_the_goal(job: JobSet) -> None:
    rows, _ = measured(job, lambda count, seed: 0.5)
    assert {row.gain for row in rows} == {0}
    assert to_json(rows, [])["goal"]["reached"] is False
    assert to_json([], [])["goal"] == {"least": 0.05, "gain": None, "reached": None}


def test_the_table_has_a_line_a_set_in_points() -> None:
    rows = [
        Row(SIMPLE, 6, COMPLEX, 0.25, 0.01, 0.5, 0.02, 0.0, 0.0),
        Row(SIMPLE, 6, NEW_GROUNDS, 0.125, 0.0, 0.5, 0.0, 0.0, 0.0),
        Row(SYNTHETIC, 30, COMPLEX, 0.3125, 0.01, 0.75, 0.02, 0.0625, 0.004),
    ]
    first, second = table_rows(rows)
    assert (first["trained on"], first["pictures"]) == (SIMPLE, 6)
    assert (first["complex AP"], first["complex AP50"]) == ("25.0 ±1.0", "50.0 ±2.0")
    assert first["new grounds AP"] == "12.5 ±0.0"
    assert (second["complex AP"], second["gain"]) == ("31.2 ±1.0", "+6.2 ±0.4")


PROFILE = """
[text_to_image]
source = "{folder}/none"
[scorer]
source = "{folder}/none"
[detector]
source = "{folder}/owl"
[segmenter]
source = "{folder}/none"
[captioner]
source = "{folder}/none"
"""
FEW = ["-n", "4", "--tests", "4", "--seeds", "2", "--steps", "1"]


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a profile of which only a tiny detector is here."""
    tiny_eyes.owlvit(tmp_path / "owl")
    profiles = tmp_path / "limner" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "tiny.toml").write_text(PROFILE.format(folder=tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")
    monkeypatch.setenv("LIMNER_THREADS", "1")
    return "tiny"


def test_the_command_trains_and_measures(profile: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "chatgenimage", str(dataset), *FEW, "--model", profile, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["classes"] == list(CLASSES)
    assert [row["trained_on"] for row in report["rows"] if row["test"] == COMPLEX] == [
        SIMPLE,
        SYNTHETIC,
        BOUND,
        NO_FILTERS,
        NO_BACKGROUND,
        NO_FILL,
    ]
    assert all(0 <= row["ap"] <= row["ap50"] <= 1 for row in report["rows"])
    assert [stage["stage"] for stage in report["stages"]] == ["draw", "background", "fill", "dedupe"]
    assert report["goal"]["reached"] in (True, False)


def test_without_a_detector_the_filters_are_left_out(dataset: Path) -> None:
    told: list[Event] = []
    work = measure_chatgenimage(dataset, None, count=2, tests=4, seeds=(0,), steps=1)
    with pytest.raises(StopIteration) as end:
        while True:
            told.append(next(work))
    report, tables = end.value.value
    assert NO_FILTERS not in {row["trained_on"] for row in report["rows"]}
    warnings = [event.message for event in told if event.kind == "warning"]
    assert ["filters" in warnings[0], "twemoji" in warnings[1]] == [True, True]
    assert [row["stage"] for row in tables["stages"]] == ["draw", "background", "fill", "dedupe"]


def test_a_folder_without_a_job_loads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.toolbox.Toolbox.eyes_here", None)
    assert main(["eval", "chatgenimage", str(tmp_path)]) == 2
    assert "holds no job" in capsys.readouterr().err


def test_classes_that_the_world_lacks_are_refused(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.measure._palette", lambda: Palette(concepts=("fox",)))
    with pytest.raises(BadInput, match="cannot render"):
        finish(measure_chatgenimage(dataset, None, count=1, tests=1, seeds=(0,), steps=1))
