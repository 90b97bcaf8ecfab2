"""What each kind of job does: params in, events on the way, the result as JSON values.

`limner.web` has checked the params; still nothing in them is ever a path: pictures are named by their sha256 in the
store, sessions, concepts and datasets by names that are checked here again.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from limner.edit import EditOptions, edit
from limner.findings import checks, edit_recipe, lineage, look_report
from limner.image import decode_picture, png_bytes, save_png
from limner.image.paste import box_mask, mask_from_picture
from limner.look import look, parse_queries
from limner.protocols import Mask
from limner.regions import checked_mask
from limner.service.desk import Desk
from limner.service.drawing import draw_well
from limner.service.telling import told
from limner.service.values import Job, JobEvent, Kind
from limner.session import Session
from limner.types import BadInput, Event, Picture
from limner.understanding import understand

Params = Mapping[str, Any]
Work = Generator[Event, None, dict[str, Any]]

BEGUN = "session"
"""The kind of the event that says where a session stood before the job: it must be safe before the session changes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_EDITING = ("seed", "steps", "text_guidance", "image_guidance", "attempts")
_SYNTH = ("mode", "candidates", "scenes", "objects", "background")


def run(desk: Desk, job: Job, past: Sequence[JobEvent] = ()) -> Work:
    """Do what a job asks for. `past` are its events of earlier attempts, whose worker died.

    Yields events whose data are JSON values. Raises BadInput for params that cannot be, LimnerError for what fails,
    Cancelled when the desk's ticket was called off.
    """
    work = _KINDS[job.kind](desk, job, past)
    try:
        while True:
            event = next(work)
            desk.ticket.check()
            yield told(_with_pictures(desk, event))
    except StopIteration as end:
        return end.value
    finally:
        work.close()


def _draw(desk: Desk, job: Job, _past: Sequence[JobEvent]) -> Work:
    yield _loading(desk)
    return (yield from draw_well(desk, job.params))


def _edit(desk: Desk, job: Job, _past: Sequence[JobEvent]) -> Work:
    params = job.params
    picture = _picture(desk, params["picture"])
    change, fallback = understand(desk.tools.language, params["instruction"])
    if fallback:
        yield Event("warning", fallback)
    given = desk.settings.model_dump(include={*_EDITING}, exclude_none=True) | _chosen(params, _EDITING)
    options = EditOptions(change, _where(desk, params, picture), **given)
    yield _loading(desk)
    result = yield from edit(desk.tools.edit_models, picture, options)
    best = result.best
    recipe = edit_recipe(result, desk.tools.hands, desk.tools.versions) if desk.settings.metadata else None
    extra = {"lineage": lineage(result)} if recipe else None
    return {
        "picture": desk.blobs.put(png_bytes(best.picture, recipe, extra)),
        "instruction": change.instruction,
        "kind": change.kind,
        "passed": best.passed,
        "checks": checks(best),
        "changed": round(best.changed, 4),
        "drift": best.drift,
        "tries": len(result.attempts),
        "seed": best.seed,
        "warnings": list(result.warnings),
    }


def _look(desk: Desk, job: Job, _past: Sequence[JobEvent]) -> Work:
    queries = parse_queries(job.params["find"]) if job.params.get("find") else ()
    picture = _picture(desk, job.params["picture"])
    yield _loading(desk)
    return look_report((yield from look(desk.tools.eyes, picture, queries)))


def _say(desk: Desk, job: Job, past: Sequence[JobEvent]) -> Work:
    session = yield from _session(desk, job, past)
    params = job.params
    if params.get("open"):
        turns = yield from session.open(_picture(desk, params["open"]))
    elif params.get("mask"):
        shown = session.now.picture
        if shown is None:
            raise BadInput("there is no picture to mark anything in yet", "say what to draw")
        mask = checked_mask(mask_from_picture(_picture(desk, params["mask"])), session.bench.picture(shown))
        turns = yield from session.say(params["text"], mask)
    else:
        turns = yield from session.say(params["text"])
    return {"session": session.state.name, "turns": [turn.id for turn in turns], "tip": session.state.tip}


def _forget(desk: Desk, job: Job, past: Sequence[JobEvent]) -> Work:
    session = yield from _session(desk, job, past)
    forgotten = yield from session.forget(session.find(job.params["turn"]).id)
    return {
        "session": session.state.name,
        "removed": [turn.id for turn in forgotten.removed],
        "remade": [turn.id for turn in forgotten.remade],
        "dropped": [[turn.id, reason] for turn, reason in forgotten.dropped],
        "tip": session.state.tip,
    }


