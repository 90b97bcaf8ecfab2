"""The command line: argv in, text out. Every verb is one method of `Studio`; this file only asks and shows.

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from limner import __version__, terminal
from limner.cli_concepts import concepts_app, learn
from limner.cli_datasets import dataset_app, synth
from limner.cli_eval import eval_app
from limner.cli_mcp import mcp
from limner.cli_rate import rate
from limner.cli_serve import serve
from limner.cli_sessions import chat, sessions_app
from limner.cli_train import train_app
from limner.cli_world import world_app
from limner.flags import Json, Llm, Model, Scorer, Seed, studio_of, tell
from limner.types import BadInput, LimnerError

STOPPED = 130

app = typer.Typer(
    help="Draw what you say, and see which of your words are in the picture.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The models that draw and score.")
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
    negative_prompt: Annotated[
        str | None, typer.Option(help="What to keep out; by default what rules out a style that you name.")
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
    flags |= {"negative_prompt": negative_prompt, "guidance": guidance, "size": size}
    flags |= {"model": model, "scorer": scorer, "llm": llm, "out": out}
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


if __name__ == "__main__":
    sys.exit(main())
