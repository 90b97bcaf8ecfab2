"""`limner synth` and `limner dataset` as users run them: reports, exit codes, one line for every failure."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from limner import factory
from limner.cli import main
from limner.dataset import read_info, read_items
from tests.test_cli import one_line, own_folders
from tests.test_factory import CLASSES, nobody, nothing, painters_maker

__all__ = ["own_folders"]

MAKE = ["synth", CLASSES, "--workers", "1", "--objects", "0", "--out", "data"]


@pytest.fixture(autouse=True)
def painter(monkeypatch: pytest.MonkeyPatch, own_folders: None) -> None:
    """What draws is the painter, and its vocabulary is open."""
    Path("model").mkdir()
    monkeypatch.setenv("LIMNER_MODEL", "model")
    monkeypatch.setattr(factory, "maker", painters_maker)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_dataset_is_made_told_converted_and_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*MAKE, "-n", "4", "--json", "--seed", "5"]) == 0
    report = told(capsys)
    assert (report["out"], report["accepted"], report["complete"]) == ("data", 4, True)
    assert set(report) == {
        "out", "accepted", "items", "complete", "rejected", "set_aside", "splits", "regions", "stages", "forms",
        "seconds",
    }  # fmt: skip
    assert report["stages"]["draw"]["kept"] >= 2
    assert report["forms"] == {"coco": "data/coco"}
    assert read_info(Path("data")).seed == 5
    for stage in report["stages"].values():
        assert stage["rate"] == pytest.approx(stage["kept"] / (stage["kept"] + stage["rejected"]), abs=1e-4)

    monkeypatch.setattr(factory, "maker", nobody)
    start = time.process_time()
    assert main([*MAKE, "-n", "4", "--seed", "5"]) == 0
    assert time.process_time() - start < 2
    plain = capsys.readouterr().out
    assert "4 pictures of" in plain
    assert "coco: data/coco" in plain
    assert "card: data/card.html" in plain

    assert main(["dataset", "convert", "data", "--format", "yolo", "--out", "y", "--json"]) == 0
    assert told(capsys) == {"out": "y", "form": "yolo", "pictures": 4}
    for folder in ("data", "data/coco", "y"):
        assert main(["dataset", "check", folder]) == 0
        assert "nothing is wrong" in capsys.readouterr().out


def test_what_is_wrong_with_a_dataset_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*MAKE, "-n", "2"]) == 0
    capsys.readouterr()
    item = next(iter(read_items(Path("data"))))
    (Path("data") / item.file).write_bytes(b"no picture")
    assert main(["dataset", "check", "data", "--json"]) == 1
    report = told(capsys)
    assert {problem["where"] for problem in report["problems"]} == {item.id}
    assert main(["dataset", "check", "data"]) == 1
    assert f"{item.id}: " in capsys.readouterr().out


def test_flags_say_what_is_made() -> None:
    flags = ["--mode", "centric", "--candidates", "2", "--scenes", "0", "--no-background", "--no-filters"]
    assert main([*MAKE, "-n", "2", "--format", "limner", *flags]) == 0
    spec = read_info(Path("data")).spec
    assert {name: spec[name] for name in ("mode", "candidates", "scenes", "background", "filtered", "objects")} == {
        "mode": "centric",
        "candidates": 2,
        "scenes": 0,
        "background": False,
        "filtered": False,
        "objects": 0,
    }
    assert not any((Path("data") / form).exists() for form in ("coco", "yolo"))


def test_running_out_of_items_is_a_failure_with_a_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "maker", nothing)
    assert main([*MAKE, "-n", "2", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["accepted"] == 0
    assert "ran out at 0 of 2" in err
    assert main(["dataset", "check", "data"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["synth", "", "--out", "data"], "name things with commas"),
        (["synth", "fox", "--out", "data", "-n", "0"], "count is 0"),
        (["synth", "fox", "--out", "data", "--format", "voc"], "known are"),
        (["synth", "fox", "--out", "data", "--scenes", "-1"], "scenes is -1"),
        (["synth", "fox", "--out", "data", "--workers", "0"], "workers"),
        (["synth", "fox", "--out", "data", "--seed", "-1"], "seed"),
        (["synth", "fox", "--out", "."], "other files"),
        (["synth", "fox"], "--out"),
        (["synth", "foxx", "--out", "data", "--model", "embedded"], "near: fox"),
        (["dataset", "check", "nowhere"], "no folder"),
        (["dataset", "convert", "model", "--format", "coco", "--out", "c"], "no dataset"),
        (["dataset", "convert", "model", "--format", "voc", "--out", "c"], "--format"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in one_line(capsys)
    assert not Path("data").exists()
