"""The command line of the picture world: `limner world ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner import terminal
from limner.flags import Json, Llm, Pictures, Seed, studio_of, tell

Stage = Annotated[str, typer.Option(help="single, pair, count or crowd.")]
Style = Annotated[str | None, typer.Option(help="A drawing style; shapes needs no art.")]

world_app = typer.Typer(help="The picture world that the embedded models learned from.")


@world_app.command("show")
def world_show(
    seed: Annotated[int, typer.Option(help="Which scene.")] = 0,
    stage: Stage = "pair",
    style: Style = None,
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
    stage: Stage = "pair",
    style: Style = None,
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


@world_app.command("instructions")
def instructions(
    out: Annotated[Path, typer.Option(help="The file: .jsonl has a row a line, .json is one array.")] = Path(
        "instructions.jsonl"
    ),
    count: Annotated[int, typer.Option("-n", "--count", help="How many rows.")] = 20_000,
    held_out: Annotated[bool, typer.Option("--held-out", help="Of combinations that training never sees.")] = False,
    seed: Annotated[int, typer.Option(help="Other rows; row n depends on it and n only.")] = 0,
    json: Json = False,
) -> None:
    """Make rows that teach to rewrite a prompt by an instruction, in InstructPE's columns.

    Each row also says which facts the rewritten prompt must state.
    """
    from limner.prompt_sets import world_instructions

    tell(terminal.follow(world_instructions(out, count=count, seed=seed, held_out=held_out)), json)


@world_app.command("fetch")
def world_fetch() -> None:
    """Bring the world's art into the cache, by npm, pinned and checked."""
    for folder in studio_of().world_fetch():
        terminal.say(folder)
