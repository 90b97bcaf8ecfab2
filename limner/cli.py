"""The command line: argv in, text out. Every verb is one method of `Studio`; this file only asks and shows.

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from limner import __version__, terminal
from limner.cli_concepts import concepts_app, learn
from limner.cli_datasets import dataset_app, synth
from limner.cli_eval import eval_diffchat
from limner.cli_mcp import mcp
from limner.cli_rate import rate
from limner.cli_serve import serve
from limner.cli_sessions import chat, sessions_app
from limner.cli_train import train_beautifier, train_writer
from limner.cli_world import instructions
from limner.flags import Json, Llm, Model, Pictures, Scorer, Seed, studio_of, tell
from limner.types import BadInput, LimnerError

STOPPED = 130

app = typer.Typer(
    help="Draw what you say, and see which of your words are in the picture.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The models that draw and score.")
train_app = typer.Typer(help="Train what Limner uses; `recipes/world.sh` has the lines that made what ships.")
world_app = typer.Typer(help="The picture world that the embedded models learned from.")
eval_app = typer.Typer(help="Measure the models and the method.")
app.command()(chat)
app.command()(learn)
app.command()(synth)
app.command()(serve)
app.command()(rate)
app.command()(mcp)
app.add_typer(sessions_app, name="sessions")
app.add_typer(concepts_app, name="concepts")
app.add_typer(dataset_app, name="dataset")
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
app.add_typer(world_app, name="world")
app.add_typer(eval_app, name="eval")
world_app.command("instructions")(instructions)
train_app.command("writer")(train_writer)
train_app.command("beautifier")(train_beautifier)
eval_app.command("diffchat")(eval_diffchat)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every failure is one line on stderr, never a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = app(arguments, prog_name="limner", standalone_mode=False) or 0
    except LimnerError as error:
        terminal.complain(f"limner: {error}")
        return error.exit_code
    except typer.TyperException as error:
        context: typer.Context | None = getattr(error, "ctx", None)
        command = context.command_path if context else "limner"
        terminal.complain(f"limner: {error.format_message()} ({command} --help)")
        return error.exit_code
    except Exception as error:
        if "--debug" in arguments:
            raise
        terminal.complain(f"limner: {type(error).__name__}: {_first_line(error)} (limner --debug shows where)")
        return LimnerError.exit_code
    if code == STOPPED:
        terminal.complain("limner: stopped; nothing half-made was kept")
    return code


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0]


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"limner {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options before the command. `main` reads --debug itself, since it must work even when parsing fails."""


@app.command()
def draw(
    prompt: Annotated[str | None, typer.Argument(help="What to draw, in your words.")] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", help="Pictures a round; planned for the machine.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of refinement at most (4).")] = None,
    threshold: Annotated[
        str | None, typer.Option(help="Least score of a word that is there: auto, or -1 to 1.")
    ] = None,
    seed: Seed = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strictly to follow the words.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Size in pixels.")] = None,
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
    baseline: Annotated[bool | None, typer.Option("--baseline", help="Draw your words as they are, one batch.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder (limner-out/ and the prompt's words).")] = None,
    json: Json = False,
    like: Annotated[Path | None, typer.Option(help="Draw the picture of this file again.")] = None,
    metadata: Annotated[bool | None, typer.Option("--no-metadata", help="Leave the recipe out of the files.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Save where the best picture shows each word.")] = None,
) -> None:
    """Draw a prompt until all its words are in the picture, and say which are."""
    flags: dict[str, Any] = {"count": count, "rounds": rounds, "threshold": threshold, "seed": seed, "steps": steps}
    flags |= {"guidance": guidance, "size": size, "model": model, "scorer": scorer, "llm": llm, "out": out}
    studio = studio_of(**flags, baseline=baseline, metadata=None if metadata is None else not metadata)
    if like and prompt:
        raise BadInput("a prompt and --like were both given", "--like draws the prompt inside the file")
    if like and heatmaps:
        raise BadInput("--like and --heatmaps were both given", "leave one of them out")
    if like:
        tell(terminal.follow(studio.draw_again(like)), json, terminal.drawn_again)
    else:
        tell(terminal.follow(studio.draw(prompt or "", heatmaps)), json, terminal.drawing)


