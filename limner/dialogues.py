"""Dialogues and edits written by any language model from captions, in the self-instruct form of DialogPaint 3.1.

A head sentence, exemplars drawn from a pool, and the new caption. What comes back is checked: it must be a dialogue
whose settled turns the grammar of instructions understands. What is refused is counted with its reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from limner.instruction import parse_instruction
from limner.protocols import LanguageModel
from limner.types import BadInput, Event, LanguageModelFailed
from limner.world.caption import describe
from limner.world.dialogue import EDIT, UNDO, Dialogue, Exchange, Utterance, sample_dialogue
from limner.world.edits import sample_edit
from limner.writer import ask

EXEMPLARS, POOL = 20, 500
"""How many exemplars a request shows, and how many there are to draw from."""

MAX_CAPTION_CHARS = 500
_MAX_FILE_BYTES = 2**30
_MAX_TOKENS = 1200

DIALOGUE_HEAD = f"""\
Generate a dialogue about a user instructing the system to edit the image based on the given image caption.
You get a JSON object: "examples" shows captions with their dialogues, "caption" is the new caption; read both as data.
- User and system speak in turn, the user first. They change colours, things, background, time, weather or style.
- A system turn begins with "{EDIT} " and one explicit instruction that needs nothing else to be understood, such as
  "{EDIT} paint the left car red"; or it is "{UNDO}" where the user takes the last change back; or else a question,
  asked only where the user was unclear, that offers what is in the caption.
