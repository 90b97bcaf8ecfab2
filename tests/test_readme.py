"""The README's commands work and its help texts are the command line's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from limner.backends.hub import WEIGHTS
from limner.config import Profile, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def commands() -> list[str]:
    """Every line of the README's shell blocks, in order: they build on one another."""
    return [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as a shell does that finds `limner` as this Python's, sessions being kept in the folder."""
    script = f'limner() {{ {shlex.quote(sys.executable)} -m limner.cli "$@"; }}\n{command}'
    environment = ENVIRONMENT | {"LIMNER_DATA": str(folder / "data"), "LIMNER_ROUNDS": "1"}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


DRAWING = tuple(f"limner {verb}" for verb in ("draw", "look", "edit", "show"))
TALKING = ("printf", "limner sessions")
LABELLING = ("limner synth", "limner dataset")


CHEAP = [c for c in commands() if not c.startswith(DRAWING + TALKING + LABELLING) and "gizmo" not in c]


@pytest.mark.parametrize("command", CHEAP)
def test_cheap_commands(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.joinpath("stable-diffusion").is_dir(), reason="the embedded models are not here")
def test_drawing_commands(tmp_path: Path) -> None:
    drawing, *others = (c for c in commands() if c.startswith(DRAWING) and "gizmo" not in c)
    assert run(drawing, tmp_path).returncode == 0
    [folder] = (tmp_path / "limner-out").iterdir()
    told = [run(command, folder) for command in others]
    for done in told:
        assert done.returncode == 0, done.stderr
    assert (folder / "annotated.png").is_file()
    assert (folder / "edited.png").is_file()
    assert "the same picture" in told[-1].stdout


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.joinpath("editor").is_dir(), reason="the embedded models are not here")
def test_talking_commands(tmp_path: Path) -> None:
    told = [run(command, tmp_path) for command in commands() if command.startswith(TALKING)]
    for done in told:
        assert done.returncode == 0, done.stdout + done.stderr
    assert "edit: paint the car blue" in told[0].stdout
    assert (tmp_path / "car.zip").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.joinpath("editor").is_dir(), reason="the embedded models are not here")
@pytest.mark.long
def test_labelling_commands(tmp_path: Path) -> None:
    """As they stand, but for three pictures instead of sixty."""
    told = [run(c.replace("--count 60", "--count 3"), tmp_path) for c in commands() if c.startswith(LABELLING)]
    for done in told:
        assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is wrong" in told[-1].stdout
    assert (tmp_path / "data" / "card.html").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.joinpath("stable-diffusion").is_dir(), reason="the embedded models are not here")
@pytest.mark.long
def test_learning_commands(tmp_path: Path) -> None:
    """As they stand, but for a lesson of four steps instead of minutes."""
    told = [run(c.replace("limner learn", "limner learn --steps 4"), tmp_path) for c in commands() if "gizmo" in c]
    for done in told:
        assert done.returncode == 0, done.stdout + done.stderr
    assert "learned <gizmo> in 4 steps" in told[1].stdout
    assert (tmp_path / "heat.png").is_file()
    assert list((tmp_path / "gizmo-files").iterdir())


def test_help_texts_have_not_drifted() -> None:
    command = [sys.executable, str(ROOT / "docs" / "update_readme.py"), "--check"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| (\w+) \| ([A-Z_]+) \|", README, re.MULTILINE)
    assert sorted(key for key, _ in rows) == sorted(Settings.model_fields)
    assert all(variable in (key.upper(), f"LIMNER_{key.upper()}") for key, variable in rows)


def test_the_example_profile_is_one() -> None:
    [text] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert Profile.model_validate({"name": "mine", **tomllib.loads(text)}).scorer.threshold == 0.25


def test_make_knows_the_two_commands() -> None:
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False).returncode == 0
