"""Datasets from classes to files, in the painter's world: whole, stopped anywhere, by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from limner import factory as module
from limner.config import Profile, Settings, load_profile, load_settings, profile_names
from limner.dataset import Form, Info, check, perceptual_hash, read_any, read_info, read_items, read_rejects
from limner.draw import finish
from limner.duplicates import DUPLICATE, without_duplicates
from limner.factory import Factory, parse_forms
from limner.image import decode_picture
from limner.ledger import read_shards
from limner.licences import licence
from limner.shards import Made, Row, Shard
from limner.studio import Studio
from limner.synth import SynthModels, SynthSpec, make_item
from limner.types import BadInput, LimnerError
from limner.workers import Make, in_process
from tests.test_cli import own_folders
from tests.test_synth import models

__all__ = ["own_folders"]

CLASSES = "red square, blue square"
COUNT = 6


def painters_make(spec: SynthSpec, of: SynthModels, index: int) -> Made:
    return finish(make_item(spec, index, of))


def painters_maker(settings: Settings, spec: SynthSpec) -> Make:
    """What `factory.maker` is to real models."""
    return partial(painters_make, spec, models())


def nobody(settings: Settings, spec: SynthSpec) -> Make:
    raise AssertionError("models were loaded")


def nothing(settings: Settings, spec: SynthSpec) -> Make:
    return lambda index: Made(index, made_by="nothing")


@pytest.fixture(autouse=True)
def painter(monkeypatch: pytest.MonkeyPatch, own_folders: None) -> None:
    monkeypatch.setattr(module, "maker", painters_maker)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model with an open vocabulary; what draws is the painter."""
    return str(tmp_path_factory.mktemp("model"))


def work(model: str, out: Path, count: int = COUNT, forms: str = "coco", **flags: Any) -> Any:
    made = Studio(load_settings({"model": model, "workers": 1, **flags})).factory
    return made.synth(CLASSES, count, out, {"objects": 0}, forms=forms)


def synth(model: str, out: Path, count: int = COUNT, forms: str = "coco", **flags: Any) -> dict[str, Any]:
    return finish(work(model, out, count, forms, **flags))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def remembered() -> dict[str, Any]:
    """What one test has found out, for the others."""
    return {}


@pytest.fixture
def whole(model: str, tmp_path: Path, remembered: dict[str, Any]) -> dict[str, bytes]:
    """What a job brings that nothing disturbs; `remembered["events"]` says in how many steps."""
    if not remembered:
        remembered["events"] = len(list(work(model, tmp_path / "whole")))
        remembered["whole"] = content(tmp_path / "whole")
    return remembered["whole"]


def test_the_dataset_holds_what_the_job_made(model: str, tmp_path: Path) -> None:
    out = tmp_path / "data"
    report = synth(model, out, forms="coco,yolo")
    assert check(out) == []
    assert (report["accepted"], report["complete"], sum(report["splits"].values())) == (COUNT, True, COUNT)
    rows = [row for shard in read_shards(out / ".job") for row in shard.rows]
    items = list(read_items(out))
    assert [item.id for item in items] == [row["id"] for row in rows]
    assert [item.sha256 for item in items] == [row["picture"] for row in rows]
    assert [len(item.regions) for item in items] == [len(row["regions"]) for row in rows]
    assert report["regions"] == {
        name: sum(region.label == name for item in items for region in item.regions)
        for name in ("red square", "blue square")
    }
    rejects = list(read_rejects(out))
    assert {reason: sum(one.reason == reason for one in rejects) for reason in report["rejected"]} == report["rejected"]
    assert report["stages"]["draw"]["kept"] == sum(not item.lineage.parents for item in items)
    assert set(report["forms"]) == {"coco", "yolo"}
    for form in report["forms"].values():
        assert {item.id: item.split for item, _ in read_any(Path(form)).entries} == {i.id: i.split for i in items}
    assert b"AI-generated" in (out / "card.html").read_bytes()


