"""Dialogues about changing pictures of the world: what is seen, what is said, and how each matter is settled.

The training material of the dialogue model (DialogPaint 3.1). A system turn is a question, or the marker `[EDIT]` with
the explicit instruction T, or the marker `[UNDO]`; which of them is decided by `limner.world.clarity` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from random import Random
from typing import Any, Literal, get_args

from limner.seen import Seen
from limner.types import BadInput
from limner.world.caption import describe
from limner.world.sample import Palette
from limner.world.scene import Scene
from limner.world.talk import TROUBLES, Talk, opening_scene
from limner.world.vocabulary import binding_held_out, pair_held_out

DialogueKind = Literal["clear", "ambiguous", "several", "forget"]
KINDS: tuple[DialogueKind, ...] = get_args(DialogueKind)
EDIT, UNDO = "[EDIT]", "[UNDO]"
"""What a system turn begins with that settles a matter; one without either is a question."""

_TRIES = 5000
_SHARES = (0.25, 0.4, 0.25, 0.1)
_UNCLEAR = 0.4
"""The share of unclear requests where several follow each other."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one of the two said."""

    speaker: Literal["user", "system"]
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One system turn: what was seen then (None where only a caption is known), all before it, and the reply."""

    seen: tuple[Seen, ...] | None
    history: tuple[Utterance, ...]
    said: str
    reply: str

    @property
    def asks(self) -> bool:
        """True when the reply is a question."""
        return not self.reply.startswith((EDIT, UNDO))

    @property
    def instruction(self) -> str:
        """The explicit instruction T; "" for a question and for taking back."""
        return self.reply.removeprefix(EDIT).strip() if self.reply.startswith(EDIT) else ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """User and system in turn, the user first. `states` is what was seen at each system turn, empty where unknown."""

    kind: DialogueKind
    caption: str
    utterances: tuple[Utterance, ...]
    states: tuple[tuple[Seen, ...], ...] = ()

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What is seen in the picture that the dialogue begins with."""
        return self.states[0] if self.states else ()

    def exchanges(self) -> Iterator[Exchange]:
        """Its system turns, in order."""
        for turn, i in enumerate(range(1, len(self.utterances), 2)):
            said, reply = self.utterances[i - 1 : i + 1]
            seen = self.states[turn] if self.states else None
            yield Exchange(seen, self.utterances[: i - 1], said.text, reply.text)


def sample_dialogue(
    rng: Random, kind: DialogueKind | None = None, palette: Palette | None = None, *, held_out: bool = False
) -> Dialogue:
    """A random dialogue: one clear request, one unclear one, several in a row, or some of which one is taken back.

    No scene that occurs in it holds a held-out pair or binding; with `held_out` at least one does. Raises BadInput
    when the palette allows no such dialogue.
    """
    kind = kind or rng.choices(KINDS, _SHARES)[0]
    for _ in range(_TRIES):
        scene = opening_scene(rng, palette or Palette(tint=0.5), held_out=held_out and rng.random() < 0.7)
        talk = Talk(rng, palette or Palette(), scene)
        if _talked(rng, kind, talk) and any(map(_is_held_out, talk.scenes)) == held_out:
            return _written(kind, describe(scene), talk)
    raise BadInput(f"found no scene for a dialogue of the kind «{kind}»", "give a palette with more to choose from")


def _talked(rng: Random, kind: DialogueKind, talk: Talk) -> bool:
    """Let the talk take its course; False where the scene does not lend itself to it."""
    match kind:
        case "clear":
            return talk.round("")
        case "ambiguous":
            return talk.round(rng.choice(TROUBLES))
        case "several":
            return all(talk.round(_trouble(rng)) for _ in range(rng.choice((2, 2, 3))))
        case "forget":
            before = all(talk.round(_trouble(rng)) for _ in range(rng.choice((1, 1, 2))))
            return before and talk.take_back() and (rng.random() < 0.6 or talk.round(_trouble(rng)))


def _trouble(rng: Random) -> str:
    return rng.choice(TROUBLES) if rng.random() < _UNCLEAR else ""


def _is_held_out(scene: Scene) -> bool:
    pairs = combinations(sorted({thing.concept for thing in scene.things}), 2)
    worn = ((thing.colour, thing.concept) for thing in scene.things if thing.colour)
    return any(pair_held_out(*pair) for pair in pairs) or any(binding_held_out(*binding) for binding in worn)


def _written(kind: DialogueKind, caption: str, talk: Talk) -> Dialogue:
    markers = {"edit": f"{EDIT} ", "undo": UNDO, "ask": ""}
    said = [
        utterance
        for turn in talk.turns
        for utterance in (Utterance("user", turn.said), Utterance("system", markers[turn.what] + turn.reply))
    ]
    return Dialogue(kind, caption, tuple(said), tuple(turn.seen for turn in talk.turns))


def to_json(dialogue: Dialogue) -> str:
    """The dialogue as one line of JSON: caption, kind, dialogue (speaker and text), and what was seen at each turn."""
    states = [[asdict(each) for each in state] for state in dialogue.states]
    said = [asdict(each) for each in dialogue.utterances]
    row = {"caption": dialogue.caption, "kind": dialogue.kind, "dialogue": said}
    return json.dumps(row | ({"states": states} if states else {}), ensure_ascii=False)


def from_json(line: str) -> Dialogue:
    """A dialogue from its line; `states` and `kind` may be missing, as in dialogues that a language model wrote.

    Raises BadInput for anything that is no such dialogue, and for speakers that do not take turns.
    """
    try:
        row: Any = json.loads(line)
        said = tuple(Utterance(each["speaker"], str(each["text"])) for each in row["dialogue"])
        states = tuple(tuple(Seen(**each) for each in state) for state in row.get("states", ()))
        dialogue = Dialogue(row.get("kind", "clear"), str(row["caption"]), said, states)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"no dialogue: {line[:60]!r} ({type(error).__name__})", "one JSON object a line") from None
    turns = len(said) // 2
    if not turns or [u.speaker for u in said] != ["user", "system"] * turns or len(states) not in (0, turns):
        raise BadInput(f"no dialogue: {line[:60]!r}", "user and system speak in turn, the user first")
    return dialogue
