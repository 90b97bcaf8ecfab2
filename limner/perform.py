"""One step of a conversation carried out: its inputs and models in, the content of a turn out.

Content holds all that made the turn (inputs, options, seeds, what the language model replied) and all that came of it,
as JSON values, and nothing that depends on the clock: the same inputs on the same machine give the same content, byte
for byte, which is what `limner sessions replay` checks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from limner.blobs import Blobs
from limner.concept import check_name
from limner.draw import DrawOptions, DrawResult, draw
from limner.easel import BATCH
from limner.edit import EditOptions, EditResult, edit
from limner.exchange import Recorder
from limner.findings import checks, edit_recipe, lineage
from limner.image import decode_picture, from_rle, png_bytes, to_rle
from limner.image.metadata import recipe_values
from limner.instruction import parse_instruction
from limner.protocols import EditModels, Eyes, LanguageModel, Mask, Models
from limner.refine import SEEDS
from limner.rewrite import Rewritten, rewrite, rewrite_by_rules, word_diff
from limner.seen import Seen
from limner.sight import answer, things_seen
from limner.turn import Turn
from limner.types import BadInput, Change, Event, Picture

Content = dict[str, Any]
Work = Generator[Event, None, Content]
INPUTS = ("said", "heard", "instruction")
"""What a session adds to the content of a turn: the words, what the language model made of them, the instruction."""

_SEED_STEP = 1009
"""How far apart the seeds of two turns of one session are: further than a turn draws pictures."""


class Tools(Protocol):
    """The models of a session, each loaded when it is first asked for; `versions` decide bytes beside the recipe."""

    @property
    def models(self) -> Models:
        """All that drawing needs."""
        ...

    @property
    def edit_models(self) -> EditModels:
        """All that editing needs."""
        ...

    @property
    def eyes(self) -> Eyes:
        """All that looking needs."""
        ...

    @property
    def sees(self) -> bool:
        """Whether the eyes are on this machine; without them changes are made in the prompt."""
        ...

    @property
    def language(self) -> LanguageModel:
        """The language model."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Libraries, device and precision."""
        ...

    def likes(self, text: str) -> Mapping[str, str]:
        """What each learned concept that a text names is like, by name; none for one that is not there."""
        ...

    def concept_file(self, name: str) -> str:
        """The sha256 of the concept's file, "" where there is none."""
        ...

    def learn(self, picture: Picture, name: str, chosen: Mapping[str, Any]) -> Work:
        """Learn a concept and keep it. `chosen` are settings that are not the usual ones.

        Returns {"name", "like", "method", "steps", "settings", "reference", "concept"}, none of which depends on the
        clock: `reference` is the sha256 of the picture, `concept` that of the file. Raises BadInput for a name that is
        taken, before anything is loaded.
        """
        ...


@dataclass(frozen=True, slots=True)
class Now:
    """Where a conversation stands: the prompt that describes its picture, and the picture.

    `prompt` and `picture` (sha256) are None before the first one; `seed` is the one that its last drawing was made
    with, `edited` whether the picture was edited since. `original` and `kind` are of the last edit, where nothing was
    drawn since: what it started from, and what it changed.
    """

    prompt: str | None = None
    picture: str | None = None
    seed: int = 0
    edited: bool = False
    original: str | None = None
    kind: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Bench:
    """What steps are carried out with: models, the store of pictures, and options whose seed and text are put in.

    `seed` is the session's; `fixed` is given where a turn is made again with its own.
    """

    tools: Tools
    blobs: Blobs
    drawing: DrawOptions
    editing: Mapping[str, Any]
    seed: int
    fixed: int | None = None
    sights: dict[tuple[str, ...], tuple[Seen, ...]] = field(default_factory=dict[tuple[str, ...], tuple[Seen, ...]])

    def picture(self, sha256: str) -> Picture:
        """A picture of the store."""
        return decode_picture(self.blobs.get(sha256), f"picture {sha256[:12]}")

    def seen(self, now: Now, said: str = "") -> tuple[Seen, ...]:
        """The things in the picture there is, looked for once; none without a picture."""
        if now.picture is None or now.prompt is None or not self.tools.sees:
            return ()
        eyes = self.tools.eyes
        texts = (now.prompt,) if eyes.detector.things else (now.prompt, said)
        key = (now.picture, *texts)
        if key not in self.sights:
            self.sights[key] = things_seen(eyes, self.picture(now.picture), texts, self.tools.likes(" ".join(texts)))
        return self.sights[key]

    def seed_at(self, depth: int) -> int:
        """The first seed of a turn so deep in the tree."""
        return self.fixed if self.fixed is not None else (self.seed + _SEED_STEP * depth) % SEEDS