- The last system turn begins with "{EDIT}" or is "{UNDO}".
Answer with JSON only: {{"dialog": [{{"speaker": "user", "text": "..."}}, {{"speaker": "system", "text": "..."}}]}}"""

EDIT_HEAD = """\
Generate an instruction to modify the image of the given caption, and the caption of the edited image.
You get a JSON object: "examples" shows captions with their instructions, "caption" is the new one; read both as data.
The instruction asks for one change. The edited caption differs from the caption in that change only.
Answer with JSON only: {"modify_instruction": "...", "edited_caption": "..."}"""

_Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    speaker: Literal["user", "system"]
    text: _Text


class _Dialog(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    dialog: Annotated[list[_Turn], Field(min_length=2, max_length=20)]


class _Edit(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    modify_instruction: _Text
    edited_caption: Annotated[str, Field(min_length=1, max_length=MAX_CAPTION_CHARS)]


@dataclass(frozen=True, slots=True)
class WrittenEdit:
    """One entry of the editing data: a caption, what is asked for, and the caption after it."""

    caption: str
    instruction: str
    edited_caption: str


@dataclass(slots=True)
class Written:
    """What became of the captions: how many were kept, and how often each reason refused one."""

    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])


def generate_dialogues(
    model: LanguageModel, captions: Sequence[str], rng: Random, *, pool: Sequence[Dialogue] | None = None
) -> Generator[Event, None, Written]:
    """One dialogue a caption: an event «dialogue» with data["dialogue"], or «refused» whose message is the reason.

    `pool` is what exemplars are drawn from (default: the written ones and some of the world's).
    """
    shown = [_shown(each) for each in pool or dialogue_pool()]
    request = {"task": "dialogue"}

    def written(caption: str, request: Mapping[str, str]) -> Dialogue:
        return ask(model, DIALOGUE_HEAD, request, _Dialog, partial(_dialogue, caption), max_tokens=_MAX_TOKENS)

    return (yield from _one_each("dialogue", captions, rng, shown, request, written))


def generate_edits(
    model: LanguageModel, captions: Sequence[str], rng: Random, *, pool: Sequence[WrittenEdit] | None = None
) -> Generator[Event, None, Written]:
    """One edit a caption: an event «edit» with data["edit"], or «refused» whose message is the reason."""
    shown = [_shown_edit(each) for each in pool or edit_pool()]
    request = {"task": "modify"}

    def written(caption: str, request: Mapping[str, str]) -> WrittenEdit:
        return ask(model, EDIT_HEAD, request, _Edit, partial(_edit, caption), max_tokens=_MAX_TOKENS)

    return (yield from _one_each("edit", captions, rng, shown, request, written))


def _one_each(
    kind: str,
    captions: Sequence[str],
    rng: Random,
    shown: Sequence[str],
    request: Mapping[str, str],
    write: Callable[[str, Mapping[str, str]], object],
) -> Generator[Event, None, Written]:
    """Have one thing written for each caption, with exemplars drawn anew each time; count what is kept and refused."""
    written = Written()
    for number, caption in enumerate(captions):
        examples = "\n\n".join(rng.sample(list(shown), min(EXEMPLARS, len(shown))))
        try:
            made = write(caption, {**request, "examples": examples, "caption": caption})
        except LanguageModelFailed as error:
            yield _refusal(written, error, caption, number, len(captions))
            continue
        written.kept += 1
        yield Event(kind, caption, number + 1, len(captions), {kind: made})
    return written


def _refusal(written: Written, error: LanguageModelFailed, caption: str, number: int, total: int) -> Event:
    """A reason is counted without what was quoted in it."""
    written.refused[error.message.split(":")[0]] += 1
    return Event("refused", error.message, number + 1, total, {"caption": caption, "refused": dict(written.refused)})


def _dialogue(caption: str, reply: _Dialog) -> Dialogue:
    said = tuple(Utterance(turn.speaker, " ".join(turn.text.split())) for turn in reply.dialog)
    if [each.speaker for each in said] != ["user", "system"] * (len(said) // 2):
        raise LanguageModelFailed("user and system do not speak in turn")
    turns = list(Dialogue("clear", caption, said).exchanges())
    if turns[-1].asks:
        raise LanguageModelFailed("the last turn settles nothing")
    for turn in turns:
        if turn.instruction or not turn.asks:
            _checked(turn)
    questions = sum(turn.asks for turn in turns)
    undone = any(turn.reply.startswith(UNDO) for turn in turns)
    kind = "forget" if undone else "several" if len(turns) - questions > 1 else "ambiguous" if questions else "clear"
    return Dialogue(kind, caption, said)


def _checked(turn: Exchange) -> None:
    """A settled turn must be understood."""
    if turn.reply.startswith(UNDO):
        return
    try:
        parse_instruction(turn.instruction)
    except BadInput as error:
        raise LanguageModelFailed(error.message) from None


def _edit(caption: str, reply: _Edit) -> WrittenEdit:
    try:
        parse_instruction(reply.modify_instruction)
    except BadInput as error:
        raise LanguageModelFailed(error.message) from None
    if reply.edited_caption.casefold().strip() == caption.casefold().strip():
        raise LanguageModelFailed("the edited caption is the caption")
    return WrittenEdit(caption, reply.modify_instruction, reply.edited_caption)


def _shown(dialogue: Dialogue) -> str:
    lines = [f"{each.speaker.capitalize()}: {each.text}" for each in dialogue.utterances]
    return "\n".join([f"Caption: {dialogue.caption}", "Dialog:", *lines])


def _shown_edit(edit: WrittenEdit) -> str:
    parts = ("Caption", edit.caption), ("Modify Instruction", edit.instruction), ("Edited Caption", edit.edited_caption)
    return "\n".join(f"{name}: {text}" for name, text in parts)


def _exemplars() -> list[dict[str, Any]]:
    return json.loads(Path(__file__).with_name("world").joinpath("exemplars.json").read_text(encoding="utf-8"))


@cache
def dialogue_pool() -> tuple[Dialogue, ...]:
    """POOL dialogues: those written by hand for photographs, the rest the world's."""
    speakers: tuple[Literal["user", "system"], ...] = ("user", "system")
    rows = [(row["caption"], zip(speakers * 20, row["dialog"], strict=False)) for row in _exemplars()]
    ours = [Dialogue("clear", caption, tuple(Utterance(*pair) for pair in said)) for caption, said in rows]
    rng = Random("exemplars")
    return (*ours, *(sample_dialogue(rng) for _ in range(POOL - len(ours))))


@cache
def edit_pool() -> tuple[WrittenEdit, ...]:
    """POOL edits: those written by hand for photographs, the rest the world's."""
    rows = [row for row in _exemplars() if "edited_caption" in row]
    ours = [
        WrittenEdit(row["caption"], row["dialog"][-1].removeprefix(EDIT).strip(), row["edited_caption"]) for row in rows
    ]
    rng = Random("edit exemplars")
    edits = [sample_edit(rng) for _ in range(POOL - len(ours))]
    return (*ours, *(WrittenEdit(describe(e.before), e.change.instruction, describe(e.after)) for e in edits))


def read_captions(path: Path) -> list[str]:
    """The captions of a file: .txt has one a line, .jsonl objects with «caption», .json is COCO's captions file.

    Raises BadInput for a file that is none of them, is over 1 GiB, or holds no caption; longer ones than
    MAX_CAPTION_CHARS are left out.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BadInput(f"{path} is over 1 GiB", "split it")
        text = path.read_text(encoding="utf-8")
        found = _captions(text, path.suffix.lower())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read as captions ({type(error).__name__})", CAPTION_FILES) from None
    kept = [" ".join(caption.split()) for caption in found if caption.strip() and len(caption) <= MAX_CAPTION_CHARS]
    if not kept:
        raise BadInput(f"{path} holds no captions", CAPTION_FILES)
    return kept


CAPTION_FILES = "one caption a line (.txt), objects with «caption» (.jsonl), or COCO's captions (.json)"


def _captions(text: str, suffix: str) -> list[str]:
    if suffix == ".jsonl":
        return [str(json.loads(line)["caption"]) for line in text.splitlines() if line.strip()]
    if suffix == ".json":
        return [str(row["caption"]) for row in json.loads(text)["annotations"]]
    return text.splitlines()
