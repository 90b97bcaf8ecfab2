"""The command line of datasets: `limner synth` makes them, `limner dataset` converts and checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from limner import terminal
from limner.flags import Json, Llm, Model, Report, Scorer, Workers, studio_of, tell

dataset_app = typer.Typer(help="Annotated datasets in any form: converted, and checked.")
Folder = Annotated[Path, typer.Argument(help="The dataset's folder.")]


def synth(
    classes: Annotated[str, typer.Argument(help='What to draw, such as "fox, cat, car".')],
    out: Annotated[Path, typer.Option(help="The dataset's folder; a job that was stopped goes on in it.")],
    count: Annotated[int, typer.Option("-n", "--count", help="Pictures.")] = 100,
    form: Annotated[
        str, typer.Option("--format", help="coco, yolo, webdataset, imagefolder, with commas; limner for none.")
    ] = "coco",
    mode: Annotated[
        Literal["complex", "centric", "both"] | None,
        typer.Option(help="Scenes of several things, one thing large, or in turns (both)."),
    ] = None,
    candidates: Annotated[int | None, typer.Option(help="First pictures, of which the best is taken.")] = None,
    scenes: Annotated[int | None, typer.Option(help="Scenes that each first picture is edited into.")] = None,
    objects: Annotated[int | None, typer.Option(help="Things to add to each scene.")] = None,
    background: Annotated[bool, typer.Option("--no-background", help="Keep the first picture's background.")] = False,
    filters: Annotated[bool, typer.Option("--no-filters", help="Keep every picture, whatever the checks say.")] = False,
    workers: Workers = None,
    ray: Annotated[
        str | None, typer.Option(metavar="auto|ADDRESS", help="Work on this Ray cluster, or begin one here.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed makes other pictures (0).")] = None,
    model: Model = None,
    scorer: Scorer = None,
    llm: Llm = None,
    json: Json = False,
) -> None:
    """Make a dataset of labelled pictures: boxes, masks, captions, and where each picture comes from.

    Run it again to go on after an interruption, or to have another format written.
    """
    studio = studio_of(workers=workers, seed=seed, model=model, scorer=scorer, llm=llm)
    chosen: dict[str, Any] = {"mode": mode, "candidates": candidates, "scenes": scenes, "objects": objects}
    chosen |= {"background": False if background else None, "filtered": False if filters else None}
    report = terminal.follow(studio.factory.synth(classes, count, out, chosen, forms=form, ray=ray))
    tell(report, json, _made)
    if not report["complete"]:
        terminal.complain(f"limner: the items ran out at {report['accepted']} of {count} pictures")
        raise typer.Exit(1)


def _made(report: Report) -> None:
    """What came of it: pictures by side, tries by stage, rejects by reason, where it is."""
    stages: dict[str, dict[str, Any]] = report["stages"]
    terminal.table(("stage", "kept", "rejected", "rate"), [(name, *each.values()) for name, each in stages.items()])
    rejected: dict[str, int] = report["rejected"]
    if rejected:
        terminal.say()
        rows = sorted(((number, reason) for reason, number in rejected.items()), reverse=True)
        terminal.table(("rejected", "for"), rows)
    terminal.say()
    sides = ", ".join(f"{number} {side}" for side, number in report["splits"].items())
    things = ", ".join(f"{number} {name}" for name, number in report["regions"].items())
    terminal.say(f"{report['accepted']} pictures of {report['items']} items ({sides}); labelled: {things}")
    if report["set_aside"]:
        terminal.say(f"{report['set_aside']} items failed again and again and were set aside")
    for form, folder in {"limner": report["out"], **report["forms"]}.items():
        terminal.say(f"{form}: {folder}")
    terminal.say(f"card: {Path(report['out']) / 'card.html'}")


@dataset_app.command("convert")
def dataset_convert(
    source: Folder,
    form: Annotated[
        Literal["limner", "coco", "yolo", "webdataset", "imagefolder"], typer.Option("--format", help="Which form.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    json: Json = False,
) -> None:
    """Write a dataset in another form."""
    tell(studio_of().factory.convert(source, form, out), json)


@dataset_app.command("check")
def dataset_check(folder: Folder, json: Json = False) -> None:
    """Say everything that is wrong with a dataset: files, boxes, masks, ids, sides.

    The exit code is 1 where anything is.
    """
    report = studio_of().factory.check(folder)
    tell(report, json, _problems)
    if report["problems"]:
        raise typer.Exit(1)


def _problems(report: Report) -> None:
    for problem in report["problems"]:
        terminal.say(f"{problem['where']}: {problem['what']}")
    number = len(report["problems"])
    terminal.say(f"{report['folder']}: {f'{number} problems' if number else 'nothing is wrong'}")
