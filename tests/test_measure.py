"""What `limner eval world` measures of the models that look, and what it leaves out: the tiny ones, on shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limner.cli import main
from limner.draw import finish
from limner.measure import measure_eyes
from limner.types import Event
from tests import tiny_eyes
from tests.evaluate.knowing import Blind
from tests.world.small import SHAPES

PROFILE = """
[text_to_image]
source = "{folder}/stable_diffusion"
steps = 1
[scorer]
source = "{folder}/clip"
[detector]
source = "{eyes}/owl"
[segmenter]
source = "{eyes}/sam"
[captioner]
source = "{eyes}/none"
"""
LOOKING = ["mAP@0.5", "mAP@0.5, held out", "mean IoU", "mean IoU, held out"]


@pytest.fixture(autouse=True)
def on_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.measure._palette", lambda: SHAPES)


@pytest.fixture
def profile(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a profile of tiny models, the captioner's not on this machine."""
    tiny_eyes.owlvit(tmp_path / "owl")
    tiny_eyes.sam(tmp_path / "sam")
    profiles = tmp_path / "limner" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "tiny.toml").write_text(PROFILE.format(folder=checkpoints, eyes=tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")
    monkeypatch.setenv("LIMNER_THREADS", "1")
    return "tiny"


def test_the_eyes_alone_draw_nothing(
    profile: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.toolbox.Toolbox.painter_of", None)  # not even loaded
    assert main(["eval", "world", "--only", "eyes", "-n", "2", "--seeds", "2", "--model", profile, "--json"]) == 0
    out, err = capsys.readouterr()
    report: dict[str, Any] = json.loads(out)
    assert (report["model"], report["rows"]) == ("tiny", [])
    rows: list[dict[str, Any]] = report["eyes"]
    assert set(LOOKING) <= {row["measure"] for row in rows}
    for row in rows:
        assert row.keys() == {"model", "measure", "score", "ceiling", "scenes"}
        assert 0 <= row["score"] <= 1
        assert (row["ceiling"] is None) == row["measure"].startswith("m")
        assert row["scenes"] == 4
    assert "the captioner is not on this machine" in err


def test_drawing_alone_looks_at_nothing(
    profile: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.toolbox.Toolbox.eyes_here", None)
    assert main(["eval", "world", "--only", "drawing", "-n", "1", "--model", profile, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(report["rows"]) == 9
    assert report["eyes"] == []


def test_single_tasks_are_drawn_each_once_and_nothing_is_looked_at(
    profile: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.toolbox.Toolbox.eyes_here", None)
    chosen = ["--task", "style", "--task", "count", "--task", "style"]
    assert main(["eval", "world", *chosen, "-n", "1", "--model", profile, "--json"]) == 0
    assert [row["task"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["style", "count"]


def test_both_are_two_tables(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "world", "-n", "1", "--model", profile]) == 0
    drawing, looking = capsys.readouterr().out.split("\n\n")
    assert drawing.split()[:2] == ["task", "pictures"]
    assert looking.split()[:5] == ["model", "measure", "score", "ceiling", "scenes"]
    assert "–" in looking


def test_without_art_the_eyes_are_left_out_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.world.art.have_art", lambda style: False)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    told: list[Event] = []
    work = measure_eyes(Blind(), Blind(), Blind(), 1, (0,))
    with pytest.raises(StopIteration) as end:
        while True:
            told.append(next(work))
    assert end.value.value == []
    assert [event.kind for event in told] == ["warning"]
    assert "limner world fetch" in told[0].message


def test_only_models_that_are_there_are_measured() -> None:
    rows = finish(measure_eyes(None, Blind(), None, 1, (0,)))
    assert [row["measure"] for row in rows] == ["mean IoU", "mean IoU, held out"]
