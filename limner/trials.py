"""How well prompts are rewritten, as a user asks for it: settings and writers in, DiffChat's tables out."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limner.config import TasteRole
from limner.gallery import slug
from limner.toolbox import Toolbox, is_here
from limner.types import BadInput, Event, Picture

if TYPE_CHECKING:
    from limner.backends.prompt_writer import PromptWriter
    from limner.evaluate.diffchat import Keep, Senses, Trial, Write
    from limner.instructpe import Row

Part = Literal["table", "ablations", "transfer"]
RULES, EMBEDDED = "rules", "writer"

OTHER_PAINTERS: Mapping[str, Mapping[str, Any]] = {"8 steps": {"steps": 8}, "guidance 6": {"guidance": 6.0}}
"""How the painter is changed for the transfer table: the same weights, drawn hastily, and drawn to the letter. Other
checkpoints are measured by calling the command with another --model."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured: how many rows of the world or of a file, and writers by name (a folder or hub id each).

    `aesthetic` is a head for the profile's aesthetic CLIP, pickled if `unsafe`; `out` gets all pictures, a folder a
    method.
    """

    count: int = 100
    parts: tuple[Part, ...] = ("table", "ablations", "transfer")
    writers: tuple[tuple[str, str], ...] = ()
    data: Path | None = None
    seed: int = 0
    aesthetic: str = ""
    unsafe: bool = False
    out: Path | None = None


def measure_diffchat(tools: Toolbox, asked: Asked) -> Generator[Event, None, dict[str, Any]]:
    """The tables as JSON values; see `evaluate.diffchat_table`.

    Raises BadInput for rows and folders that will not do, ModelUnavailable for a writer or scorer that cannot be had.
    """
    from limner.evaluate import diffchat, diffchat_table

    keep = _keeper(asked.out)
    rows, writers = rows_of(asked), writers_of(tools, asked)
    written = yield from diffchat.write_all(rows, {**writers, diffchat.REFERENCE: _own})
    prompts = [asdict(diffchat_table.text_line(name, rows, texts)) for name, texts in written.items()]
    told: dict[str, Any] = {"model": tools.profile.name, "rows": len(rows), "seed": asked.seed, "prompts": prompts}
    if asked.parts == ("ablations",):
        return told
    yield Event("load", f"loading {tools.profile.name}")
    senses, best = (yield from _senses(tools, asked, rows)), list(writers)[-1]
    if "table" in asked.parts:
        hand = diffchat.Hand(tools.painter, tools.hands.editor, asked.seed)
        told |= _table((yield from diffchat.try_out(rows, written, hand, senses, keep)), best, asked.seed)
    if "transfer" in asked.parts:
        told["transfer"] = {}
        for name, changes in OTHER_PAINTERS.items():
            hand = diffchat.Hand(tools.painter_of(tools.profile, **changes), None, asked.seed)
            told["transfer"][name] = _table(
                (yield from diffchat.try_out(rows, written, hand, senses)), best, asked.seed
            )
    return told


def _table(trial: Trial, best: str, seed: int) -> dict[str, Any]:
    """Table 1 and the win rates of one writer."""
    from limner.evaluate import diffchat_table

    lines = diffchat_table.lines(trial, seed)
    wins = diffchat_table.win_rows(best, diffchat_table.wins(trial, best, seed))
    return {"methods": [asdict(line) for line in lines], "table": diffchat_table.to_rows(lines), "wins": wins}


def rows_of(asked: Asked) -> list[Row]:
    """The world's held-out rows, or the first ones of a file. Raises BadInput where there are none."""
    from limner.instructpe import read_rows
    from limner.world.instructions import world_rows

    if asked.data is None:
        return list(world_rows(asked.count, asked.seed, held_out=True))
    rows = list(islice(read_rows(asked.data), asked.count))
    if not rows:
        raise BadInput(f"{asked.data} has no rows", "`limner world instructions` makes some")
    return rows


def _own(rows: Sequence[Row]) -> list[str]:
    """The rows' own prompts, which no writer can better where they are exact."""
    return [row.y for row in rows]


