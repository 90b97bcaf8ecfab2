"""What was asked of a language model and what it replied, kept so that it can be replayed word for word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from limner.protocols import LanguageModel
from limner.types import LanguageModelFailed, UnknownTask

Exchange = Mapping[str, Any]
"""{"model", "request", "reply"}; instead of the reply {"failed"} where none came."""


class Recorder:
    """A LanguageModel that keeps what passes through it, and answers what it was asked before from the record.

    `known` are exchanges of an earlier run: a request that is the next of them gets its reply (or its failure) without
    asking the model. A request that differs is asked anew, for then what came before it differs as well.
    """

    def __init__(self, model: LanguageModel, known: Sequence[Exchange] = ()) -> None:
        self.name = model.name
        self.exchanges: list[dict[str, Any]] = []
        self._model = model
        self._known = list(known)

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """The model's reply, or the recorded one. Raises LanguageModelFailed as the model does or did."""
        request = json.loads(user)
        kept = {"model": self.name, "request": request}
        old = self._known.pop(0) if self._known and self._known[0]["request"] == request else None
        try:
            reply = _recorded(old) if old else self._model.reply(system, user, schema=schema, max_tokens=max_tokens)
        except UnknownTask:
            raise  # it was never asked
        except LanguageModelFailed as error:
            self.exchanges.append({**kept, "failed": error.message})
            raise
        self.exchanges.append({**kept, "reply": reply})
        return reply


def _recorded(exchange: Exchange) -> str:
    if "failed" in exchange:
        raise LanguageModelFailed(str(exchange["failed"]))
    return str(exchange["reply"])
