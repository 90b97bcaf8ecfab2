"""`limner look` and `limner edit`: bad input is told in one line before a model is loaded; good input leaves files."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner import terminal
from limner.cli import main
from limner.config import load_settings
from limner.image import open_picture, read_metadata, save_png
from limner.studio import Studio
from limner.toolbox import Toolbox
from limner.types import BadInput, Picture
from tests.retoucher import EYES, Filler, Retoucher, found_in, models
from tests.test_cli import left_here, one_line, own_folders
from tests.test_edit import EVERY_SEED, PICTURE
from tests.test_look import finish

__all__ = ["own_folders"]  # the fixture that keeps tests out of the developer's settings and folder

RECOLOUR = "make the red circle green"


@pytest.fixture(autouse=True)
def no_model_is_loaded(monkeypatch: pytest.MonkeyPatch, own_folders: None) -> None:
    """Whatever is wrong must be found before a model is read."""

    def refuse(_: Toolbox) -> None:
        raise AssertionError("a model was loaded")

    for name in ("eyes", "hands", "scorer", "painter", "edit_models"):
        monkeypatch.setattr(Toolbox, name, property(refuse))


@pytest.fixture(autouse=True)
def files(own_folders: None) -> None:
    save_png(Path("picture.png"), PICTURE)
    save_png(Path("small.png"), Picture(np.full((24, 24, 3), 255, np.uint8)))
    Path("text.png").write_text("not a picture")
    Path("bomb.png").write_bytes(bomb(60_000, 60_000))


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says it is large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refusal that wrote nothing."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main(arguments) == 2
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.png", RECOLOUR], "cannot read missing.png: No such file"),
        (["text.png", RECOLOUR], "not a PNG, JPEG or WebP"),
        (["bomb.png", RECOLOUR], "bomb.png"),
        ([".", RECOLOUR], "cannot read ."),
        (["picture.png", ""], "instruction is empty"),
        (["picture.png", "  \t "], "instruction is empty"),
        (["picture.png", "colourless green ideas sleep furiously"], "was not understood"),
        (["picture.png", "make the circle blue and remove the square"], "several changes"),
        (["picture.png", "x" * 2001], "2001 characters"),
        (["picture.png", "\x1b[31mmake it blue"], "control character"),
        (["picture.png", RECOLOUR, "--box", "10,10,10,20"], "box 10,10,10,20"),
        (["picture.png", RECOLOUR, "--box", "10,10,60,20"], "within 0,0,48,48"),
        (["picture.png", RECOLOUR, "--box=-1,0,5,5"], "box -1,0,5,5"),
        (["picture.png", RECOLOUR, "--box", "nan,0,5,5"], "box nan"),
        (["picture.png", RECOLOUR, "--box", "somewhere"], "give x0,y0,x1,y1"),
        (["picture.png", RECOLOUR, "--box", "1,1,9,9", "--mask", "picture.png"], "both given"),
        (["picture.png", RECOLOUR, "--mask", "text.png"], "not a PNG, JPEG or WebP"),
        (["picture.png", RECOLOUR, "--mask", "small.png"], "the mask is 24x24, the picture 48x48"),
        (["picture.png", RECOLOUR, "--text-guidance", "nan"], "--text-guidance"),
        (["picture.png", RECOLOUR, "--text-guidance", "1"], "text guidance is 1.0"),
        (["picture.png", RECOLOUR, "--image-guidance", "inf"], "--image-guidance"),
        (["picture.png", RECOLOUR, "--image-guidance", "0.5"], "image guidance is 0.5"),
        (["picture.png", RECOLOUR, "--seed", "-1"], "--seed"),
        (["picture.png", RECOLOUR, "--steps", "0"], "--steps"),
        (["picture.png", RECOLOUR, "-n", "0"], "--count"),
        (["picture.png", RECOLOUR, "--model", "nonsense"], "unknown model 'nonsense'"),
        (["picture.png", RECOLOUR, "--llm", "nonsense"], "nonsense"),
        (["picture.png", RECOLOUR, "--out", "missing/edited.png"], "cannot write missing/edited.png"),
        (["picture.png", RECOLOUR, "--out", "."], "cannot write ."),
        (["picture.png", RECOLOUR, "--compare", "missing/side.png"], "cannot write missing/side.png"),
        (["picture.png"], "Missing argument 'instruction'"),
    ],
)
def test_what_cannot_be_edited_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "edit", *arguments)
    assert said.startswith("limner: ")
    assert told in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.png"], "cannot read missing.png: No such file"),
        (["text.png"], "not a PNG, JPEG or WebP"),
        (["bomb.png"], "bomb.png"),
        (["picture.png", "--find", ""], "nothing to find"),
        (["picture.png", "--find", " , "], "nothing to find"),
        (["picture.png", "--find", ",".join(map(str, range(65)))], "65 things"),
        (["picture.png", "--out", "missing/seen.png"], "cannot write missing/seen.png"),
        (["picture.png", "--model", "nonsense"], "unknown model 'nonsense'"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(capsys, "look", *arguments)


def studio(monkeypatch: pytest.MonkeyPatch, *, deaf: bool = False, **flags: object) -> Studio:
    """A studio whose models are the retoucher's world."""
    unheard = EVERY_SEED if deaf else ()
    tools = models(Retoucher(deaf=unheard), Filler(deaf=unheard))
    for name, tool in {"eyes": EYES, "hands": tools.hands, "scorer": tools.scorer, "edit_models": tools}.items():
        monkeypatch.setattr(Toolbox, name, tool)
    return Studio(load_settings({"seed": 7} | flags))


