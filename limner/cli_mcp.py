"""The command line of the agent's tools: `limner mcp`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from limner import terminal
from limner.flags import Llm, Model, Scorer, studio_of
from limner.types import BadInput


def mcp(
    folder: Annotated[Path | None, typer.Option(help="A folder whose pictures may be read; none without.")] = None,
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
) -> None:
    """Be the tools of an agent (MCP): draw, look, edit, learn, say, undo, over stdin and stdout.

    Tell the agent's program to start this command, and it will speak to it.
    """
    if importlib.util.find_spec("mcp") is None:
        raise BadInput("mcp is not installed", "pip install 'limner[mcp]'")
    from limner.agent import server

    made = server(studio_of(model=model, scorer=scorer, llm=llm).settings, folder)
    if sys.stdin.isatty():
        terminal.complain("limner: waiting for an agent on stdin; Ctrl-C ends it")
    made.run()
