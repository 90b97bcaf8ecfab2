"""The options that several commands have, and what every command does with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner import terminal

if TYPE_CHECKING:
    from limner.studio import Studio

Report = Mapping[str, Any]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Model = Annotated[str | None, typer.Option(help="A profile, a local folder or a hub id; see `limner models list`.")]
Scorer = Annotated[str | None, typer.Option(help="Score with another model than the profile's.")]
Llm = Annotated[str | None, typer.Option(help="Language model: rules, embedded, openai:MODEL or local:FOLDER.")]
Writer = Annotated[str | None, typer.Option(help="Who rewrites prompts: none, embedded, or a trained writer's folder.")]
Seed = Annotated[int | None, typer.Option(help="Start here; picture i has seed + i.")]
Workers = Annotated[int | None, typer.Option(help="Processes that share the work; planned for the machine.")]
Pictures = Annotated[int, typer.Option("-n", "--count", help="How many.")]


def studio_of(**flags: object) -> Studio:
    """The studio for these flags; imported here so that `limner --help` stays quick."""
    from limner.config import load_settings
    from limner.studio import Studio

    return Studio(load_settings(flags))


def tell(report: Report, as_json: bool, plainly: Callable[[Report], None] = terminal.facts) -> None:
    """A report as JSON, or as people read it."""
    (terminal.emit if as_json else plainly)(report)
