"""The command line of rating: `limner rate A B`, which pictures are better, asked blindly on a page of this machine."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner import terminal
from limner.flags import Json, tell

if TYPE_CHECKING:
    from limner.rating_files import RatingFolder


def rate(
    first: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    second: Annotated[Path, typer.Argument(help="Another one, with pictures of the same names.")],
    out: Annotated[Path, typer.Option(help="The file that gets a line with every answer.")] = Path("ratings.jsonl"),
    seed: Annotated[int, typer.Option(help="Decides the order, and who stands on which side.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On which port; 0 for any that is free.")] = 0,
    results: Annotated[bool, typer.Option("--results", help="Only print the counts so far.")] = False,
    open_page: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the page in a browser (where there is a terminal).")
    ] = None,
    json: Json = False,
) -> None:
    """Rate two folders of pictures against each other, without knowing whose picture is whose.

    Keys 1, 2 and 3 answer: left, as good, right. Ctrl-C ends it; the same command goes on where it was left.
    """
    from limner.rating_files import open_rating  # with pydantic, which no other command's start should wait for

    rating = open_rating(first, second, out, seed)
    if not results:
        _serve(rating, port, sys.stdin.isatty() if open_page is None else open_page)
    tell(_told(rating), json)


def _told(rating: RatingFolder) -> dict[str, Any]:
    ratings = rating.ratings
    counts = {"rated": ratings.done, "pairs": len(ratings.pairs), **ratings.result.to_json()}
    return {"first": ratings.first, "second": ratings.second, "file": str(rating.file), **counts}


def _serve(rating: RatingFolder, port: int, opens: bool) -> None:
    from limner.web.rate import Server, create_app
    from limner.web.server import address, bind

    with closing(bind("127.0.0.1", port)) as listening:
        where = address("127.0.0.1", listening)
        terminal.complain(f"rate the pictures at {where}  (Ctrl-C ends it; every answer is kept in {rating.file})")
        if opens:
            webbrowser.open(where)
        Server(create_app(rating)).run([listening])
