"""One conversation: takes a sentence, runs its steps, yields events, records each turn in a tree.

A turn is recorded when it is finished, and never changed. Undo moves the tip up, branch names it, forget makes the
later turns again without one, replay makes all of them again and says which came out the same.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from limner import history, perform, remake
from limner.clarify import Clarified, clarify
from limner.exchange import Recorder
from limner.history import Node, group_at, now_at, utterances
from limner.image import contact_sheet
from limner.perform import Bench, Now
from limner.plan import Mode, Step, lesson, plan, way
from limner.prompt import check_prompt
from limner.protocols import Mask
from limner.remake import Forgotten, Replayed
from limner.rewrite import DiffKind
from limner.store import SessionState, Store
from limner.turn import Turn, TurnKind, by_id, path_to
from limner.types import BadInput, Event, Picture
from limner.world.dialogue import Utterance

AskLevel = Literal["never", "needed", "often"]
Turns = Generator[Event, None, tuple[Turn, ...]]
NO_SETTINGS: Mapping[str, Any] = {}
_GUESSES = 3
"""How often a question that must not be asked is answered with its first choice."""

_YES = frozenset("yes y yeah yep ok okay sure right exactly correct".split()) | {"yes please", "that's right"}
_NO = frozenset("no n nope wrong".split()) | {"no thanks", "not that"}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two turns side by side: the word diff of their prompts, and their pictures on one sheet where both have one."""

    prompt: list[tuple[DiffKind, str]]
    pictures: Picture | None


