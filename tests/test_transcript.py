"""A whole conversation on the models that ship: what is said, word for word, and the same bytes in a fresh process.

Scores are left out: they depend on the machine's arithmetic. Everything else is what a person reads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from limner import commands
from limner.backends.hub import WEIGHTS
from limner.config import load_settings
from limner.conversations import Conversations
from limner.session import Session
from tests.test_session import finish
from tests.workshop import say

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.joinpath("editor").is_dir(), reason="the embedded models are not here"),
]

TRANSCRIPT = """\
> a fox and a castle in the snow
draw: a fox and a castle in the snow
> paint the castle blue
edit: paint the castle blue
> remove the animal
edit: remove the fox
> /undo
at: edit: paint the castle blue
> remove the penguin
asked: I see no penguin. Which do you mean: the blue castle on the left or the orange fox on the right?
> the castle
answered: the castle
edit: remove the castle
> /undo
at: edit: paint the castle blue
> /branch both
both: turn 2
> put it in the desert
edit: put it in the desert
> make the thing red
asked: Which do you mean: the blue castle on the left or the orange fox on the right?
> the fox
answered: the fox
edit: paint the fox red
> what do you see?
note: what do you see?
> /goto 1
at: draw: a fox and a castle in the snow
> make it night
rewrite: make it night
> /goto 10
at: edit: paint the fox red
> /forget both
forgotten: edit: paint the castle blue
made again: 4
> /history
1. draw: a fox and a castle in the snow
├ 2. edit: paint the castle blue [both]
│ ├ 3. edit: remove the fox
│ ├ 4. asked: I see no penguin. Which do you mean: the blue castle on the left or the orange fox on the right?
│ │ 5. answered: the castle
│ │ 6. edit: remove the castle
│ └ 7. edit: put it in the desert
│   8. asked: Which do you mean: the blue castle on the left or the orange fox on the right?
│   9. answered: the fox
│   10. edit: paint the fox red
│   11. note: what do you see?
├ 12. rewrite: make it night
└ 13. edit: put it in the desert
  14. asked: Which do you mean: the blue castle on the left or the orange fox on the right?
  15. answered: the fox
  16. edit: paint the fox red  ← here
"""


def heard(session: Session, line: str) -> list[str]:
    """What a line brings, a line each."""
    if commands.is_command(line):
        return str(finish(commands.run(session, line))["text"]).splitlines()
    return [event.message for event in say(session, line)[0] if event.kind == "turn"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transcript")


def test_the_conversation_word_for_word(data: Path) -> None:
    settings = load_settings({"data": data, "seed": 5, "count": 4, "rounds": 2}, environment={})
    session = Conversations(settings).open("fox")
    lines: list[str] = []
    for line in (line[2:] for line in TRANSCRIPT.splitlines() if line.startswith("> ")):
        lines += [f"> {line}", *heard(session, line)]
    assert "\n".join(lines) == TRANSCRIPT.rstrip()
    assert session.store.check() == []
    session.store.close()


@pytest.mark.long
def test_a_fresh_process_makes_the_same_bytes(data: Path) -> None:
    command = [sys.executable, "-m", "limner.cli", "sessions", "replay", "fox"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    environment = inherited | {"LIMNER_DATA": str(data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
