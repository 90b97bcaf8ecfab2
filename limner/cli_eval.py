"""The command line of measuring writers of prompts: `limner eval diffchat`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from limner import terminal
from limner.flags import Json, Model, Report, studio_of, tell
from limner.types import BadInput

_COLUMNS = ("method", "ci", "rewarded", "slots", "all_slots", "exact", "early", "words")


def eval_diffchat(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Rows.")] = 100,
    only: Annotated[
        Literal["table", "ablations", "transfer", "all"],
        typer.Option(help="Table 1, only the prompts, other ways to draw, or all."),
    ] = "all",
    writer: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="A writer to measure; several, the best one last.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Rows of InstructPE instead of the world's held-out ones.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the pictures here, for `limner rate`.")] = None,
    aesthetic: Annotated[str, typer.Option(help="The head of the aesthetic score, for a profile without one.")] = "",
    unsafe_load: Annotated[bool, typer.Option("--unsafe-load", help="Open a pickled head too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides the rows; row i is drawn with seed + i.")] = 0,
    model: Model = None,
    json: Json = False,
) -> None:
    """Measure how well prompts are rewritten by instruction, by the pictures that they make.

    The trained writer against the rules, against InstructPix2Pix, and any others that are named.
    """
    from limner.trials import Asked, measure_diffchat

    asked = Asked(
        count=count,
        parts=("table", "ablations", "transfer") if only == "all" else (only,),
        writers=tuple(_named(each) for each in writer or ()),
        data=data,
        seed=seed,
        aesthetic=aesthetic,
        unsafe=unsafe_load,
        out=out,
    )
    tell(terminal.follow(measure_diffchat(studio_of(model=model).tools, asked)), json, _shown)


def _named(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not (name.strip() and equals and source.strip()):
        raise BadInput(f"--writer {text!r}", "NAME=FOLDER, such as sft=runs/writer/sft/model")
    return name.strip(), source.strip()


def _shown(report: Report) -> None:
    for name, rows in _tables(report):
        terminal.say(f"\n{name}" if name else "")
        terminal.rows({"rows": rows})


def _tables(report: Report) -> list[tuple[str, list[dict[str, object]]]]:
    prompts = [{name: line[name] for name in _COLUMNS} for line in report["prompts"]]
    tables = [("the prompts", prompts)]
    for title, part in (("the pictures", report), *report.get("transfer", {}).items()):
        if "table" in part:
            tables.append((title, part["table"]))
            tables.append((f"{title}: won, tied, lost", part["wins"]))
    return tables
