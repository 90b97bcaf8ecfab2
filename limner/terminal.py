"""What the command line shows: tables and plain lines on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from limner.interrupts import held_while_importing
from limner.types import Event

Result = TypeVar("Result")
_WIDE, _WIDEST = 160, 10_000
"""Characters a line of a table that does not fit, where nobody's window limits it, and of any that there could be."""


def follow(work: Generator[Event, None, Result], told: Mapping[str, Callable[[Event], None]] | None = None) -> Result:
    """Run a piece of work to its end, showing its events as progress with an ETA; returns its result.

    The bars go to stderr and disappear at the end; where stderr is no terminal nothing is shown but warnings. Events of
    the kinds in `told` are given to what stands there instead, with the bars out of the way: a picture or a table
    must not be wrapped around them.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        held_while_importing(),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        bars: dict[str, TaskID] = {}
        try:
            while True:
                event = next(work)
                if told and event.kind in told:
                    progress.stop()
                    told[event.kind](event)
                    progress.start()
                else:
                    _show(progress, bars, event)
        except StopIteration as end:
            return end.value
        finally:
            work.close()


def _show(progress: Progress, bars: dict[str, TaskID], event: Event) -> None:
    if not event.total:
        if event.kind == "warning" or progress.console.is_terminal:
            progress.console.print(Text(event.message))
        return
    if event.kind not in bars:
        bars[event.kind] = progress.add_task(event.kind, total=event.total)
    text = event.message or event.kind
    progress.update(bars[event.kind], completed=event.done, total=event.total, description=text)


def say(text: str = "") -> None:
    """One line of a result, on stdout, at once: a program may wait for it at the other end of a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line of what went wrong or is worth knowing, on stderr."""
    sys.stderr.write(f"{text}\n")


def emit(value: Mapping[str, Any]) -> None:
    """The one JSON object of `--json`, on stdout."""
    say(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table on stdout; numbers are set right, None is a dash, and nothing in a cell is read as markup.

    No word or number is ever cut: where a terminal is too narrow, each row is told as a list; in a file or pipe the
    table is as wide as it must be.
    """
    grid = Table(box=None, pad_edge=False, header_style="bold")
    cells = [["–" if cell is None else cell for cell in row] for row in rows]
    for place, name in enumerate(columns):
        numeric = all(isinstance(row[place], int | float) or row[place] == "–" for row in cells)
        grid.add_column(name, justify="right" if numeric and cells else "left")
    for row in cells:
        grid.add_row(*(Text(f"{cell:.3f}" if isinstance(cell, float) else _shown(cell)) for cell in row))
    console = Console()
    size = console.measure(grid, options=console.options.update_width(_WIDEST))
    if size.minimum <= console.width:
        console.print(grid)
    elif console.is_terminal:
        for place, row in enumerate(cells):
            if place:
                say()
            facts(dict(zip(columns, row, strict=True)))
    else:
        Console(width=max(size.minimum, min(size.maximum, _WIDE))).print(grid)


def _shown(cell: Any) -> str:
    """A value in plain words: yes or no, four digits, lists with commas, tables as lines of «name: value»."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Mapping):
        return "\n".join(f"{name}: {_shown(value)}" for name, value in cast(Mapping[str, Any], cell).items())
    if isinstance(cell, list | tuple):
        return ", ".join(map(_shown, cast(Sequence[Any], cell)))
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def facts(values: Mapping[str, object]) -> None:
    """A two-column table without a head: names and what they are."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    for name, value in values.items():
        grid.add_row(Text(name, style="bold"), Text(_shown(value)))
    Console().print(grid)


def drawing(report: Mapping[str, Any]) -> None:
    """A run of `limner draw`: the scorecard of the best picture, what is missing in it, and where the files are."""
    best = report["best"]
    scorecard(best["scores"], report["threshold"])
    say(f"{best['file']}  (seed {best['seed']}; {report['pictures_drawn']} drawn, all of them in {report['sheet']})")


