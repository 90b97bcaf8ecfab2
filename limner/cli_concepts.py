"""The command line of learning: `limner learn`, and `limner concepts` for what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from limner import terminal
from limner.flags import Json, Model, Report, Seed, studio_of, tell
from limner.types import BadInput

concepts_app = typer.Typer(help="The concepts that were learned: things and styles with a word of their own.")
Name = Annotated[str, typer.Argument(help="A concept's name; see `limner concepts list`.")]


def learn(
    picture: Annotated[Path, typer.Argument(help="The one picture to learn from.")],
    name: Annotated[str, typer.Option(help="What it is called, such as gizmo; prompts then say <gizmo>.")],
    like: Annotated[
        str | None, typer.Option(help="Words to begin from, such as robot (what the picture shows).")
    ] = None,
    style: Annotated[bool, typer.Option("--style", help="Learn how it is drawn, not what it shows.")] = False,
    method: Annotated[
        str | None,
        typer.Option(help="dreamartist, dreamartist-words, textual-inversion, lora or dreambooth (dreamartist)."),
    ] = None,
    words: Annotated[
        str | None, typer.Option(metavar="P,N", help="Vectors of the positive and the negative word (3,3).")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Guidance inside the loss (3; 5 for a style).")] = None,
    reconstruction: Annotated[
        float | None, typer.Option(help="Weight of the pixels' loss; 0 leaves it out (1).")
    ] = None,
    decoder: Annotated[
        Literal["light", "full"] | None,
        typer.Option(help="Compare pixels by a light, fitted decoder or by the model's own."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the words (0.0025).")] = None,
    adapter_rate: Annotated[float | None, typer.Option(help="Learning rate of the adapters.")] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the U-Net's adapters.")] = None,
    min_snr: Annotated[
        float | None, typer.Option(help="Clamp the loss's weight by signal to noise, such as 2.")
    ] = None,
    ema: Annotated[float | None, typer.Option(help="Keep averaged values, such as 0.97.")] = None,
    regularise: Annotated[int | None, typer.Option(help="Learn so many own pictures of --like beside.")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Learn only this, in pixels.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Learn only where this picture is bright.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps at most.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes at most.")] = None,
    previews: Annotated[Path | None, typer.Option(help="A PNG with pictures drawn with it.")] = None,
    preview_every: Annotated[int | None, typer.Option(help="Draw them also every so many steps.")] = None,
    low_memory: Annotated[bool, typer.Option("--low-memory", help="Recompute instead of keeping: for 8 GB.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Replace a concept of this name.")] = False,
    seed: Seed = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Teach a thing or a style from one picture, to be said as a word in every prompt.

    Run it again to go on after an interruption. What it has learned by Ctrl-C is kept.
    """
    chosen: dict[str, Any] = {"like": like, "method": method, "gamma": gamma, "reconstruction": reconstruction}
    chosen |= {"rate": rate, "adapter_rate": adapter_rate, "rank": rank, "min_snr": min_snr, "ema": ema}
    chosen |= {
        "regularise": regularise,
        "steps": steps,
        "minutes": minutes,
        "preview_every": preview_every if previews else None,
        "seed": seed,
    }
    chosen |= {"kind": "style" if style else None, "decoder": decoder}
    chosen |= {"checkpointing": True if low_memory else None} | _lengths(words)
    studio = studio_of(model=model)
    work = studio.lessons.learn(picture, name, chosen, box=box, mask=mask, previews=previews, again=again)
    tell(terminal.follow(work), json, _learned)


def _lengths(words: str | None) -> dict[str, int]:
    if words is None:
        return {}
    parts = words.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise BadInput(f"--words {words!r}", "two numbers, such as 3,3")
    return {"positive_words": int(parts[0]), "negative_words": int(parts[1])}


def _learned(report: Report) -> None:
    terminal.say(
        f"learned {report['word']} in {report['steps']} steps and {report['seconds']:.0f} s, from «{report['like']}»"
    )
    terminal.say(f'say it: limner draw "a {report["word"]} in the snow"')


@concepts_app.command("list")
def concepts_list(json: Json = False) -> None:
    """List what was learned."""
    tell({"concepts": studio_of().lessons.rows()}, json, _rows)


def _rows(report: Report) -> None:
    names = ("name", "kind", "like", "method", "base", "bytes", "problem")
    terminal.table(names, [[row[name] for name in names] for row in report["concepts"]])


@concepts_app.command("show")
def concepts_show(name: Name, json: Json = False) -> None:
    """Say how a concept was learned."""
    tell(studio_of().lessons.show(name), json)


@concepts_app.command("export")
def concepts_export(
    name: Name,
    form: Annotated[
        Literal["limner", "a1111", "diffusers", "kohya", "peft"], typer.Option("--format", help="Whose form.")
    ],
    out: Annotated[Path, typer.Option(help="A folder for the files.")] = Path(),
    json: Json = False,
) -> None:
    """Write a concept for other programs."""
    tell(studio_of().lessons.export(name, form, out), json)


@concepts_app.command("import")
def concepts_import(
    files: Annotated[
        list[Path], typer.Argument(help="One file, or NAME and NAME-neg, or words and adapters together.")
    ],
    name: Annotated[str, typer.Option(help="What it is to be called.")],
    like: Annotated[str, typer.Option(help="Words for it, where a model must read its name.")] = "",
    unsafe_load: Annotated[bool, typer.Option("--unsafe-load", help="Open pickled .pt and .bin files too.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Replace a concept of this name.")] = False,
    model: Model = None,
    json: Json = False,
) -> None:
    """Take over embeddings and adapters that other programs wrote."""
    studio = studio_of(model=model)
    tell(studio.lessons.take_over(files, name, like=like, unsafe=unsafe_load, again=again), json)


@concepts_app.command("rm")
def concepts_rm(name: Name) -> None:
    """Take a concept away."""
    studio_of().lessons.remove(name)