def test_a_row_says_where_it_comes_from(model: str, tmp_path: Path) -> None:
    out = tmp_path / "data"
    synth(model, out)
    info, items = read_info(out), list(read_items(out))
    assert (info.generated, info.classes, info.name) == (True, ("red square", "blue square"), CLASSES)
    painter = next(one for one in info.models if one.role == "text_to_image")
    assert (painter.name, painter.hash) == ("reliable", "0123")
    assert next(one for one in info.models if one.role == "language").licence == "Apache-2.0"
    for item in items:
        assert any(name in item.lineage.prompts[0] for name in info.classes)
        assert item.lineage.seeds
        assert item.lineage.scores["similarity"] > 0
        assert set(item.lineage.models) == set(info.models)
    pictured = [one.item for one in read_rejects(out) if one.item]
    assert all(one.lineage.scores and one.lineage.prompts for one in pictured)
    # All who come from one first picture are on one side.
    sides = {item.id: item.split for item in items}
    assert all(sides.get(item.root, item.split) == item.split for item in items)


def test_a_finished_job_loads_nothing_and_writes_what_is_missing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "data"
    first = synth(model, out)
    before = content(out)
    monkeypatch.setattr(module, "maker", nobody)
    again = synth(model, out)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    assert content(out) == before
    more = synth(model, out, forms="yolo, webdataset")
    assert set(more["forms"]) == {"coco", "yolo", "webdataset"}
    assert content(out).items() >= before.items()
    with pytest.raises(BadInput, match="another job"):
        synth(model, out, COUNT + 1)
    with pytest.raises(BadInput, match="another job"):
        synth(model, out, seed=1)


@pytest.mark.parametrize("after", [1, 3, -4, -2, -1])
def test_a_run_that_is_stopped_anywhere_goes_on(
    after: int, model: str, tmp_path: Path, whole: dict[str, bytes], remembered: dict[str, Any]
) -> None:
    out = tmp_path / "data"
    with closing(work(model, out)) as stopped:
        for _ in range(after % remembered["events"]):
            next(stopped)
    synth(model, out)
    assert content(out) == whole


@pytest.mark.slow
def test_processes_make_the_same_bytes(model: str, tmp_path: Path, whole: dict[str, bytes]) -> None:
    assert synth(model, tmp_path / "data", workers=2)["complete"]
    assert content(tmp_path / "data") == whole