def _session(desk: Desk, job: Job, past: Sequence[JobEvent]) -> Generator[Event, None, Session]:
    """The job's session, as it was before the job: what a worker that died had done of it is done again."""
    session = desk.session(str(job.params["session"]))
    begun = next((event.data for event in past if event.kind == BEGUN), None)
    if begun is not None:
        _go_back(session, begun["tip"])
    else:
        yield Event(BEGUN, data={"session": session.state.name, "tip": session.state.tip})
    return session


def _go_back(session: Session, tip: str | None) -> None:
    if tip is not None and session.state.tip != tip:
        session.goto(tip)
    while tip is None and session.path:
        session.undo()


def _learn(desk: Desk, job: Job, _past: Sequence[JobEvent]) -> Work:
    from limner.train.concept.options import Options

    params, name = job.params, job.params["name"]
    chosen = {key: value for key, value in params.items() if key in {each.name for each in fields(Options)} - {"name"}}
    if params.get("session"):
        session = desk.session(str(params["session"]))
        picture = _picture(desk, params["picture"]) if params.get("picture") else None
        [turn] = yield from session.learn(name, picture, chosen=chosen)
        return {"session": session.state.name, "turn": turn.id, "name": name, "word": f"<{name}>"}
    picture = _picture(desk, params["picture"])
    with tempfile.TemporaryDirectory(prefix="limner-learn-") as kept:
        folder = Path(kept)
        save_png(folder / "picture.png", picture)
        if params.get("mask"):
            save_png(folder / "mask.png", _picture(desk, params["mask"]))
        told_of = yield from desk.lessons.learn(
            folder / "picture.png",
            name,
            chosen,
            box=",".join(str(side) for side in params["box"]) if params.get("box") else None,
            mask=folder / "mask.png" if params.get("mask") else None,
            previews=folder / "previews.png",
            again=bool(params.get("again")) or _learned_since(desk, job),
        )
        shown = desk.blobs.put((folder / "previews.png").read_bytes())
    return {**told_of, "file": f"{name}.safetensors", "previews": {"picture": shown}}


def _learned_since(desk: Desk, job: Job) -> bool:
    """Whether a worker that died put the concept there: then it is not one that somebody wants to keep."""
    path = desk.lessons.shelf.path(job.params["name"])
    return job.attempts > 1 and path.is_file() and path.stat().st_mtime > job.created


def _synth(desk: Desk, job: Job, _past: Sequence[JobEvent]) -> Work:
    params = job.params
    chosen = {**_chosen(params, _SYNTH), "filtered": params.get("filters")}
    name = _named(params["name"])
    factory = desk.factory_of(params.get("seed"))
    folder = desk.settings.data / "datasets" / name
    report = yield from factory.synth(
        _listed(params["classes"]), params["count"], folder, chosen, forms=_listed(params.get("formats") or "coco")
    )
    return {**report, "out": name, "forms": sorted(report["forms"])}


def _with_pictures(desk: Desk, event: Event) -> Event:
    """What a lesson draws on the way, as pictures of the store."""
    pictures: list[Picture] = event.data.get("pictures", []) if event.kind == "preview" else []
    if not pictures:
        return event
    return replace(event, data={**event.data, "pictures": [desk.blobs.put(png_bytes(each)) for each in pictures]})


def _loading(desk: Desk) -> Event:
    return Event("load", f"loading {desk.tools.profile.name}")


def _picture(desk: Desk, sha256: str) -> Picture:
    """A picture of the store. Raises BadInput for what is no sha256, LimnerError where there is none of it."""
    return decode_picture(desk.blobs.get(sha256), f"picture {sha256[:12]}")


def _where(desk: Desk, params: Params, picture: Picture) -> Mask | None:
    """What was marked, by a mask or a box; None for neither."""
    if params.get("mask") and params.get("box"):
        raise BadInput("a box and a mask were both given", "choose one")
    if params.get("mask"):
        return checked_mask(mask_from_picture(_picture(desk, params["mask"])), picture)
    if params.get("box"):
        x0, y0, x1, y1 = params["box"]
        return box_mask((x0, y0, x1, y1), picture.width, picture.height)
    return None


def _chosen(params: Params, names: Sequence[str]) -> dict[str, Any]:
    return {name: params[name] for name in names if params.get(name) is not None}


def _named(name: object) -> str:
    """A name that is also a safe name of a folder. Raises BadInput for anything else."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(f"{str(name)[:80]!r} is no name", "letters, digits, - and _, beginning with a letter or digit")
    return name


def _listed(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else ", ".join(names)


_KINDS: Mapping[Kind, Callable[[Desk, Job, Sequence[JobEvent]], Work]] = {
    "draw": _draw,
    "edit": _edit,
    "look": _look,
    "say": _say,
    "forget": _forget,
    "learn": _learn,
    "synth": _synth,
}
