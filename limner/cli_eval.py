"""The command line of measuring the models and the methods: `limner eval ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from limner import terminal
from limner.flags import Json, Llm, Model, Report, Scorer, Seed, studio_of, tell
from limner.types import BadInput

eval_app = typer.Typer(help="Measure the models and the method.")
_COLUMNS = ("method", "ci", "rewarded", "slots", "all_slots", "exact", "early", "words")


@eval_app.command("world")
def eval_world(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Pictures a task and seed.")] = 100,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds; the spread over them is shown.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strictly to follow the words.")] = None,
    only: Annotated[Literal["drawing", "eyes", "all"], typer.Option(help="Which models to measure.")] = "all",
    task: Annotated[list[str] | None, typer.Option(help="Only this of drawing: style, say; may be repeated.")] = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Measure how well a model obeys: objects, counts, colours, places, backgrounds, styles.

    Then how well the models that look see: boxes, sides, numbers, masks and nouns. Editing has `limner eval
    dialogpaint`.
    """
    studio = studio_of(model=model, steps=steps, guidance=guidance)
    tell(terminal.follow(studio.exams.world(count, seeds, only, task or ())), json, terminal.two_tables("rows", "eyes"))


@eval_app.command("gptdrawer")
def eval_gptdrawer(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Scenes.")] = 50,
    rounds: Annotated[int | None, typer.Option(help="Rounds of refinement at most (4).")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Only scenes with a coloured thing and a side.")] = False,
    seed: Seed = None,
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
    json: Json = False,
) -> None:
    """Measure what the refinement is worth, against the plain prompt with as many pictures."""
    studio = studio_of(rounds=rounds, seed=seed, model=model, scorer=scorer, llm=llm)
    report, tables = terminal.follow(studio.exams.gptdrawer(count, whole))
    if json:
        terminal.emit(report)
    else:
        terminal.say(tables)


@eval_app.command("dialogpaint")
def eval_dialogpaint(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Edits, all kinds in turn.")] = 200,
    dialogues: Annotated[int, typer.Option(min=1, help="Dialogues.")] = 500,
    only: Annotated[Literal["edits", "dialogue", "all"], typer.Option(help="What to measure.")] = "all",
    seed: Seed = None,
    model: Model = None,
    llm: Llm = None,
    json: Json = False,
) -> None:
    """Measure edits by instruction: do they succeed, and what happens to the rest of the picture.

    Then dialogues: is what is unclear asked about, and what is clear understood.
    """
    studio = studio_of(seed=seed, model=model, llm=llm)
    report, tables = terminal.follow(studio.exams.dialogpaint(count, dialogues, only))
    tell(report if json else tables, json, terminal.two_tables("rows", "dialogue"))


@eval_app.command("dreamartist")
def eval_dreamartist(
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="Pictures to learn from; every fourth a style.")
    ] = 16,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds.")] = 1,
    only: Annotated[
        Literal["methods", "gamma", "lengths", "decoders", "all"],
        typer.Option(help="Tables 2 and 3, table 4, the lengths, or the decoders."),
    ] = "all",
    steps: Annotated[int | None, typer.Option(help="Steps of each lesson.")] = None,
    decoder: Annotated[Literal["light", "full"] | None, typer.Option(help="What lessons compare pixels by.")] = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Measure one-shot learning against textual inversion, LoRA and DreamBooth on pictures never seen in training."""
    options = {"steps": steps, "decoder": decoder}
    report, rows = terminal.follow(studio_of(model=model).exams.dreamartist(count, seeds, only, options))
    tell(report if json else {"rows": rows}, json, terminal.rows)


@eval_app.command("chatgenimage")
def eval_chatgenimage(
    dataset: Annotated[Path, typer.Argument(help="A folder of `limner synth`.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Simple scenes to begin with.")] = 100,
    tests: Annotated[int, typer.Option(min=1, help="Complex scenes of each kind to test on.")] = 300,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds; the spread over them is shown.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 400,
    model: Model = None,
    json: Json = False,
) -> None:
    """Measure what a synthetic set is worth: train small detectors with it, without it, and on parts of it.

    Then how much each stage of its making let through.
    """
    work = studio_of(model=model).exams.chatgenimage(dataset, count=count, tests=tests, seeds=seeds, steps=steps)
    report, tables = terminal.follow(work)
    tell(report if json else tables, json, terminal.two_tables("rows", "stages"))


@eval_app.command("diffchat")
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