def test_what_is_half_written_is_made_anew_and_nothing_else_touched(
    model: str, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "data"
    synth(model, out)
    (out / "report.json").unlink()
    (out / "limner.json").write_text("{")
    (out / "notes.txt").write_text("mine")
    synth(model, out)
    assert {name: data for name, data in content(out).items() if name != "notes.txt"} == whole
    assert (out / "notes.txt").read_text() == "mine"


def test_items_that_bring_nothing_end_the_job(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "maker", nothing)
    report = synth(model, tmp_path / "data", 2)
    assert (report["accepted"], report["complete"], report["stages"]) == (0, False, {})
    assert check(tmp_path / "data") == []


def test_models_that_cannot_be_loaded_are_no_bad_items(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(settings: Settings, spec: SynthSpec) -> Make:
        raise LimnerError("no such model", "fetch it")

    monkeypatch.setattr(module, "maker", missing)
    with pytest.raises(LimnerError, match="no such model"):
        synth(model, tmp_path / "data")


@pytest.mark.parametrize(
    ("classes", "near"), [("fox, catt", "near: cat"), ("red panda", "near: .*panda"), ("xyzzy", "limner models show")]
)
def test_unknown_classes_are_refused_with_near_ones(classes: str, near: str, tmp_path: Path) -> None:
    embedded = Studio(load_settings({})).factory
    with pytest.raises(BadInput, match=near):
        finish(embedded.synth(classes, 4, tmp_path / "data", {}))
    assert not (tmp_path / "data").exists()


def test_the_embedded_painter_gets_words_that_it_knows() -> None:
    spec = Studio(load_settings({})).factory.spec(("fox", "car"), {"mode": "centric", "objects": None})
    assert spec.vocabulary.closed
    assert {"snow", "desert"} <= {name for name, _ in spec.vocabulary.backgrounds}
    assert (spec.mode, spec.objects) == ("centric", 1)


def test_bad_wishes_are_refused_before_anything_is_written(model: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("")
    for out, count, forms in (("mine", 3, "coco"), ("file", 3, "coco"), ("new", 0, "coco"), ("new", 3, "voc")):
        with pytest.raises(BadInput):
            synth(model, tmp_path / out, count, forms)
    made: Factory = Studio(load_settings({"model": model})).factory
    for chosen in ({"candidates": 0}, {"objects": -1}):
        with pytest.raises(BadInput):
            finish(made.synth(CLASSES, 3, tmp_path / "new", chosen))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("cache", "here")) == ["file", "mine"]


def test_forms_are_parsed() -> None:
    wanted: tuple[Form, ...] = ("coco", "yolo")
    assert parse_forms(" yolo,coco ,yolo") == wanted
    for wrong in ("", ",", "voc", "coco;yolo"):
        with pytest.raises(BadInput, match="known are limner, coco"):
            parse_forms(wrong)


@pytest.mark.parametrize("name", profile_names())
def test_the_licence_of_every_built_in_model_is_known(name: str) -> None:
    profile: Profile = load_profile(name)
    roles = ("text_to_image", "scorer", "detector", "segmenter", "captioner", "editor")
    assert all(licence(getattr(profile, role).source) for role in roles)
    assert licence("/my/own") == ""


def made_of(index: int, *pictures: bytes) -> Made:
    """An item of pictures, the first the first and the others made from it."""
    names = [f"{number:064x}" for number in range(index * 10, index * 10 + len(pictures))]
    rows = [
        Row(
            f"{index}-{n}",
            str(index),
            index,
            f"{index}-0" if n else "",
            name,
            8,
            8,
            "fox",
            "",
            [],
            {"s": 1.0},
            {"a": n},
        )
        for n, name in enumerate(names)
    ]
    return Made(index, rows, [], dict(zip(names, pictures, strict=True)), "test")


def test_near_twins_are_turned_down_and_whole_families_of_them(model: str, tmp_path: Path) -> None:
    synth(model, tmp_path / "data", 12)
    shards = list(read_shards(tmp_path / "data" / ".job"))
    pictures = [shard.pictures[row["picture"]] for shard in shards for row in shard.rows]
    hashes = [perceptual_hash(decode_picture(data, "one")) for data in pictures]
    assert all((first ^ second).bit_count() > 4 for i, first in enumerate(hashes) for second in hashes[:i])
    a, b, c = pictures[:3]
    items = [made_of(0, a, a, b), made_of(1, b, c), made_of(2, c)]

    def sifted(committed: list[Shard], some: list[Made]) -> Iterator[Any]:
        return without_duplicates(in_process(lambda index: some[index]), lambda: committed)(iter(range(len(some))))

    first, second, third = sifted([], items)
    assert [row.id for row in first.rows] == ["0-0", "0-2"]
    assert [(one.id, one.stage, one.reason) for one in first.rejects] == [("0-r0", "dedupe", DUPLICATE)]
    assert first.rejects[0].lineage["duplicate_of"] == "0-0"
    # Of the second item the first picture is known, so that its other one goes too, and is not known by then.
    assert (second.rows, len(second.rejects)) == ((), 2)
    assert [row.id for row in third.rows] == ["2-0"]
    resumed = list(sifted([Shard([{"id": r.id, "picture": r.picture} for r in first.rows], [], first.pictures)], items))
    assert [len(each.rows) for each in resumed] == [0, 0, 1]


def test_the_info_is_the_same_whoever_asks(model: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        synth(model, tmp_path / name)
    infos: list[Info] = [read_info(tmp_path / name) for name in ("one", "two")]
    assert infos[0] == infos[1]
    assert content(tmp_path / "one") == content(tmp_path / "two")
