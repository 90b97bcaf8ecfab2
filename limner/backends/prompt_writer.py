"""The trained prompt writer (DiffChat) behind the door of a language model, for the one task of rewriting a prompt.

It reads T(x, i), the prompt that there is and what shall change, and writes y greedily, with a key-value cache, so that
the same request has the same reply. What it writes is checked before anybody sees it, for a prompt is the user's: it
must say what the change leaves alone and grow by little. A writer that knows the picture world only may besides lose,
repeat or bring in nothing but tags. Where that fails the rules rewrite the prompt instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from limner.backends.causal import load_causal
from limner.backends.hardware import Plan
from limner.backends.hub import read_json
from limner.instructpe import TEMPLATE
from limner.integrity import covered, integrity, reference
from limner.lexicon import accepted, forms, mentions, words
from limner.requests import parsed
from limner.rewrite import rewrite_by_rules
from limner.types import LanguageModelFailed, ModelUnavailable, UnknownTask
from limner.world import wording

NAME = "writer"
LONGEST = 160
"""Tokens of a prompt that is written."""

LEAST = 0.7
"""The share of what the new prompt must say (DiffChat's threshold, 3.3)."""

_GROWTH = 24
"""Words by which a prompt may grow beyond the instruction's: what the longest beautification adds."""

_AT_ONCE = 32
_SYNTAX = frozenset("()[]<>")
_NOTE = "writer.json"


class _Note(BaseModel):
    """writer.json: what the writer was made from, its template, and how it was trained to be read."""

    model_config = ConfigDict(extra="ignore", strict=True)
    base: str = ""
    template: Annotated[str, Field(max_length=2000)] = TEMPLATE
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0
    hash: str = ""


class _Rewrite(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    task: Literal["rewrite"]
    prompt: Annotated[str, Field(min_length=1)]
    instruction: Annotated[str, Field(min_length=1)]


def load_writer(source: str = "embedded:writer", *, plan: Plan) -> PromptWriter:
    """Load a causal language model with its writer.json from `embedded:writer`, a folder, a hub id or a GGUF file.

    Any causal language model will do; without a writer.json it is asked by the paper's template as it is. Raises
    ModelUnavailable when it is missing, malformed, unsafe, or its template does not hold prompt and instruction.
    """
    found = load_causal(source, dtype=getattr(torch, plan.precision), default="writer")
    return PromptWriter(found.model.to(plan.device).eval(), found.tokenizer, _note_in(found.folder))


def _note_in(folder: Path) -> _Note:
    """What writer.json says; the paper's template and no more where there is none."""
    try:
        note = _Note.model_validate(read_json(folder / _NOTE) if (folder / _NOTE).is_file() else {})
    except ValidationError as error:
        raise ModelUnavailable(f"{folder / _NOTE}: {error.errors()[0]['msg']}", "train or fetch it again") from None
    if any(part not in note.template for part in ("{x}", "{i}")):
        raise ModelUnavailable(f"{folder / _NOTE}: the template lacks {{x}} or {{i}}", "train or fetch it again")
    return note


@dataclass(slots=True)
class PromptWriter:
    """A LanguageModel (see protocols) for the task «rewrite» alone."""

    model: Any
    tokenizer: Any
    note: _Note
    name: str = NAME

    @property
    def knows_the_world_only(self) -> bool:
        """Whether it was trained from nothing on the picture world, so that any other noun it adds is a slip."""
        return self.note.base == "small"

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Answer the task «rewrite» as JSON: {"prompt", "by"}.

        Raises UnknownTask for another task, and for a prompt with weights or concepts, whose marks it never learned;
        LanguageModelFailed for a malformed request and for a prompt that would lose or invent something.
        """
        if json.loads(user).get("task") != "rewrite":
            raise UnknownTask("the writer rewrites prompts", "use a language model for anything else")
        try:
            asked = _Rewrite.model_validate_json(user)
        except ValidationError as error:
            raise LanguageModelFailed(f"no request to rewrite: {error.errors()[0]['msg']}") from None
        if _SYNTAX & set(asked.prompt + asked.instruction):
            raise UnknownTask("the writer knows no weights and no concepts", "the rules keep them")
        [written] = self.write([(asked.prompt, asked.instruction)], max_tokens)
        self.check(asked.prompt, asked.instruction, written)
        return json.dumps({"prompt": written, "by": self.name}, ensure_ascii=False)

    def write(self, asked: Sequence[tuple[str, str]], longest: int = LONGEST) -> list[str]:
        """A prompt y for each (x, i), unchecked; many are written together, those of like length."""
        prefixes = [self._ids(self._prefix(*each)) for each in asked]
        order = sorted(range(len(asked)), key=lambda place: len(prefixes[place]))
        texts = [""] * len(asked)
        for first in range(0, len(order), _AT_ONCE):
            places = order[first : first + _AT_ONCE]
            for place, text in zip(places, self._generate([prefixes[p] for p in places], longest), strict=True):
                texts[place] = text
        return texts

    def check(self, x: str, i: str, y: str) -> None:
        """Raise LanguageModelFailed for a prompt y that would wreck what x said; see the module."""
        said = _described(x, i)
        if len(words(y)) > len(words(x)) + len(words(i)) + _GROWTH:
            raise LanguageModelFailed("the writer writes without end")
        if integrity(reference(x, i, said), y) < LEAST:
            raise LanguageModelFailed(f"the writer would lose too much: «{y[:120]}»")
        if not self.knows_the_world_only:
            return
        if gone := lost(said, y):
            raise LanguageModelFailed(f"the writer would lose {', '.join(gone)}")
        if added := invented(said, y):
            raise LanguageModelFailed(f"the writer invents {', '.join(added)}")

    def _prefix(self, x: str, i: str) -> str:
        """The template filled in; a line end in either text would pass for the template's."""
        x, i = (" ".join(each.split()) for each in (x, i))
        before, _, rest = self.note.template.partition("{x}")
        between, _, after = rest.partition("{i}")
        return f"{before}{x}{between}{i}{after}"

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @torch.inference_mode()
    def _generate(self, prefixes: Sequence[list[int]], longest: int) -> list[str]:
        end = self.tokenizer.eos_token_id
        pad = end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        width = max(map(len, prefixes))
        room = int(getattr(self.model.config, "max_position_embeddings", None) or width + LONGEST) - width
        if room < 1:
            raise LanguageModelFailed("the prompt is longer than the writer reads")
        ids = torch.tensor([[pad] * (width - len(each)) + each for each in prefixes])
        lengths = torch.tensor([[width - len(each)] for each in prefixes])
        mask = (torch.arange(width)[None] >= lengths).long()
        device = self.model.device
        out: Tensor = self.model.generate(
            input_ids=ids.to(device), attention_mask=mask.to(device), max_new_tokens=min(longest, LONGEST, room),
            do_sample=False, num_beams=1, repetition_penalty=self.note.repetition_penalty, eos_token_id=end,
            pad_token_id=pad,
        )  # fmt: skip
        return [_one_line(self.tokenizer.decode(row, skip_special_tokens=True)) for row in out[:, width:]]


def _one_line(text: str) -> str:
    """The first line, which a base that was never taught to stop goes on from."""
    return " ".join((text.strip().splitlines() or [""])[0].split())


def _described(x: str, i: str) -> str:
    """What the rules make of the prompt: that much a writer must say, too."""
    return rewrite_by_rules(x, i, parsed(i)).prompt


_TABLES = (wording.STYLE_TAGS, wording.TIME_TAGS, wording.WEATHER_TAGS)
_FREE = frozenset(
    form
    for text in (*(phrase for table in _TABLES for row in table.values() for phrase in row), *wording.QUALITY_TAGS)
    for word in words(text)
    for form in forms(word)
)
"""The words of the tags of surface, light and quality, which may come and go with a change."""


def lost(said: str, y: str) -> list[str]:
    """The keywords that `said` has and y has not, tags left out."""
    wanted = reference("", "", said)
    missing = (term for term, there in zip(wanted.keywords, covered(wanted, y), strict=True) if not there)
    return [term.lemma for term in missing if term.lemma not in _FREE]


def invented(said: str, y: str) -> list[str]:
    """The nouns, colours and numbers that y says more often than `said` does, tags left out."""
    found = Counter(mention.term for mention in mentions(y) if mention.term.pos != "verb")
    given = [forms(word) for word in words(said)]
    often = {term: sum(not accepted(term).isdisjoint(each) for each in given) for term in found}
    return [term.lemma for term, count in found.items() if count > often[term] and term.lemma not in _FREE]
