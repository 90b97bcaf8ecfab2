"""Learning by the command line: one picture in, a word that every prompt may say, files for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.cli import main
from limner.config import load_settings
from limner.image import open_picture, save_png
from limner.image.fit import fitted
from limner.protocols import DrawRequest
from limner.studio import Studio
from limner.types import Picture


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    save_png(tmp_path / "gizmo.png", Picture(pixels))
    return tmp_path / "gizmo.png"


@pytest.fixture
def model(checkpoints: Path) -> str:
    return str(checkpoints / "stable_diffusion")


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    assert main(list(argv)) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    return (json.loads(out) if "--json" in argv else out) if code == 0 else err


def learn(capsys: pytest.CaptureFixture[str], picture: Path, model: str, *more: str, code: int = 0) -> Any:
    head = ("learn", str(picture), "--name", "gizmo", "--like", "red fox", "--model", model, "--json")
    return run(capsys, *head, *more, code=code)


def test_a_concept_is_learned_listed_shown_drawn_and_removed(
    capsys: pytest.CaptureFixture[str], picture: Path, model: str, tmp_path: Path
) -> None:
    told = learn(capsys, picture, model, "--steps", "12", "--previews", "looks.png", "--preview-every", "10")
    assert (told["word"], told["steps"], told["like"]) == ("<gizmo>", 12, "red fox")
    assert Path(told["file"]).is_file()
    assert open_picture(tmp_path / "looks.png").width > 16
    assert not (tmp_path / "data" / "lessons" / "gizmo").exists()
    [row] = run(capsys, "concepts", "list", "--json")["concepts"]
    assert (row["name"], row["like"], row["method"], row["problem"]) == ("gizmo", "red fox", "dreamartist", "")
    shown = run(capsys, "concepts", "show", "gizmo", "--json")
    assert shown["words"] == {"positive": {"text_encoder": 3}, "negative": {"text_encoder": 3}}
    assert shown["settings"]["steps"] == 12
    studio = Studio(load_settings({"model": model}))
    drawn = [studio.tools.painter.draw([DrawRequest(p, 1, 2, 3.0, 16, 16)])[0] for p in ("a <gizmo>", "a <gizmo:0>")]
    assert drawn[0].sha256 != drawn[1].sha256
    run(capsys, "concepts", "rm", "gizmo")
    assert run(capsys, "concepts", "list", "--json") == {"concepts": []}
    assert "there is no concept" in run(capsys, "concepts", "show", "gizmo", code=2)


def test_a_picture_tells_which_concept_of_a_name_it_was_drawn_with(
    capsys: pytest.CaptureFixture[str], picture: Path, model: str
) -> None:
    learn(capsys, picture, model, "--steps", "4")
    few = ("--steps", "2", "-n", "1", "--rounds", "1", "--model", model, "--scorer", "embedded:clip")
    run(capsys, "draw", "a <gizmo>", *few, "--out", "first", "--json")
    written = run(capsys, "show", "first/best.png", "--json")["concepts"]
    assert list(written) == ["<gizmo>"]
    assert run(capsys, "draw", "--like", "first/best.png", "--model", model, "--out", "second", "--json")["same"]
    assert Path("second/best.png").read_bytes() == Path("first/best.png").read_bytes()
    learn(capsys, picture, model, "--steps", "8", "--again")
    again = run(capsys, "draw", "--like", "first/best.png", "--model", model, "--out", "third", "--json")
    assert not again["same"]
    assert any(text.startswith(f"<gizmo> was {written['<gizmo>']}, is ") for text in again["warnings"])


@pytest.mark.long
def test_dreambooth_is_looked_at_on_the_way(
    capsys: pytest.CaptureFixture[str], picture: Path, model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It trains the U-Net itself in another precision than it draws in: a look must not meet it so."""
    monkeypatch.setenv("LIMNER_PRECISION", "bfloat16")
    learn(
        capsys,
        picture,
        model,
        "--method",
        "dreambooth",
        "--steps",
        "12",
        "--previews",
        "x.png",
        "--preview-every",
        "10",
    )
    assert open_picture(tmp_path / "x.png").width > 16


def test_a_name_is_not_taken_twice_unless_asked_for(
    capsys: pytest.CaptureFixture[str], picture: Path, model: str
) -> None:
    learn(capsys, picture, model, "--steps", "2")
    assert "is known already" in learn(capsys, picture, model, "--steps", "2", code=2)
    assert learn(capsys, picture, model, "--steps", "3", "--again")["steps"] == 3


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--words", "3"), "two numbers"),
        (("--method", "magic"), "no method"),
        (("--box", "0,0,99,99"), "box"),
        (("--gamma", "0.5"), "gamma"),
        (("--steps", "0"), "steps"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], picture: Path, model: str, more: tuple[str, ...], complaint: str
) -> None:
    assert complaint in learn(capsys, picture, model, *more, code=2)


def test_stopping_keeps_what_was_learned_and_again_goes_on(picture: Path, model: str, tmp_path: Path) -> None:
    studio = Studio(load_settings({"model": model}))
    work = studio.lessons.learn(picture, "gizmo", {"like": "fox", "steps": 40})
    while next(work).kind != "learn":
        pass
    work.close()
    assert studio.lessons.show("gizmo")["settings"]["steps"] == 10
    *_, _last = studio.lessons.learn(picture, "gizmo", {"like": "fox", "steps": 20})
    settings = studio.lessons.show("gizmo")["settings"]
    assert settings["steps"] == 20
    assert [step for step, _ in studio.lessons.show("gizmo")["curve"]] == [10, 20]


def test_looks_on_the_way_change_nothing_of_what_is_learned(picture: Path, model: str) -> None:
    studio, files = Studio(load_settings({"model": model})), set[str]()
    for looks in ({}, {"preview_every": 10}):
        work = studio.lessons.learn_picture(open_picture(picture), "gizmo", {"like": "fox", "steps": 20, **looks})
        try:
            while True:
                next(work)
        except StopIteration as end:
            files.add(end.value["concept"])
        studio.lessons.remove("gizmo")
    assert len(files) == 1


@pytest.mark.parametrize("form", ["limner", "a1111", "diffusers", "kohya", "peft"])
def test_what_is_exported_and_imported_again_draws_the_same_picture(
    capsys: pytest.CaptureFixture[str], picture: Path, model: str, tmp_path: Path, form: str
) -> None:
    method = "dreamartist-words" if form == "a1111" else "dreamartist"  # embeddings are all that form can hold
    learn(capsys, picture, model, "--steps", "4", "--adapter-rate", "0.01", "--method", method)
    files = run(capsys, "concepts", "export", "gizmo", "--format", form, "--out", "out", "--json")["files"]
    taken = run(
        capsys, "concepts", "import", *files, "--name", "again", "--like", "red fox", "--model", model, "--json"
    )
    assert taken["matched"] == taken["of"] > 0
    studio = Studio(load_settings({"model": model}))
    requests = [DrawRequest(f"a <{name}> in snow", 3, 3, 3.0, 16, 16) for name in ("gizmo", "again")]
    first, second = (studio.tools.painter.draw([request])[0] for request in requests)
    assert first.sha256 == second.sha256


def test_the_middle_of_a_picture_is_learned() -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30] = 200
    mask = np.zeros((20, 40), np.bool_)
    mask[:, 10:20] = True
    cut, kept = fitted(Picture(pixels), mask, (16, 16))
    assert (cut.width, cut.height) == (16, 16)
    assert int(cut.pixels.min()) > 190
    assert kept is not None
    assert kept[:, :8].all()
    assert not kept[:, 8:].any()
