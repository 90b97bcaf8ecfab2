"""Who rewrites prompts in a conversation: the trained writer where there is one, else whoever answers all the rest.

`--writer` says which: `embedded`, a folder or hub id of `limner train writer`, or `none`. Without it the embedded
writer is used where it is on this machine, unless a language model was named, which then writes the prompts itself; and
only for instructions that the grammar does not understand, for those that it does the rules carry out more exactly than
a small writer (`limner eval diffchat` measures both).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from limner.backends.hardware import Plan
from limner.protocols import LanguageModel
from limner.requests import parsed
from limner.types import BadInput, UnknownTask

NONE, EMBEDDED = "none", "embedded"
_WEIGHTS = Path(__file__).parent / "world" / "weights" / "writer"  # as in backends.hub, which takes seconds to import
_SMALL_TALKERS = ("rules", "embedded")


class WithWriter:
    """A language model that leaves the task «rewrite» to a writer, which is loaded when it is first asked.

    With `always` left out only where the grammar does not understand the instruction.
    """

    def __init__(self, language: LanguageModel, load: Callable[[], LanguageModel], *, always: bool = False) -> None:
        self.name = language.name
        self._language, self._load, self._always = language, load, always

    @cached_property
    def _writer(self) -> LanguageModel:
        return self._load()

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Answer by the writer what it answers, and all else by the language model; raises as they do."""
        request = json.loads(user)
        if request.get("task") == "rewrite" and (self._always or parsed(str(request.get("instruction", ""))) is None):
            try:
                return self._writer.reply(system, user, schema=schema, max_tokens=max_tokens)
            except UnknownTask:
                pass  # a prompt in a syntax that the writer never learned
        return self._language.reply(system, user, schema=schema, max_tokens=max_tokens)


def with_writer(language: LanguageModel, named: str | None, plan: Callable[[], Plan]) -> LanguageModel:
    """The language model with the writer that is `named`, None for the rule above. Loads nothing yet.

    Raises BadInput for a name that can be no writer's.
    """
    source = chosen(named, language.name)
    if source == NONE:
        return language
    if source != EMBEDDED and "/" not in source and not Path(source).is_dir():
        raise BadInput(f"no writer at {source!r}", "none, embedded, a folder of `limner train writer`, or a hub id")

    def load() -> LanguageModel:
        from limner.backends.prompt_writer import load_writer

        return load_writer("embedded:writer" if source == EMBEDDED else source, plan=plan())

    return WithWriter(language, load, always=named is not None)


def chosen(named: str | None, language: str) -> str:
    """«none», «embedded», or where the writer is."""
    if named is not None:
        return named
    return EMBEDDED if language in _SMALL_TALKERS and _WEIGHTS.is_dir() else NONE