class Session:
    """A conversation in a store. Not for use by several threads; another process's change is noticed and refused."""

    def __init__(self, store: Store, state: SessionState, bench: Bench) -> None:
        self.store, self.state, self.bench = store, state, bench
        self._known = by_id(store.turns(state.name))  # an id is the hash of all content: taken once a turn

    @property
    def turns(self) -> list[Turn]:
        """All turns, in the order they were made."""
        return list(self._known.values())

    @property
    def path(self) -> list[Turn]:
        """The turns from the first to the tip."""
        return path_to(self.state.tip, self._known)

    @property
    def now(self) -> Now:
        """Where the conversation stands."""
        return now_at(self.path)

    @property
    def mode(self) -> Mode:
        """Whether changes are made in the prompt or in the picture."""
        return self.state.settings.get("mode", "auto")

    @property
    def asks(self) -> AskLevel:
        """When to ask."""
        return self.state.settings.get("ask", "needed")

    @property
    def open_question(self) -> Turn | None:
        """The question that waits for an answer."""
        path = self.path
        return path[-1] if path and path[-1].kind == "ask" else None

    def set(self, name: Literal["mode", "ask"], value: str) -> None:
        """Change a setting of the session. Raises BadInput for a value that it does not have."""
        values = {"mode": ("rewrite", "edit", "auto"), "ask": ("never", "needed", "often")}[name]
        if value not in values:
            raise BadInput(f"{name} is {value!r}", f"choose {', '.join(values)}")
        self._save(replace(self.state, settings={**self.state.settings, name: value}))

    def open(self, picture: Picture, source: str = "a picture") -> Turns:
        """Go on from a picture that was brought along, `source` says in words from where; returns the turn."""
        return (yield from self._record("open", {"said": ""}, perform.open_picture(self.bench, picture, source)))

    def say(self, sentence: str, mask: Mask | None = None) -> Turns:
        """Do what a sentence asks for; returns the new turns, each recorded as soon as it is finished.

        `mask` (height, width of the picture) marks where it is to be done: then it is one change, and nothing is asked.

        Yields a «plan» Event with the steps, an «instruction» Event with the explicit instruction before it runs, and
        the events of drawing and editing. It may be closed at any of them: the running step leaves nothing. Raises
        BadInput for what cannot be done.
        """
        said = check_prompt(sentence)
        if mask is not None:
            return (yield from self._change_inside(said, mask))
        heard, now = Recorder(self.bench.tools.language), self.now
        seen = self.bench.seen(now, said)
        asked = self.open_question is not None
        planned = plan(heard, said, prompt=now.prompt, seen=seen, asked=asked)
        yield from (Event("warning", warning) for warning in planned.warnings)
        steps = [{"kind": step.kind, "text": step.text} for step in planned.steps]
        yield Event(
            "plan", ", then ".join(step.kind for step in planned.steps), data={"steps": steps, "by": planned.source}
        )
        made: list[Turn] = []
        for step in planned.steps:
            made += yield from self._take(step, said, heard)
            if self.open_question:
                break  # what follows may hang on the answer
        return tuple(made)

    def _take(self, step: Step, said: str, heard: Recorder) -> Turns:
        exchanges = Recorder(self.bench.tools.language)
        if step.kind == "draw":
            work = perform.draw_anew(self.bench, self.now, check_prompt(step.text), exchanges)
            return (yield from self._record("draw", _inputs(said, heard), work))
        if step.kind == "look":
            work = perform.look_at(self.bench, self.now, step.text)
            return (yield from self._record("note", _inputs(said, heard), work))
        if step.kind == "learn":
            name, like = lesson(step.text)
            return (yield from self.learn(name, like=like, inputs=_inputs(said, heard)))
        if step.kind == "undo":
            yield self._undone("undone")
            return ()
        if step.kind == "forget":
            forgotten = yield from self.forget(history.spoken_of(self.path, step.text).id)
            return forgotten.remade
        return (yield from self._change(step.text, said, heard))

    def _change(self, text: str, said: str, heard: Recorder) -> Turns:
        """One change, asked about where it is not clear, made in the prompt or in the picture."""
        if self.open_question and _plain(said) in _NO:
            yield self._undone("then it stays as it is")
            return ()
        found = self._proposed(said) or self._clarified(text, heard)
        yield from (Event("warning", warning) for warning in found.warnings)
        if found.undo:
            yield self._undone("undone")
            return ()
        if found.question:
            asked: dict[str, Any] = {"question": found.question, "choices": list(found.choices), "by": found.source}
            return (yield from self._record("ask", _inputs(said, heard), _given(asked | {"about": text})))
        if self.asks == "often" and not self.open_question and found.instruction.casefold() != text.casefold():
            asked = {"question": f"Do you mean: {found.instruction}?", "choices": ["yes", "no"], "by": found.source}
            proposed_now = {"about": text, "proposal": found.instruction}
            return (yield from self._record("ask", _inputs(said, heard), _given(asked | proposed_now)))
        return (yield from self._make(found.instruction, said, heard))

    def _make(self, instruction: str, said: str, heard: Recorder) -> Turns:
        """Carry out an explicit instruction, after recording the answer that led to it."""
        made: list[Turn] = []
        if self.open_question and not _is_request(said, instruction):
            made += yield from self._record("answer", _inputs(said, heard, instruction), _given({}))
            heard = Recorder(self.bench.tools.language)
        now = self.now
        if now.picture is None:
            raise BadInput("there is no picture to change yet", "say what to draw")
        mode = "rewrite" if self.mode == "auto" and not self.bench.tools.sees else self.mode
        chosen = way(perform.meaning(instruction), mode, edited=now.edited)
        yield Event("instruction", f"{chosen}: {instruction}", data={"instruction": instruction, "way": chosen})
        exchanges = Recorder(self.bench.tools.language)
        does = perform.rewrite_prompt if chosen == "rewrite" else perform.edit_picture
        work = does(self.bench, now, instruction, exchanges)
        made += yield from self._record(chosen, _inputs(said, heard, instruction), work)
        return tuple(made)

    def _change_inside(self, said: str, mask: Mask) -> Turns:
        """A change of what was marked; a thing that is only named is put there."""
        put = f"add {said}"
        instruction = said if perform.meaning(said) or not perform.meaning(put) else put
        yield Event("instruction", f"edit: {instruction}", data={"instruction": instruction, "way": "edit"})
        exchanges = Recorder(self.bench.tools.language)
        work = perform.edit_picture(self.bench, self.now, instruction, exchanges, mask)
        return (yield from self._record("edit", {**_inputs(said, exchanges), "instruction": instruction}, work))

    def _clarified(self, text: str, heard: Recorder) -> Clarified:
        """The explicit instruction or the question; where nothing may be asked, the first choice is taken and said."""
        if not self.bench.tools.sees:
            return Clarified(instruction=text)
        seen, past = self.bench.seen(self.now, text), utterances(self.path)
        try:
            found = clarify(heard, seen, past, text)
        except BadInput:
            if self.mode != "rewrite" and heard.name in ("rules", "embedded"):
                raise  # words that nobody understands are not added to the prompt unasked
            return Clarified(instruction=text)  # only the prompt can take it
        for _ in range(_GUESSES):
            if self.asks != "never" or not found.choices:
                break
            past = [*past, Utterance("user", text), Utterance("system", found.question)]
            text, assumed = found.choices[0], (*found.warnings, f"assumed: {found.choices[0]}")
            found = replace(clarify(heard, seen, past, text), warnings=assumed)
        return found

    def _proposed(self, said: str) -> Clarified | None:
        """The instruction that «Do you mean ...?» proposed, after a yes."""
        asked = self.open_question
        if asked is None or "proposal" not in asked.content or _plain(said) not in _YES:
            return None
        return Clarified(instruction=asked.content["proposal"])

    def _record(self, kind: TurnKind, inputs: Mapping[str, Any], work: perform.Work) -> Turns:
        """Run a step to its end and record its turn; the «turn» Event comes after it is safe."""
        started = time.monotonic()
        content = yield from work
        turn = Turn(self.state.tip, kind, {**inputs, **content}, round(time.monotonic() - started, 3), time.time())
        self._save(replace(self.state, tip=turn.id, redo=()), turn)
        yield Event("turn", history.headline(turn), data={"turn": turn})
        return (turn,)

    def _save(self, state: SessionState, *turns: Turn) -> None:
        self.state = self.store.save(state, turns)
        for turn in turns:
            self._known.setdefault(turn.id, turn)

    def learn(
        self,
        name: str,
        picture: Picture | None = None,
        *,
        source: str = "what the picture shows",
        like: str = "",
        chosen: Mapping[str, Any] = NO_SETTINGS,
        inputs: Mapping[str, Any] = NO_SETTINGS,
    ) -> Turns:
        """Learn a concept from a picture, by default the one there is, to be said as <name> from then on.

        `source` says where the picture is from, `like` what to begin from, `chosen` has other settings than the usual
        ones. Yields the events of learning. Raises BadInput without a picture and for a name that is none or taken.
        """
        now = self.now
        if picture is None and now.picture is None:
            raise BadInput("there is no picture to learn from yet", "say what to draw, or /learn NAME PICTURE")
        shown = picture or self.bench.picture(str(now.picture))
        wanted = {**chosen, **({"like": like} if like else {})}
        work = perform.learn_picture(self.bench, shown, name, source, wanted)
        return (yield from self._record("learn", inputs, work))

    def _undone(self, told: str) -> Event:
        before = self.path
        self.undo()
        left = history.stays(before[len(self.path) :])
        return Event("undo", f"{told}; {left}" if left else told)

    def undo(self) -> Turn | None:
        """Go back before the last turn, and the question that led to it; returns the turn now at the tip.

        Raises BadInput when there is nothing to undo.
        """
        path = self.path
        if not path:
            raise BadInput("there is nothing to undo", "say what to draw")
        target = path[group_at(path, len(path) - 1).start].parent
        self._save(replace(self.state, tip=target, redo=(*self.state.redo, path[-1].id)))
        return path_to(target, self._known)[-1] if target else None

    def redo(self) -> Turn:
        """Take the last undo back; returns the turn now at the tip. Raises BadInput when there is none."""
        if not self.state.redo:
            raise BadInput("there is nothing to redo", "/undo first")
        *rest, tip = self.state.redo
        self._save(replace(self.state, tip=tip, redo=tuple(rest)))
        return self._known[tip]

    def branch(self, name: str) -> None:
        """Give the tip a name to come back to. Raises BadInput for a name that is none, and before the first turn."""
        if self.state.tip is None:
            raise BadInput("there is nothing to name yet", "say what to draw")
        if not name or name.isdecimal() or len(name) > 64 or not name.replace("-", "").replace("_", "").isalnum():
            raise BadInput(f"{name!r} is no name for a branch", "letters, digits, - and _, not digits alone")
        self._save(replace(self.state, branches={**self.state.branches, name: self.state.tip}))

    def goto(self, named: str) -> Turn:
        """Move the tip to a turn by number, branch or id; returns it. Raises BadInput for none or several."""
        turn = self.find(named)
        self._save(replace(self.state, tip=turn.id, redo=()))
        return turn

    def find(self, named: str) -> Turn:
        """The turn that a number, a branch or the beginning of an id names. Raises BadInput for none or several."""
        return history.find(self.turns, self.state.branches, named)

    def tree(self) -> tuple[Node, ...]:
        """The whole tree."""
        return history.tree(self.turns, self.state.tip, self.state.branches)

    def diff(self, first: Turn, second: Turn) -> Difference:
        """Two turns side by side."""
        shas = [now_at(path_to(turn.id, self._known)).picture for turn in (first, second)]
        pictures = [self.bench.picture(sha) for sha in shas if sha]
        captions = [history.headline(turn) for turn in (first, second)]
        sheet = contact_sheet(pictures, captions, columns=2) if len(pictures) == 2 else None
        return Difference(history.prompt_difference(self.turns, first, second), sheet)

    def forget(self, turn_id: str) -> Generator[Event, None, Forgotten]:
        """Remove a turn's influence: the later turns of the path are made again without it, where they still apply.

        What it was stays in the tree, on the branch that is left. All or nothing is recorded. Raises BadInput for a
        turn that is not on the way to the tip.
        """
        path = self.path
        place = next((index for index, turn in enumerate(path) if turn.id == turn_id), None)
        if place is None:
            raise BadInput("that turn is not on the way to where you are", "/goto a turn that came of it first")
        group = group_at(path, place)
        kept, later = path[: group.start], path[group.stop :]
        if later and later[-1].kind == "ask":
            later.pop()  # a question that nobody answered is not asked again
        remade, dropped = yield from remake.remade(self.bench, kept, later)
        tip = remade[-1].id if remade else kept[-1].id if kept else None
        self._save(replace(self.state, tip=tip, redo=()), *remade)
        yield from (Event("turn", history.headline(turn), data={"turn": turn}) for turn in remade)
        return Forgotten(tuple(path[group.start : group.stop]), tuple(remade), tuple(dropped))

    def replay(self) -> Generator[Event, None, list[Replayed]]:
        """Make every turn again from its record and compare; nothing is recorded."""
        return (yield from remake.replayed(self.bench, self._known))


def _plain(said: str) -> str:
    return said.casefold().strip(" .!")


def _is_request(said: str, instruction: str) -> bool:
    """Whether a sentence says by itself what is done: then it answered no question, but left it open."""
    alone, done = perform.meaning(said), perform.meaning(instruction)
    return said == instruction or (
        alone is not None and done is not None and replace(alone, instruction="") == replace(done, instruction="")
    )


def _inputs(said: str, heard: Recorder, instruction: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"said": said, "heard": list(heard.exchanges)}
    heard.exchanges.clear()
    return found if instruction is None else {**found, "instruction": instruction}


def _given(content: Mapping[str, Any]) -> perform.Work:
    """Content that is there already."""
    yield from ()
    return dict(content)
