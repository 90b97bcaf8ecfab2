"""The command line as users run it: exit codes, one line for every failure, nothing half-made left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.cli import main
from limner.image import open_picture, read_recipe
from tests.disk import small_disk

PROMPT = "a red fox to the left of a castle in the snow"
FEW = ["-n", "2", "--rounds", "2", "--steps", "1", "--size", "16x16", "--seed", "7"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the developer's settings nor this folder are touched; half precision is not measured each time."""
    for name in [name for name in os.environ if name.startswith(("LIMNER_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")
    monkeypatch.setenv("LIMNER_THREADS", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def tiny(checkpoints: Path) -> list[str]:
    return ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]


def left_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line on stderr of a failure that printed nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


def heed_ctrl_c() -> None:
    """A shell's background jobs ignore Ctrl-C, and so would what they start: CI may run the tests as one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments: str) -> subprocess.Popen[str]:
    # As the installed command does it. (`python -m` ends by the signal, though that was caught, when Ctrl-C falls into
    # some library's exec of a text.)
    command = [sys.executable, "-c", "import sys; from limner.cli import main; sys.exit(main())", *arguments]
    root = str(Path(__file__).parent.parent)
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )


def test_help_is_quick_and_loads_neither_torch_nor_numpy() -> None:
    heavy = "{'torch', 'numpy'} & set(sys.modules)"
    code = f"import sys; from limner.cli import main; main(['--help']); sys.exit(bool({heavy}))"
    taken: list[float] = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "draw" in done.stdout
        taken.append((after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime))
    # Processor time, not wall time, and the best of three: a busy machine must not fail the test.
    assert min(taken) < 0.5


def test_draw_leaves_all_it_promises(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW]) == 0
    out = capsys.readouterr().out
    folder = Path("limner-out") / PROMPT.replace(" ", "-")
    assert str(folder / "best.png") in out
    assert "Not in the picture" in out or "Everything you said" in out
    names = {path.name for path in folder.iterdir()}
    assert {"best.png", "sheet.png", "report.json", "1-01.png", "1-02.png"} <= names
    assert left_here() == ["limner-out"]
    assert [path.name for path in Path("limner-out").iterdir()] == [folder.name]


def test_draw_json_is_one_object_of_the_promised_form(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW, "--out", "fox", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report == json.loads(Path("fox/report.json").read_text())
    assert report["prompt"] == PROMPT
    assert {"text", "original", "weight"} == set(report["keywords"][0])
    words = [keyword["original"] for keyword in report["keywords"]]
    assert list(report["threshold"]) == words
    pictures = [picture for each in report["rounds"] for picture in each["pictures"]]
    assert len(pictures) == report["pictures_drawn"]
    for picture in [*pictures, report["best"]]:
        assert list(picture["scores"]) == words
        assert picture["passed"] == all(picture["scores"][w] >= report["threshold"][w] for w in words)
        assert read_recipe(Path(picture["file"])).seed == picture["seed"]
    best = next(picture for picture in pictures if picture["seed"] == report["best"]["seed"])
    assert Path(report["best"]["file"]).is_file()
    assert Path(best["file"]).parent == Path("fox")


def test_like_makes_the_same_file_byte_for_byte(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW, "--out", "first"]) == 0
    assert main(["draw", "--like", "first/best.png", "--out", "second"]) == 0
    assert "(the same picture as first/best.png)" in capsys.readouterr().out
    assert Path("second/best.png").read_bytes() == Path("first/best.png").read_bytes()


def test_like_with_another_seed_says_that_it_differs(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW, "--out", "first"]) == 0
    capsys.readouterr()
    assert main(["draw", "--like", "first/best.png", "--seed", "99", "--out", "second", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert not report["same"]
    assert read_recipe(Path("second/best.png")).seed == 99


def test_like_warns_when_versions_differ(
    tiny: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW, "--out", "first"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("LIMNER_PRECISION", "bfloat16")
    assert main(["draw", "--like", "first/best.png", "--out", "second"]) == 0
    assert "precision was float32, is bfloat16" in capsys.readouterr().err


def test_show_prints_the_recipe(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW, "--out", "fox"]) == 0
    capsys.readouterr()
    assert main(["show", "fox/1-01.png", "--json"]) == 0
    recipe = json.loads(capsys.readouterr().out)
    assert (recipe["seed"], recipe["steps"], recipe["width"]) == (7, 1, 16)
    assert main(["show", "fox/1-01.png"]) == 0
    assert "seed" in capsys.readouterr().out


def test_no_metadata_leaves_only_pixels(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", PROMPT, *tiny, *FEW, "--out", "fox", "--no-metadata"]) == 0
    assert PROMPT.encode() not in Path("fox/best.png").read_bytes()
    capsys.readouterr()
    assert main(["show", "fox/best.png"]) == 2
    assert "holds no recipe" in one_line(capsys)


def test_second_run_takes_another_folder(tiny: list[str]) -> None:
    for _ in range(2):
        assert main(["draw", "a fox", *tiny, *FEW, "--baseline"]) == 0
    assert sorted(path.name for path in Path("limner-out").iterdir()) == ["a-fox", "a-fox-2"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["draw"], "the prompt is empty"),
        (["draw", "  \n "], "the prompt is empty"),
        (["draw", "x" * 20_000], "the prompt has 20000 characters"),
        (["draw", "a fox\x00"], "control character"),
        (["draw", "a fox\x1b[2J"], "control character"),
        (["draw", "a fox", "--model", "sd16"], "unknown model 'sd16' (profiles: embedded, sd15, sdxl"),
        (["draw", "a fox", "--llm", "gpt"], "unknown language model 'gpt'"),
        (["draw", "a fox", "--guidance", "nan"], "--guidance should be a finite number"),
        (["draw", "a fox", "--guidance", "inf"], "--guidance should be"),
        (["draw", "a fox", "-n", "0"], "--count should be greater than or equal to 1, not 0"),
        (["draw", "a fox", "-n", "-2"], "--count should be greater than or equal to 1, not -2"),
        (["draw", "a fox", "--rounds", "0"], "--rounds should be"),
        (["draw", "a fox", "--steps", "-1"], "--steps should be"),
        (["draw", "a fox", "--size", "0x0"], "--size should be"),
        (["draw", "a fox", "--size", "large"], "--size should be WIDTHxHEIGHT"),
        (["draw", "a fox", "--seed", "-1"], "--seed should be"),
        (["draw", "a fox", "--threshold", "much"], "--threshold should be"),
        (["draw", "a fox", "--steps", "many"], "limner draw --help"),
        (["draw", "a fox", "--like", "x.png"], "a prompt and --like were both given"),
        (["draw", "--like", "x.png"], "cannot read x.png"),
        (["draw", "a fox", "--out", "/proc/limner/out"], "cannot write to /proc/limner"),
        (["draw", "a fox", "--out", "/dev/null/out"], "cannot write to /dev/null"),
        (["show", "absent.png"], "cannot read absent.png"),
        (["show", "/dev/null"], "cannot read /dev/null"),
        (["models", "show", "sd16"], "unknown model"),
        (["world", "show", "--stage", "opera"], "no stage 'opera'"),
        (["world", "show", "--size", "0"], "a scene of 0 pixels"),
        (["world", "sample", "-n", "0"], "0 scenes cannot be made"),
        (["eval", "world", "-n", "-1"], "limner eval world --help"),
        (["eval", "world", "--task", "singing"], "no task is called singing"),
        (["eval", "world", "--task", "style", "--only", "eyes"], "tasks are of drawing"),
        (["frobnicate"], "limner --help"),
        ([], "Missing command"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], told: str, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    own_model = "--model" in arguments or arguments[:1] != ["draw"]
    assert main(arguments if own_model else [*arguments, *tiny]) == 2
    assert told in one_line(capsys)
    assert left_here() == []


def test_taken_folder_is_refused_and_kept(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/diary.txt").write_text("dear diary")
    assert main(["draw", "a fox", *tiny, "--out", "mine"]) == 2
    assert "mine already exists" in one_line(capsys)
    assert Path("mine/diary.txt").read_text() == "dear diary"


def test_unknown_variable(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_COUTN", "3")
    assert main(["models", "list"]) == 2
    assert "LIMNER_COUTN is not a setting" in one_line(capsys)


def test_model_out_of_reach_is_a_failure_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", "a fox", "--model", "nobody/nothing"]) == 1
    assert "nobody/nothing is not in the hub cache" in one_line(capsys)
    assert left_here() == []


def test_full_disk(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(512):
        assert main(["draw", PROMPT, *tiny, *FEW, "--out", "fox"]) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("limner: could not write")
    assert "free some space" in err
    assert left_here() == []


def test_hung_language_model_does_not_hang_the_drawing(
    tiny: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never answers
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("LIMNER_LLM_TIMEOUT", "0.5")
        assert main(["draw", "a fox", *tiny, *FEW, "--llm", "openai:slow", "--out", "fox", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["llm"] == "rules"
    assert any("rules" in warning for warning in report["warnings"])
    assert "sk-secret" not in out + err


@pytest.mark.slow
def test_ctrl_c_is_one_line_code_130_and_leaves_nothing(tiny: list[str]) -> None:
    running = start("draw", PROMPT, *tiny, "-n", "64", "--rounds", "100", "--steps", "500", "--size", "16x16")
    wait_until(lambda: any(Path("limner-out").glob(".*")))
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, ""), err
    assert err.strip().splitlines()[-1] == "limner: stopped; nothing half-made was kept"
    assert left_here() == []


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it never happened")


def test_unexpected_error_is_one_line_with_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_CACHE", "/dev/null")
    monkeypatch.setattr("limner.studio.Studio.doctor", lambda self: 1 / 0)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    assert main(["doctor"]) == 1
    assert one_line(capsys) == "limner: ZeroDivisionError: division by zero (limner --debug shows where)"
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "doctor"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("limner ")


def test_doctor_says_what_will_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["precision"] == "float32"
    assert found["threads"] == 1
    assert found["hub_offline"] is True


def test_models_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert {"embedded", "sd15", "sdxl"} <= {p["name"] for p in json.loads(capsys.readouterr().out)["profiles"]}
    assert main(["models", "show", "sd15"]) == 0
    assert "stable-diffusion-v1-5" in capsys.readouterr().out


def test_world_show_names_what_is_in_the_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "show", "--style", "shapes", "--out", "scene.png", "--json"]) == 0
    scene = json.loads(capsys.readouterr().out)
    picture = open_picture(Path("scene.png"))
    assert (picture.width, picture.height) == (256, 256)
    assert len(scene["objects"]["bbox"]) == len(scene["objects"]["category"]) == 2
    assert scene["caption"]


def test_world_sample_is_an_image_folder(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["world", "sample", "-n", "3", "--style", "shapes", "--size", "64", "--seed", "5"]
    assert main([*arguments, "--out", "a"]) == 0
    assert main([*arguments, "--out", "b", "--json"]) == 0
    lines = [json.loads(line) for line in Path("a/metadata.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == [5, 6, 7]
    for line in lines:
        x, y, width, height = np.array(line["objects"]["bbox"]).T
        assert ((x >= 0) & (y >= 0) & (x + width <= 64) & (y + height <= 64)).all()
        assert open_picture(Path("a") / line["file_name"]).width == 64
    assert Path("a/metadata.jsonl").read_text() == Path("b/metadata.jsonl").read_text()


def test_world_splits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "splits", "--json"]) == 0
    splits = json.loads(capsys.readouterr().out)
    assert len(splits["held_out_concepts"]) >= 30
    assert 0 < splits["held_out_core_pairs"] < splits["core_pairs"] / 4


@pytest.mark.parametrize("options", [["--minutes", "0"], ["--data", "missing.jsonl"]])
def test_training_that_cannot_begin_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dialogue", "--out", "runs", *options]) == 2
    assert one_line(capsys)
    assert left_here() == []


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl"])
def test_heatmaps_are_a_sheet_of_the_prompts_words(
    kind: str, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["--model", str(checkpoints / kind), "--scorer", str(checkpoints / "clip")]
    assert main(["draw", PROMPT, *tiny, *FEW, "--baseline", "--heatmaps", "heat.png", "--out", "fox", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    words = ["red", "fox", "left", "castle", "snow"]
    assert report["heatmaps"] == {"file": "heat.png", "words": words}
    assert report == json.loads(Path("fox/report.json").read_text())
    sheet, best = open_picture(Path("heat.png")), open_picture(Path("fox/best.png"))
    assert 3 * 160 < sheet.width < 4 * 160  # six cells in three columns
    # The first cell is the picture, ten times enlarged.
    small = sheet.pixels[10:170, 10:170].reshape(16, 10, 16, 10, 3).mean(axis=(1, 3))
    assert np.abs(small - best.pixels).mean() < 10
    assert left_here() == ["fox", "heat.png"]


def test_heatmaps_may_lie_in_the_drawings_folder(tiny: list[str]) -> None:
    Path("fox").mkdir()
    assert main(["draw", "a fox", *tiny, *FEW, "--baseline", "--out", "fox", "--heatmaps", "fox/heat.png"]) == 0
    assert {"best.png", "heat.png"} <= {path.name for path in Path("fox").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a fox", "--heatmaps", "absent/heat.png"], "cannot write absent/heat.png"),
        (["a fox", "--heatmaps", "."], "cannot write ."),
        (["--like", "x.png", "--heatmaps", "heat.png"], "--like and --heatmaps were both given"),
    ],
)
def test_heatmaps_that_cannot_be_are_refused_before_a_model_is_loaded(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", *arguments, "--model", "nobody/nothing"]) == 2
    assert told in one_line(capsys)
    assert left_here() == []
