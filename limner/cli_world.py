"""The command line of the picture world's texts for training: `limner world instructions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner import terminal
from limner.flags import Json, tell


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
