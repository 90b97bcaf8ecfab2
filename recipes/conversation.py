"""The README's conversation as one sheet: python recipes/conversation.py docs/chat.png"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from limner import commands, history
from limner.config import load_settings
from limner.conversations import Conversations
from limner.image import contact_sheet, save_png
from limner.types import Event

LINES = (
    "a fox and a castle in the snow",
    "paint the castle blue",
    "put it in the desert",
    "make the thing red",
    "the fox",
    "/forget 2",
    "make it smaller",
)


def finish(work: Generator[Event, None, Any]) -> None:
    """Run a generator of events to its end."""
    for _ in work:
        pass


def main(target: Path) -> None:
    """Talk, and lay out each picture under what it came of."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"data": Path(folder), "seed": 5, "count": 4, "rounds": 2}, environment={})
        session = Conversations(settings).open("chat")
        for line in LINES:
            finish(commands.run(session, line) if commands.is_command(line) else session.say(line))
        shown = [turn for turn in session.turns if turn.picture]
        captions = [f"{session.turns.index(turn) + 1}. {history.headline(turn)}" for turn in shown]
        pictures = [session.bench.picture(str(turn.picture)) for turn in shown]
        save_png(target, contact_sheet(pictures, captions, columns=4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
