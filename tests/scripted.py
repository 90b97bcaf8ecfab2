"""A language model that says what it is told to, for tests of what is done with replies."""

from __future__ import annotations

import json

from limner.types import LanguageModelFailed


class Scripted:
    """A language model that answers from a list, over and over its last line, and remembers what it was asked."""

    name = "scripted"

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[dict[str, object]] = []

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        self.asked.append(json.loads(user))
        if not self.replies:
            raise LanguageModelFailed("unplugged")
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
