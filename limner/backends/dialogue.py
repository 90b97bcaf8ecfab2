"""The dialogue model: Blenderbot behind the door of a language model, for the one task of clarifying a request.

The model reads the dialogue as ParlAI's recipe writes it, turns joined by two spaces, and before the last turn what is
seen in the picture; it writes a question, or a marker and the explicit instruction (DialogPaint 3.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from limner.backends.hardware import Plan
from limner.backends.looking import checked_folder, load_model, load_tokenizer
from limner.backends.pairs import encoded, perplexity, samples, written
from limner.instruction import parse_instruction
from limner.protocols import LanguageModel
from limner.requests import parsed
from limner.seen import Seen, summary
from limner.types import BadInput, LanguageModelFailed, UnknownTask
from limner.world.clarity import choices_of, is_offered, is_sound, read_seen
from limner.world.dialogue import EDIT, UNDO, Dialogue, Utterance

LONGEST_REPLY = 80
BEAMS = 8
"""Where what it says first cannot be meant, so many hypotheses are looked through."""

_CLASSES = {"blenderbot": "BlenderbotForConditionalGeneration"}
_MAX_SEEN, _MAX_TURNS, _MAX_CHARS = 32, 200, 2000


def load_dialogue(source: str = "embedded:dialogue", *, plan: Plan, fallback: LanguageModel) -> DialogueModel:
    """Load a BlenderbotForConditionalGeneration from `embedded:dialogue`, a folder or a hub id.

    `fallback` answers every other task. Raises ModelUnavailable when it is missing, of another class, malformed or
    unsafe.
    """
    folder, kind = checked_folder(source, _CLASSES, default="dialogue")
    model = load_model(folder, _CLASSES[kind], getattr(torch, plan.precision)).to(plan.device)
    tokenizer = load_tokenizer(folder)
    return DialogueModel("embedded" if source.startswith("embedded:") else source, model, tokenizer, fallback)


class _Utterance(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    speaker: Literal["user", "system"]
    text: Annotated[str, Field(max_length=_MAX_CHARS)]


class _Clarify(BaseModel):
    """A request as the conversation makes it; system turns in `history` carry their markers, as in the training."""

    model_config = ConfigDict(extra="ignore", strict=True)
    task: Literal["clarify"]
    seen: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=_MAX_SEEN)]
    history: Annotated[list[_Utterance], Field(max_length=_MAX_TURNS)] = []
    said: Annotated[str, Field(min_length=1, max_length=_MAX_CHARS)]


class DialogueModel:
    """A LanguageModel (see protocols): greedy, so that the same dialogue has the same reply.

    An instruction about a thing that is not seen, or that two things answer to, and words that nobody said, cannot be
    meant: then the likeliest turn that can is taken instead, where there is one.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, fallback: LanguageModel) -> None:
        self.name = name
        self.model, self.tokenizer = model, tokenizer
        model.generation_config = _greedy(model)
        self._fallback = fallback

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Answer the task «clarify» as JSON: {"instruction"}, {"question", "choices"} or {"undo"}; leave out the rest.

        Any other task goes to the fallback. Raises LanguageModelFailed for a malformed request, one in letters that
        the model does not know, and a reply that cannot be carried out.
        """
        if json.loads(user).get("task") != "clarify":
            return self._fallback.reply(system, user, schema=schema, max_tokens=max_tokens)
        try:
            asked = _Clarify.model_validate_json(user)
        except ValidationError as error:
            raise LanguageModelFailed(f"no request to clarify: {error.errors()[0]['msg']}") from None
        if (known := parsed(asked.said)) and known.kind in ("move", "resize"):
            raise UnknownTask("it was taught the changes that an editor makes")
        history = [Utterance(each.speaker, each.text) for each in asked.history]
        text = written(summary([Seen(text) for text in asked.seen]), history, asked.said)
        told = answer(self.say(text, max_tokens), asked.seen)
        if not is_possible(told, asked.seen, text):
            told = next(self._others(text, asked, max_tokens), told)
        return json.dumps(told)

    def perplexity(self, dialogues: Sequence[Dialogue]) -> float:
        """How uncertain it is of the system turns, a token; 1 is certain (methods 3.3)."""
        return perplexity(self.model, samples(self.tokenizer, dialogues))

    def say(self, text: str, max_tokens: int = LONGEST_REPLY) -> str:
        """The system's next turn after a written dialogue, as the model puts it."""
        return self.hypotheses(text, 1, max_tokens)[0]

    def _others(self, text: str, asked: _Clarify, max_tokens: int) -> Iterator[dict[str, Any]]:
        """What it might have answered as well and can be meant, the likeliest first."""
        for said in self.hypotheses(text, BEAMS, max_tokens):
            with suppress(LanguageModelFailed):
                if is_possible(told := answer(said, asked.seen), asked.seen, text):
                    yield told

    @torch.inference_mode()
    def hypotheses(self, text: str, number: int, max_tokens: int = LONGEST_REPLY) -> list[str]:
        """What it may say next, the likeliest first, by a search with so many beams; with one it is greedy.

        Raises LanguageModelFailed for letters that are not English.
        """
        if not text.isascii():
            raise LanguageModelFailed("the dialogue model knows English letters only")
        tokens = torch.tensor([encoded(self.tokenizer, text)], device=self.model.device)
        mask, longest = torch.ones_like(tokens), min(max_tokens, LONGEST_REPLY)
        beams = {"num_beams": number, "num_return_sequences": number}
        out: Tensor = self.model.generate(input_ids=tokens, attention_mask=mask, max_length=longest, **beams)
        return [str(self.tokenizer.decode(each, skip_special_tokens=True)).strip() for each in out]


def _greedy(model: Any) -> Any:
    """How the model is to write: the checkpoints' own settings want 20 words of chat, in words not yet said."""
    from transformers import GenerationConfig

    own = model.config
    start = own.decoder_start_token_id
    return GenerationConfig(
        decoder_start_token_id=start, bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id, do_sample=False, num_beams=1, min_length=0, no_repeat_ngram_size=0,
        encoder_no_repeat_ngram_size=0,
    )  # fmt: skip


def answer(said: str, seen: Sequence[str]) -> dict[str, Any]:
    """What a system turn means. Raises LanguageModelFailed for an instruction that cannot be understood."""
    if said.upper().startswith(UNDO):
        return {"undo": True}
    if said.upper().startswith(EDIT):
        instruction = said[len(EDIT) :].strip()
        try:
            parse_instruction(instruction)
        except BadInput as error:
            raise LanguageModelFailed(f"the dialogue model's instruction: {error.message}") from None
        return {"instruction": instruction, "question": "", "choices": []}
    if not said.endswith("?"):
        raise LanguageModelFailed(f"the dialogue model neither asks nor instructs: «{said[:80]}»")
    return {"instruction": "", "question": capitalised(said), "choices": list(choices_of(said, seen))}


def is_possible(told: Mapping[str, Any], seen: Sequence[str], read: str) -> bool:
    """Whether an answer can be meant, given what is seen and all that was `read`: see `clarity.is_sound`."""
    things = [read_seen(text) for text in seen]
    if instruction := told.get("instruction"):
        return is_sound(parse_instruction(instruction), things, read)
    return is_offered(told.get("question", ""), things)


def capitalised(text: str) -> str:
    """Sentences with capitals, and «I», which the model writes small."""
    text = re.sub(r"\bi\b", "I", text)
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), text)
