"""The command line of the server: `limner serve`."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner import terminal
from limner.flags import Llm, Model, Scorer

if TYPE_CHECKING:
    from limner.config import Settings
    from limner.rating_files import RatingFolder
    from limner.service.staff import Staff
    from limner.web.service import Service


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; others than this machine need a token.")] = None,
    port: Annotated[int | None, typer.Option(help="On which port (8417); 0 for any that is free.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file of tokens, a line each: TOKEN, or NAME TOKEN for several users.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that this server is reached by.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that draw (1).")] = None,
    queue: Annotated[int | None, typer.Option(help="How many jobs may wait (64).")] = None,
    open_page: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the page in a browser (where there is a terminal).")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="auto|ADDRESS", help="Draw on this Ray cluster, or begin one here.")
    ] = None,
    rate: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="FOLDER FOLDER", help="Let these pictures be rated on the page, as `limner rate` does."),
    ] = None,
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Write into the log what was asked for.")] = False,
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
) -> None:
    """Serve the page, the API, and the APIs of OpenAI's and A1111's clients, until Ctrl-C.

    Jobs that were accepted by then go on at the next start.
    """
    from limner.config import load_settings

    flags: dict[str, Any] = {"host": host, "port": port, "tokens_file": token_file, "workers": workers, "queue": queue}
    flags |= {"allow_host": tuple(allow_host) if allow_host else None, "model": model, "scorer": scorer, "llm": llm}
    opens = sys.stdin.isatty() if open_page is None else open_page
    _serve(load_settings(flags), opens=opens, ray=ray, rate=rate, log_prompts=log_prompts)


def _serve(
    settings: Settings, *, opens: bool, ray: str | None, rate: tuple[Path, Path] | None, log_prompts: bool
) -> None:
    """Everything that can be wrong is told before a worker is started."""
    from limner.web import logs, security, server, tokens
    from limner.web.app import create_app
    from limner.web.service import Service

    rating = _rating(settings, *rate) if rate else None
    rules = security.rules(tokens.load(settings), settings.host, settings.allow_host)
    with ExitStack() as open_things:
        listening = open_things.enter_context(server.bind(settings.host, settings.port))
        address, port = server.address(settings.host, listening), listening.getsockname()[1]
        service = Service(settings, log_prompts=log_prompts, shared=len(rules.users) > 1)
        logs.to_stderr()
        service.workers = open_things.enter_context(_staff(settings, service, port, ray))
        terminal.say(f"Limner is at {address}  (Ctrl-C ends it; jobs that are left go on at the next start)")
        if opens:
            webbrowser.open(address)
        app = create_app(service, rules)
        app.state.rating = rating
        server.Server(app, service).run([listening])


def _rating(settings: Settings, first: Path, second: Path) -> RatingFolder:
    """The rating of two folders; its answers are kept beside the sessions."""
    from limner.rating_files import open_rating

    settings.data.mkdir(parents=True, exist_ok=True)
    return open_rating(first, second, settings.data / f"ratings-{first.name}-{second.name}.jsonl", 0)


@contextmanager
def _staff(settings: Settings, service: Service, port: int, ray: str | None) -> Generator[Staff]:
    """The workers, who go when the server does. They are called by its place, where their jobs are found again."""
    from limner.cluster import Needs
    from limner.service import staff

    name, given = f"{socket.gethostname()}:{port}", settings.model_copy(update={"token": None})
    if ray is None:
        workers = staff.in_processes(service.queue, given, name, workers=settings.workers, server=service.watcher.bell)
        with closing(workers):
            workers.start()
            yield workers
        return
    needs = Needs(settings.workers, settings.threads or 1, 1 if settings.device == "cuda" else 0)
    with closing(staff.on_ray(service.queue, given, name, ray, needs)) as actors:
        actors.staff.start()
        yield actors.staff