def test_an_edit_leaves_the_picture_where_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events, report = finish(studio(monkeypatch).edit(Path("picture.png"), RECOLOUR))
    assert report["file"] == "limner-out/picture-make-the-red-circle-green.png"
    assert {region.label for region in found_in(open_picture(Path(report["file"])))} == {"green circle", "blue square"}
    assert read_metadata(Path(report["file"])).recipe.versions["limner"]
    assert [event.kind for event in events] == ["load", "attempt"]
    again = finish(studio(monkeypatch).edit(Path("picture.png"), RECOLOUR))[1]
    assert again["file"] == "limner-out/picture-make-the-red-circle-green-2.png"
    assert Path(again["file"]).read_bytes() == Path(report["file"]).read_bytes()
    terminal.edited(report)
    out, err = capsys.readouterr()
    assert err == ""
    assert "green circle is there" in out
    assert "1 attempt;" in out
    assert "none outside the region" in out
    assert f"{report['file']}  (seed 7)" in out


def test_out_and_compare_go_where_the_user_says_and_the_metadata_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = studio(monkeypatch, out="edited.png", metadata=False)
    before = left_here()
    finish(made.edit(Path("picture.png"), RECOLOUR, box="26,4,42,20", compare=Path("side.png")))
    assert sorted({*left_here()} - {*before}) == ["edited.png", "side.png"]
    with Image.open("edited.png") as image:
        assert image.info == {}


def test_an_edit_that_did_not_pass_is_kept_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = studio(monkeypatch, deaf=True, out="edited.png", count=2)
    report: dict[str, Any] = finish(made.edit(Path("picture.png"), "add a green triangle"))[1]
    assert json.loads(json.dumps(report)) == report
    assert Path("edited.png").is_file()
    terminal.edited(report)
    out, err = capsys.readouterr()
    assert err == "limner: no attempt of 2 did all that was asked; this is the nearest\n"
    assert "2 attempts;" in out


def test_what_is_not_in_the_picture_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, before = studio(monkeypatch), left_here()
    with pytest.raises(BadInput, match="no dragon was found"):
        finish(made.edit(Path("picture.png"), "remove the dragon"))
    assert left_here() == before


def test_a_look_tells_and_draws(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    report = finish(studio(monkeypatch).look(Path("picture.png"), None, Path("seen.png")))[1]
    assert [region["label"] for region in report["regions"]] == ["red circle", "blue square"]
    assert open_picture(Path("seen.png")).width > 48
    terminal.seen(report)
    assert "a red circle and a blue square" in capsys.readouterr().out
    terminal.seen(finish(studio(monkeypatch).look(Path("picture.png"), "dragon", None))[1])
    assert "Nothing of that was found." in capsys.readouterr().out


def test_an_edited_picture_is_no_recipe_for_drawing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(studio(monkeypatch, out="edited.png").edit(Path("picture.png"), RECOLOUR))
    said = refused(capsys, "draw", "--like", "edited.png")
    assert "edited.png was edited" in said
    assert "limner edit" in said