def scorecard(scores: Mapping[str, float], least: Mapping[str, float]) -> None:
    """Each keyword with its score, and whether that is enough; then what is missing, in one line."""
    rows = [(word, score, least[word], score >= least[word]) for word, score in scores.items()]
    table(("keyword", "score", "needed", "in the picture"), rows)
    missing = [word for word, *_, present in rows if not present]
    say(f"Not in the picture: {', '.join(missing)}." if missing else "Everything you said passes.")


def checks(found: Mapping[str, Mapping[str, Any]], warnings: Sequence[str], drift: float) -> None:
    """What an edit was asked and whether it is so; how far the pixels outside its region moved."""
    table(("check", "value", "passed"), [(name, each["value"], each["passed"]) for name, each in found.items()])
    for warning in warnings:
        complain(f"limner: {warning}")
    say("nothing changed outside the region" if drift == 0 else f"drift outside the region: {drift:.2f} of 255")


def seen(report: Mapping[str, Any]) -> None:
    """What `limner look` found: the caption, then a line a region."""
    say(report["caption"])
    boxes = [
        (each["label"], each["score"], " ".join(f"{side:g}" for side in each["box"])) for each in report["regions"]
    ]
    if boxes:
        table(("thing", "score", "x0 y0 x1 y1"), boxes)
    else:
        say("Nothing of that was found.")


def edited(report: Mapping[str, Any]) -> None:
    """What `limner edit` did: its checks, how much changed, and where the file is."""
    checks: Mapping[str, Mapping[str, Any]] = report["checks"]
    table(("check", "value", "passed"), [(name, each["value"], each["passed"]) for name, each in checks.items()])
    for warning in report["warnings"]:
        complain(f"limner: {warning}")
    tries, outside = len(report["attempts"]), report["drift_outside"]
    said = f"{tries} attempt{'s' * (tries > 1)}; {report['changed_fraction']:.0%} of the pixels changed"
    say(
        f"{said}, none outside the region" if outside == 0 else f"{said}; drift outside the region {outside:.2f} of 255"
    )
    say(f"{report['file']}  (seed {report['seed']})")


def drawn_again(report: Mapping[str, Any]) -> None:
    """A picture made again from its recipe, and whether it is the same."""
    same = "the same picture" if report["same"] else "not the same picture"
    say(f"{report['file']}  ({same} as {report['like']})")


def profiles(report: Mapping[str, Any]) -> None:
    """The profiles that exist, one a line."""
    table(("profile", "here", "what it is"), [list(each.values()) for each in report["profiles"]])


def rows(report: Mapping[str, Any]) -> None:
    """A report's rows, all alike, as one table under their names."""
    table(list(report["rows"][0]), [list(row.values()) for row in report["rows"]])


def rows_or(empty: str) -> Callable[[Mapping[str, Any]], None]:
    """`rows`, or one line where there are none."""
    return lambda report: rows(report) if report["rows"] else say(empty)


def sessions(report: Mapping[str, Any]) -> None:
    """The sessions there are: name, turns, what each shows, when it was begun."""
    if not report["sessions"]:
        say("There are no sessions yet; `limner chat` begins one.")
        return
    lines = [(each["session"], each["turns"], each["shows"], _day(each["created"])) for each in report["sessions"]]
    table(("session", "turns", "shows", "begun"), lines)


def session(report: Mapping[str, Any]) -> None:
    """One session: its settings, then a line a turn."""
    facts({name: value for name, value in report.items() if name in ("session", "shows", "settings", "branches")})
    lines = [(place, row["parent"], row["headline"], row["seconds"]) for place, row in enumerate(report["rows"], 1)]
    table(("turn", "after", "what", "seconds"), lines)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def two_tables(first: str, second: str) -> Callable[[Mapping[str, Any]], None]:
    """The rows under two of a report's names, as a table each; one without rows is left out."""

    def show(report: Mapping[str, Any]) -> None:
        for number, part in enumerate([part for part in (report[first], report[second]) if part]):
            if number:
                say()
            rows({"rows": part})

    return show
