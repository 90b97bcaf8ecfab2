"""Conversations on the command line, as users and programs run them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from limner.cli import main
from limner.config import load_settings
from limner.conversations import Conversations

PROMPT = "a red fox in the snow"
FEW = ["-n", "2", "--seed", "7"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of their own, and models that are quick."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMNER_PRECISION", "float32")
    monkeypatch.setenv("LIMNER_STEPS", "1")
    monkeypatch.setenv("LIMNER_ROUNDS", "1")
    monkeypatch.setenv("LIMNER_SIZE", "16x16")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tiny(checkpoints: Path) -> list[str]:
    return ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]


def talk(monkeypatch: pytest.MonkeyPatch, options: list[str], *lines: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return main(["chat", *options])


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A session «fox» of two turns."""
    assert talk(monkeypatch, ["--session", "fox", *FEW, *tiny], PROMPT, "make it night") == 0
    capsys.readouterr()


def test_a_conversation_from_a_pipe(
    monkeypatch: pytest.MonkeyPatch, tiny: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert talk(monkeypatch, ["--session", "fox", "--json", *FEW, *tiny], PROMPT, "make it night", "/undo") == 0
    lines = told(capsys)
    turns = [line for line in lines if line.get("event") == "turn"]
    assert [turn["kind"] for turn in turns] == ["draw", "rewrite"]
    assert turns[1]["content"]["prompt"] == f"{PROMPT} at night"
    assert lines[-1]["turn"] == turns[0]["id"]
    pictures = {path.stem for path in (tmp_path / "data" / "pictures").glob("*.png")}
    assert pictures == {turn["content"]["picture"] for turn in turns}


def test_it_goes_on_with_the_settings_it_had(
    begun: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(monkeypatch, ["--session", "fox", "--json"], "make it sunset") == 0
    [turn] = [line for line in told(capsys) if line.get("event") == "turn"]
    assert turn["number"] == 3
    assert turn["content"]["before"] == f"{PROMPT} at night"
    assert turn["content"]["options"]["count"] == 2


def test_a_failure_in_a_pipe_shows_in_the_exit_code(
    begun: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(monkeypatch, ["--session", "fox"], "/goto 99", "/history") == 1
    seen = capsys.readouterr()
    assert "no turns are called «99»" in seen.err
    assert "2. rewrite: make it night" in seen.out


def test_sessions_are_listed_and_shown(begun: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "list", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["sessions"]
    assert (row["session"], row["turns"], row["shows"]) == ("fox", 2, f"{PROMPT} at night")
    assert main(["sessions", "show", "fox"]) == 0
    assert "draw: a red fox in the snow" in capsys.readouterr().out


def test_a_replay_gives_the_same_bytes(begun: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "replay", "fox", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["same picture"], row["same"]) for row in rows] == [(True, True)] * 2


def test_a_replay_that_differs_fails(
    begun: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("limner.toolbox.__version__", "0.0.0")
    assert main(["sessions", "replay", "fox"]) == 1
    seen = capsys.readouterr()
    assert "differs in recipe" in " ".join(seen.out.split())
    assert "docs/sessions.md" in seen.err


def test_a_session_travels_as_a_zip(begun: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sessions", "export", "fox", "fox.zip", "--json"]) == 0
    assert main(["sessions", "import", "fox.zip", "--name", "again"]) == 0
    conversations = Conversations(load_settings({}))
    assert [t.id for t in conversations.store.turns("fox")] == [t.id for t in conversations.store.turns("again")]
    assert main(["sessions", "export", "fox", "fox.zip"]) == 2
    assert main(["sessions", "import", "fox.zip"]) == 2


def test_forgetting_on_the_command_line(begun: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "forget", "fox", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (len(report["removed"]), report["remade"], report["dropped"]) == (1, [], [])
    [row] = Conversations(load_settings({})).list()
    assert row["shows"] == PROMPT


def test_deleting_asks_first(
    begun: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["sessions", "rm", "fox"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["sessions", "rm", "fox", "--yes"]) == 0
    assert Conversations(load_settings({})).list() == []


@pytest.mark.parametrize(
    "verb", [["show", "wolf"], ["replay", "wolf"], ["export", "wolf", "x.zip"], ["forget", "wolf", "1"]]
)
def test_a_session_that_there_is_not(begun: None, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", *verb]) == 2
    assert capsys.readouterr().err.strip() == "limner: there is no session «wolf» (there are: fox)"


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a b"])
def test_bad_names_make_no_session(
    name: str, monkeypatch: pytest.MonkeyPatch, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(monkeypatch, ["--session", name, *tiny], PROMPT) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert Conversations(load_settings({})).list() == []


def test_the_doctor_checks_every_hash(begun: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == "none"
    next((tmp_path / "data" / "pictures").glob("*.png")).write_bytes(b"not it")
    assert main(["doctor", "--json"]) == 0
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert "altered" in problem


def test_nothing_is_made_by_only_asking(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sessions", "list"]) == 0
    assert main(["doctor"]) == 0
    assert not (tmp_path / "data").exists()