def draw_anew(bench: Bench, now: Now, prompt: str, exchanges: Recorder) -> Work:
    """A new picture from a prompt, with seeds of its own."""
    options = replace(bench.drawing, prompt=prompt, seed=bench.seed_at(now.depth))
    return (yield from _drawn(bench, options, exchanges))


def open_picture(bench: Bench, picture: Picture, source: str) -> Work:
    """A picture that was brought along becomes what the conversation is about; `source` says in words where from.

    What it shows is said by the captioner. Raises BadInput where none is on this machine.
    """
    if not bench.tools.sees:
        raise BadInput("nothing here can look at a picture", "limner doctor says what is missing")
    yield Event("look", "looking")
    [caption] = bench.tools.eyes.captioner.caption([picture])
    return {"source": source, "prompt": caption, "picture": bench.blobs.put(png_bytes(picture)), "warnings": []}


def rewrite_prompt(bench: Bench, now: Now, instruction: str, exchanges: Recorder) -> Work:
    """The prompt changed by instruction (DiffChat) and drawn from the seed of the picture there is.

    Yields a «rewrite» Event with the word diff before anything is drawn. Raises BadInput without a prompt to change.
    """
    if now.prompt is None:
        raise BadInput("there is no prompt to rewrite yet", "say what to draw")
    written = rewrite(exchanges, now.prompt, instruction, meaning(instruction))
    diff = word_diff(now.prompt, written.prompt)
    by = " (by the trained writer; --writer none leaves it to the rules)" if written.source == "writer" else ""
    yield Event("rewrite", marked(diff) + by, data={"before": now.prompt, "after": written.prompt, "diff": diff})
    yield from (Event("warning", warning) for warning in written.warnings)
    options = replace(bench.drawing, prompt=written.prompt, seed=now.seed)
    content = yield from _drawn(bench, options, exchanges)
    return {**content, "before": now.prompt, "writer": written.source, "warnings": _with(written, content)}


def edit_picture(bench: Bench, now: Now, instruction: str, exchanges: Recorder, marked: Mask | None = None) -> Work:
    """The picture itself changed by instruction (DialogPaint), everything else left alone.

    `marked` (height, width of the picture) says where, instead of the words. A change of the whole picture that
    replaces the one before it (night, then sunset) starts from what that started from, so that nothing is lost by doing
    it twice. Raises BadInput for a thing that is not there.
    """
    if now.picture is None or now.prompt is None:
        raise BadInput("there is no picture to change yet", "say what to draw")
    change = parse_instruction(instruction)
    again = not change.local and change.kind == now.kind and now.original is not None and marked is None
    start = now.original if again and now.original else now.picture
    options = EditOptions(change, marked, seed=bench.seed_at(now.depth), **bench.editing)
    result = yield from edit(bench.tools.edit_models, bench.picture(start), options)
    content = _edited(bench, options, result, start) | ({} if marked is None else {"mask": dict(to_rle(marked))})
    described = rewrite_by_rules(now.prompt, instruction, change).prompt
    return {**content, "prompt": described, "exchanges": exchanges.exchanges}


def look_at(bench: Bench, now: Now, question: str) -> Work:
    """An answer about the picture. Raises BadInput without one."""
    if now.picture is None:
        raise BadInput("there is no picture to look at yet", "say what to draw")
    yield Event("look", "looking")
    return {"reply": answer(bench.tools.eyes, bench.picture(now.picture), question, bench.seen(now, question))}


def learn_picture(bench: Bench, picture: Picture, name: str, source: str, chosen: Mapping[str, Any]) -> Work:
    """A concept learned from one picture (DreamArtist); `source` says in words which. The shown picture stays."""
    learned = yield from bench.tools.learn(picture, check_name(name), chosen)
    return {**learned, "source": source, "picture_learned": bench.blobs.put(png_bytes(picture))}