def writers_of(tools: Toolbox, asked: Asked) -> dict[str, Write]:
    """The rules, then those that are named, or the embedded writer where none is; the last one is to be the best."""
    from limner.evaluate.diffchat import EDITOR, REFERENCE

    named = dict(asked.writers) or ({EMBEDDED: "embedded:writer"} if is_here("embedded:writer") else {})
    if len(named) < len(asked.writers) or {RULES, REFERENCE, EDITOR} & set(named):
        raise BadInput(f"two writers are called alike, or one {RULES}, {REFERENCE} or {EDITOR}", "give others names")
    return {RULES: by_rules, **{name: _by_model(tools, source) for name, source in named.items()}}


def _by_model(tools: Toolbox, source: str) -> Write:
    """A writer's own prompts, unchecked, as a table must show them; it is loaded when it writes, and let go then."""

    def write(rows: Sequence[Row]) -> list[str]:
        from limner.backends.prompt_writer import load_writer

        writer: PromptWriter = load_writer(source, plan=tools.plan)
        return writer.write([(row.x, row.i) for row in rows])

    return write


def by_rules(rows: Sequence[Row]) -> list[str]:
    """What the rules make of the rows."""
    from limner.requests import parsed
    from limner.rewrite import rewrite_by_rules

    return [rewrite_by_rules(row.x, row.i, parsed(row.i)).prompt for row in rows]


def _senses(tools: Toolbox, asked: Asked, rows: Sequence[Row]) -> Generator[Event, None, Senses]:
    """The scorers of the profile; a column that it has none for is left out with a warning."""
    from limner.backends import taste
    from limner.evaluate.diffchat import Senses
    from limner.measure import JUDGE
    from limner.world.judge import Judge

    profile, load = tools.profile, _loader(tools)
    scorers: dict[str, Any] = {}
    if role := profile.preference:
        scorers["pickscore"] = taste.pick_score(load(role), role.head)
    head = asked.aesthetic or (profile.aesthetic.head if profile.aesthetic else "")
    if profile.aesthetic and head:
        scorers["aesthetic"] = taste.aesthetic(load(profile.aesthetic), head, unsafe=asked.unsafe)
    if role := profile.hps:
        scorers["hps"] = taste.hps(load(role), role.head)
    clip = load(profile.aesthetic) if profile.aesthetic else None
    if clip is not None:
        scorers["clip_s"] = taste.clip_score(clip)
    missing = [name for name in ("pickscore", "aesthetic", "hps", "clip_s") if name not in scorers]
    if missing:
        yield Event("warning", f"{profile.name} names no model for {', '.join(missing)}: left out")
    if clip is not None and (long := clip.too_long([row.reference for row in rows])):
        yield Event("warning", f"{len(long)} of {len(rows)} wishes are longer than {clip.name} reads, and are cut")
    judge = Judge.load(JUDGE) if all("present" in row.more for row in rows) else None
    return Senses(scorers, partial(taste.directional, clip) if clip is not None else None, judge)


def _loader(tools: Toolbox) -> Callable[[TasteRole], Any]:
    """Loads the CLIP of a role, each once."""
    from limner.backends.vision import load_scorer

    known: dict[tuple[str, str], Any] = {}

    def load(role: TasteRole) -> Any:
        key = role.source, role.processor
        if key not in known:
            known[key] = load_scorer(role.source, plan=tools.plan, processor=role.processor)
        return known[key]

    return load


def _keeper(out: Path | None) -> Keep | None:
    """Saves each picture as OUT/METHOD/0000.png, with the words it was asked for in OUT/METHOD/prompts.json."""
    if out is None:
        return None
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} holds other files", "name a new or empty folder with --out")
    from limner.image import save_png, write_whole
    from limner.rating_files import PROMPTS

    said: dict[str, dict[str, str]] = {}

    def keep(method: str, number: int, picture: Picture, text: str) -> None:
        folder, name = out / slug(method), f"{number:04}.png"
        folder.mkdir(parents=True, exist_ok=True)
        save_png(folder / name, picture)
        said.setdefault(method, {})[name] = text
        write_whole(folder / PROMPTS, json.dumps(said[method], ensure_ascii=False, indent=1).encode())

    return keep