@app.command()
def look(
    picture: Annotated[Path, typer.Argument(help="A PNG, JPEG or WebP.")],
    find: Annotated[str | None, typer.Option(help='What to look for, such as "red car,cat".')] = None,
    model: Model = None,
    json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Save the picture with boxes and masks drawn in.")] = None,
) -> None:
    """Say what is in a picture and where."""
    tell(terminal.follow(studio_of(model=model).look(picture, find, out)), json, terminal.seen)


@app.command()
def edit(
    picture: Annotated[Path, typer.Argument(help="A PNG, JPEG or WebP.")],
    instruction: Annotated[str, typer.Argument(help="What to change, such as «make the car blue».")],
    image_guidance: Annotated[
        float | None, typer.Option(help="How closely to keep to the picture (1 or more).")
    ] = None,
    text_guidance: Annotated[float | None, typer.Option(help="How strictly to follow the words (over 1).")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Change only this, in pixels.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Change only where this picture is bright.")] = None,
    count: Annotated[int | None, typer.Option("-n", "--count", help="Attempts at most (4).")] = None,
    seed: Seed = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    model: Model = None,
    llm: Llm = None,
    json: Json = False,
    out: Annotated[Path | None, typer.Option(help="The edited PNG (limner-out/ and the instruction's words).")] = None,
    compare: Annotated[Path | None, typer.Option(help="Save before and after side by side.")] = None,
    metadata: Annotated[bool | None, typer.Option("--no-metadata", help="Leave the recipe out of the file.")] = None,
) -> None:
    """Change a picture as you say, and nothing else in it."""
    flags: dict[str, Any] = {"image_guidance": image_guidance, "text_guidance": text_guidance, "count": count}
    flags |= {"seed": seed, "steps": steps, "model": model, "llm": llm, "out": out}
    studio = studio_of(**flags, metadata=None if metadata is None else not metadata)
    work = studio.edit(picture, instruction, box=box, mask=mask, compare=compare)
    tell(terminal.follow(work), json, terminal.edited)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A PNG that Limner made.")], json: Json = False) -> None:
    """Print how a picture was made."""
    tell(studio_of().recipe(file), json)


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this installation has and how it would run here."""
    tell(studio_of().doctor(), json)


@models_app.command("list")
def models_list(json: Json = False) -> None:
    """List the profiles, and whether their models are on this machine."""
    tell({"profiles": studio_of().models_list()}, json, terminal.profiles)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A profile, a local folder or a hub id.")], json: Json = False
) -> None:
    """Show one profile, and the words it knows where it knows only some."""
    tell(studio_of().models_show(name), json)


@train_app.command("dialogue")
def train_dialogue(
    out: Annotated[Path, typer.Option(help="A folder; training goes on from what is in it.")],
    base: Annotated[str, typer.Option(help="small, a folder, or a hub id of a Blenderbot.")] = "small",
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 12,
    data: Annotated[Path | None, typer.Option(help="Dialogues as JSON lines instead of the world's.")] = None,
    json: Json = False,
) -> None:
    """Train the dialogue model that asks when a request is unclear."""
    tell(studio_of().train_dialogue(base, out, minutes, data), json)


@world_app.command("show")
def world_show(
    seed: Annotated[int, typer.Option(help="Which scene.")] = 0,
    stage: Annotated[str, typer.Option(help="single, pair, count or crowd.")] = "pair",
    style: Annotated[str | None, typer.Option(help="A drawing style; shapes needs no art.")] = None,
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 256,
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("scene.png"),
    json: Json = False,
) -> None:
    """Make one scene: its picture, its caption, and all that is true of it."""
    tell(studio_of().world_show(out, seed=seed, stage=stage, style=style, size=size), json)


@world_app.command("sample")
def world_sample(
    count: Pictures = 16,
    seed: Annotated[int, typer.Option(help="The first scene; the others follow.")] = 0,
    stage: Annotated[str, typer.Option(help="single, pair, count or crowd.")] = "pair",
    style: Annotated[str | None, typer.Option(help="A drawing style; shapes needs no art.")] = None,
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 128,
    out: Annotated[Path, typer.Option(help="A new folder for the pictures.")] = Path("scenes"),
    json: Json = False,
) -> None:
    """Make many scenes into a folder, with a line of JSON each in metadata.jsonl."""
    made = studio_of().world_sample(out, count=count, seed=seed, stage=stage, style=style, size=size)
    tell(terminal.follow(made), json)


@world_app.command("splits")
def world_splits(json: Json = False) -> None:
    """Say what training never sees."""
    tell(studio_of().world_splits(), json)


@world_app.command("dialogues")
def world_dialogues(
    out: Annotated[Path, typer.Option(help="The file, a line of JSON each.")] = Path("dialogues.jsonl"),
    count: Annotated[int, typer.Option("-n", "--count", help="How many of the world's.")] = 10_000,
    held_out: Annotated[bool, typer.Option("--held-out", help="Of combinations that training never sees.")] = False,
    captions: Annotated[
        Path | None, typer.Option(help="Have --llm write one for each caption: .txt, .jsonl or COCO's .json.")
    ] = None,
    edits: Annotated[bool, typer.Option("--edits", help="With --captions: instructions and edited captions.")] = False,
    llm: Llm = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Make dialogues about changing pictures: the world's own, or written by a language model from captions."""
    studio = studio_of(llm=llm, seed=seed)
    work = studio.world_dialogues(out, count=count, held_out=held_out, captions=captions, edits=edits)
    tell(terminal.follow(work), json)


@world_app.command("fetch")
def world_fetch() -> None:
    """Bring the world's art into the cache, by npm, pinned and checked."""
    for folder in studio_of().world_fetch():
        terminal.say(folder)


@eval_app.command("world")
def eval_world(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Pictures a task and seed.")] = 100,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds; the spread over them is shown.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strictly to follow the words.")] = None,
    only: Annotated[Literal["drawing", "eyes", "all"], typer.Option(help="Which models to measure.")] = "all",
    model: Model = None,
    json: Json = False,
) -> None:
    """Measure how well a model obeys: objects, counts, colours, places, backgrounds, styles.

    Then how well the models that look see: boxes, sides, numbers, masks and nouns. Editing has `limner eval
    dialogpaint`.
    """
    studio = studio_of(model=model, steps=steps, guidance=guidance)
    tell(terminal.follow(studio.eval_world(count, seeds, only)), json, terminal.two_tables("rows", "eyes"))


@eval_app.command("gptdrawer")
def eval_gptdrawer(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Scenes.")] = 50,
    rounds: Annotated[int | None, typer.Option(help="Rounds of refinement at most (4).")] = None,
    seed: Seed = None,
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
    json: Json = False,
) -> None:
    """Measure what the refinement is worth, against the plain prompt with as many pictures."""
    studio = studio_of(rounds=rounds, seed=seed, model=model, scorer=scorer, llm=llm)
    report, tables = terminal.follow(studio.eval_gptdrawer(count))
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
    report, tables = terminal.follow(studio.eval_dialogpaint(count, dialogues, only))
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
    report, rows = terminal.follow(studio_of(model=model).eval_dreamartist(count, seeds, only, options))
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
    work = studio_of(model=model).eval_chatgenimage(dataset, count=count, tests=tests, seeds=seeds, steps=steps)
    report, tables = terminal.follow(work)
    tell(report if json else tables, json, terminal.two_tables("rows", "stages"))


if __name__ == "__main__":
    sys.exit(main())