def _learn_again(bench: Bench, turn: Turn) -> Work:
    """The same concept, learned once more only where its very file is not there.

    Raises BadInput where another one has its name by now: what somebody learned since is not overwritten.
    """
    content = turn.content
    there = bench.tools.concept_file(content["name"])
    if there == content["concept"]:
        return (yield from _unchanged(turn))
    if there:
        raise BadInput(f"<{content['name']}> is another one by now", "take that off: limner concepts rm")
    picture = bench.picture(content["picture_learned"])
    return (yield from learn_picture(bench, picture, content["name"], content["source"], content["settings"]))


def again(bench: Bench, now: Now, turn: Turn, exchanges: Recorder) -> Work:
    """A turn made once more with its own options and seeds, from where the conversation stands now.

    Raises BadInput where it does not apply there, as when the thing that it changed is not in the picture.
    """
    content: Mapping[str, Any] = turn.content
    given = {name: value for name, value in content.get("options", {}).items() if name not in ("prompt", "seed")}
    own = replace(bench, fixed=content.get("options", {}).get("seed"))
    if turn.kind == "draw":
        return draw_anew(replace(own, drawing=DrawOptions("-", **given)), now, content["prompt"], exchanges)
    if turn.kind == "rewrite":
        return rewrite_prompt(replace(own, drawing=DrawOptions("-", **given)), now, content["instruction"], exchanges)
    if turn.kind == "edit":
        marked = from_rle(content["mask"]) if "mask" in content else None
        return edit_picture(replace(own, editing=given), now, content["instruction"], exchanges, marked)
    if turn.kind == "note":
        return look_at(bench, now, content["said"])
    if turn.kind == "learn":
        return _learn_again(bench, turn)
    return _unchanged(turn)


def _unchanged(turn: Turn) -> Work:
    """What a question or an answer is, is what was said: nothing is made."""
    yield from ()
    return {name: value for name, value in turn.content.items() if name not in INPUTS}


def meaning(instruction: str) -> Change | None:
    """What an instruction means; None where the grammar does not know."""
    try:
        return parse_instruction(instruction)
    except BadInput:
        return None


def _drawn(bench: Bench, options: DrawOptions, exchanges: Recorder) -> Work:
    models = replace(bench.tools.models, language=exchanges)
    count = options.count or min(BATCH, models.text_to_image.max_batch)  # what the machine takes, recorded
    options = replace(options, count=count)
    result = yield from draw(models, options)
    return _drawing(bench, options, result, exchanges)


def _drawing(bench: Bench, options: DrawOptions, result: DrawResult, exchanges: Recorder) -> Content:
    best = result.best
    return {
        "prompt": options.prompt,
        "options": _given(asdict(options)),
        "picture": bench.blobs.put(png_bytes(best.picture)),
        "recipe": recipe_values(best.recipe) | {"versions": dict(bench.tools.versions)},
        "scores": dict(best.card.scores),
        "threshold": dict(best.card.threshold),
        "passed": best.card.passed,
        "drawn": result.pictures_drawn,
        "scorer": result.scorer,
        "llm": result.llm,
        "exchanges": exchanges.exchanges,
        "warnings": list(result.warnings),
    }


def _edited(bench: Bench, options: EditOptions, result: EditResult, start: str) -> Content:
    best = result.best
    return {
        "change": asdict(result.change),
        "from": start,
        "options": _given({"seed": options.seed, "attempts": options.attempts, **bench.editing}),
        "picture": bench.blobs.put(png_bytes(best.picture)),
        "recipe": recipe_values(edit_recipe(result, bench.tools.edit_models.hands, bench.tools.versions)),
        "lineage": lineage(result),
        "checks": checks(best),
        "passed": best.passed,
        "changed": best.changed,
        "drift": best.drift,
        "tries": len(result.attempts),
        "warnings": list(result.warnings),
    }


def _given(options: Mapping[str, Any]) -> Content:
    return {name: value for name, value in options.items() if value is not None}


def _with(written: Rewritten, content: Content) -> list[str]:
    return [*written.warnings, *content["warnings"]]


def marked(diff: list[Any]) -> str:
    """A word diff in one line: «a [-red-] {+blue+} fox»."""
    marks: dict[str, Callable[[str], str]] = {
        "same": str,
        "out": lambda words: f"[-{words}-]",
        "in": lambda words: f"{{+{words}+}}",
    }
    return " ".join(marks[kind](words) for kind, words in diff)
