"""How well unclear requests are noticed and clear ones understood, on dialogues held out of training (DialogPaint 3.1).

Whatever clarifies is measured alike, rules or model: at each system turn it gets what is seen, all that was truly said
before, and the last words of the user.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

from pydantic import BaseModel

from limner.instruction import parse_instruction
from limner.protocols import LanguageModel
from limner.seen import Seen
from limner.types import BadInput, LanguageModelFailed
from limner.world.dialogue import KINDS, Dialogue, Exchange, Utterance, sample_dialogue
from limner.world.sample import Palette
from limner.writer import parse_reply


class ReplyLike(Protocol):
    """A system turn: an explicit instruction, or a question, or that something is taken back."""

    @property
    def instruction(self) -> str:
        """The explicit instruction T, "" otherwise."""
        ...

    @property
    def question(self) -> str:
        """What is asked, "" otherwise."""
        ...

    @property
    def undo(self) -> bool:
        """True when the last change is to be taken back."""
        ...


Clarify = Callable[[Sequence[Seen], Sequence[Utterance], str], ReplyLike]


@dataclass(frozen=True, slots=True)
class DialogueRow:
    """One figure on `count` turns: a share from 0 to 1, or a perplexity. `goal` is what it is to reach."""

    measure: str
    score: float
    count: int
    goal: str = ""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One system turn and what was answered: nothing where the model failed. `last` settles its dialogue."""

    kind: str
    turn: Exchange
    reply: ReplyLike | None
    last: bool

    @property
    def asked(self) -> bool:
        return self.reply is not None and bool(self.reply.question)

    @property
    def exact(self) -> bool:
        """The same instruction in the same words, or undone where that was asked for."""
        if self.reply is None or self.asked:
            return False
        wanted = self.turn.instruction
        return _same_words(self.reply.instruction, wanted) if wanted else self.reply.undo

    @property
    def right(self) -> bool:
        """An instruction that means the same, whatever its words."""
        if self.reply is None or self.asked or not self.turn.instruction:
            return self.exact
        return not self.reply.undo and slots(self.reply.instruction) == slots(self.turn.instruction)


class _Answer(BaseModel):
    """The shape of a clarifying reply."""

    instruction: str = ""
    question: str = ""
    choices: list[str] = []
    undo: bool = False


def clarify_by(model: LanguageModel) -> Clarify:
    """Clarifying by a language model alone, as `backends.dialogue` answers it: one request, no second try."""

    def clarify(seen: Sequence[Seen], history: Sequence[Utterance], said: str) -> ReplyLike:
        told = [{"speaker": each.speaker, "text": each.text} for each in history]
        request = {"task": "clarify", "seen": [each.text for each in seen], "history": told, "said": said}
        return parse_reply(model.reply("", json.dumps(request), schema=_Answer.model_json_schema()), _Answer)

    return clarify


def held_out_dialogues(count: int = 500, *, seed: int = 0, palette: Palette | None = None) -> list[Dialogue]:
    """Dialogues that training never saw: in each a scene holds a held-out pair or binding."""
    rng = Random(f"held-out dialogues/{seed}")
    return [sample_dialogue(rng, palette=palette, held_out=True) for _ in range(count)]


def evaluate_dialogue(
    clarify: Clarify,
    dialogues: Sequence[Dialogue],
    *,
    perplexity: Callable[[Sequence[Dialogue]], float] | None = None,
) -> list[DialogueRow]:
    """The rows of the dialogue table. `perplexity` is the model's own, where it has one.

    A reply that fails (LanguageModelFailed) is wrong, and counts as not asked. Dialogues without what was seen at each
    turn are read as of an empty picture.
    """
    outcomes = [outcome for dialogue in dialogues for outcome in _outcomes(clarify, dialogue)]
    settled = [o for o in outcomes if not o.turn.asks]
    final = [o for o in settled if o.last]
    rows = [
        _row("final instruction exact", [o.exact for o in final]),
        _row("final instruction, slots right", [o.right for o in final], ">= 0.95"),
        *(_row(f"slots right, {kind}", [o.right for o in final if o.kind == kind]) for kind in KINDS),
        _row("slots right, every turn", [o.right for o in settled]),
        _row("ambiguous asked", [o.asked for o in outcomes if o.turn.asks], ">= 0.95"),
        _row("clear asked", [o.asked for o in settled], "<= 0.05"),
    ]
    if perplexity:
        rows.append(DialogueRow("perplexity", perplexity(dialogues), len(outcomes), "<= 1.6"))
    return [row for row in rows if row.count]


def _outcomes(clarify: Clarify, dialogue: Dialogue) -> Iterator[_Outcome]:
    turns = list(dialogue.exchanges())
    for i, turn in enumerate(turns):
        reply = None
        with suppress(LanguageModelFailed):
            reply = clarify(turn.seen or (), turn.history, turn.said)
        yield _Outcome(dialogue.kind, turn, reply, last=i == len(turns) - 1)


def _row(measure: str, hits: Sequence[bool], goal: str = "") -> DialogueRow:
    return DialogueRow(measure, sum(hits) / max(len(hits), 1), len(hits), goal)


def slots(instruction: str) -> tuple[str, str, str, str] | None:
    """Kind, target, value and place of an instruction in small letters; None for one that is not understood."""
    try:
        change = parse_instruction(instruction)
    except BadInput:
        return None
    return change.kind, change.target.casefold(), change.value.casefold(), change.place.casefold()


def _same_words(first: str, second: str) -> bool:
    """Equal but for capitals, blanks and a full stop."""
    plain = [" ".join(text.casefold().split()).rstrip(".! ") for text in (first, second)]
    return plain[0] == plain[1]
