"""A drawing on disk and as JSON: every picture of a run, the best one, a contact sheet, and the report.

    best.png    sheet.png    report.json    1-01.png  1-02.png ...  (round-picture)

And the way back: a picture drawn again from the recipe inside its file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from limner.draw import DrawResult, result_to_json
from limner.easel import digests
from limner.image import contact_sheet, open_picture, read_metadata, save_png, write_whole
from limner.mending import put_in
from limner.protocols import DrawRequest, Mender, TextToImage
from limner.refine import Drawn
from limner.types import BadInput, ModelUnavailable, Picture, Recipe

BEST, SHEET, REPORT = "best.png", "sheet.png", "report.json"
_SLUG_WORDS, _SLUG_CHARACTERS = 12, 80


@dataclass(frozen=True, slots=True, eq=False)
class Redrawn:
    """A picture made again. `same` says whether its pixels are the old ones, `warnings` what may be why not."""

    picture: Picture
    recipe: Recipe
    same: bool
    warnings: tuple[str, ...]


def slug(prompt: str) -> str:
    """A folder name from the first words of a prompt: plain letters, digits and hyphens, at most 80 characters."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())[:_SLUG_WORDS]
    return "-".join(words)[:_SLUG_CHARACTERS] or "drawing"


def report(result: DrawResult, folder: Path) -> dict[str, Any]:
    """The JSON form of a run whose files lie in `folder`: result_to_json, with the best copy and the sheet."""
    files = {drawn.picture.sha256: str(folder / name) for name, drawn in _named(result)}
    told = result_to_json(result, files)
    return told | {"best": told["best"] | {"file": str(folder / BEST)}, "sheet": str(folder / SHEET)}


def save_drawing(result: DrawResult, folder: Path, told: Mapping[str, Any], versions: Mapping[str, str] | None) -> None:
    """Write everything that came of a run, `told` as its report, into an existing folder.

    With `versions`, what the recipes were carried out with, the PNGs carry recipe and scores; without, nothing but
    pixels. Raises LimnerError when the disk is full.
    """
    named = _named(result)
    for name, drawn in [*named, (BEST, result.best)]:
        recipe = None if versions is None else replace(drawn.recipe, versions=versions)
        save_png(folder / name, drawn.picture, recipe, None if versions is None else _scores(drawn))
    pictures, captions = zip(*((drawn.picture, _caption(name, drawn)) for name, drawn in named), strict=True)
    best = [index for index, (_, drawn) in enumerate(named) if drawn is result.best]
    save_png(folder / SHEET, contact_sheet(pictures, captions, highlight=best))
    write_whole(folder / REPORT, json.dumps(told, ensure_ascii=False, indent=2).encode())


def told_by(file: Path) -> dict[str, Any]:
    """How a picture was made, as its file says. Raises BadInput for a file without a recipe."""
    metadata = read_metadata(file)
    return {**asdict(metadata.recipe), **{k: v for k, v in metadata.limner.items() if k != "recipe"}}


def drawn_by(file: Path) -> Recipe:
    """The recipe of a file that was drawn. Raises BadInput for one without a recipe, and for an edited picture."""
    metadata = read_metadata(file)
    if "lineage" in metadata.limner:
        raise BadInput(f"{file} was edited: it holds an instruction, not a prompt", "use `limner edit`")
    return metadata.recipe


def redraw(
    file: Path,
    painter: TextToImage,
    changes: dict[str, Any],
    versions: Mapping[str, str],
    mender: Callable[[], Mender] | None = None,
) -> Redrawn:
    """Draw the picture of a file again from its recipe, with `changes` to the recipe's fields.

    What was put in is put in again by the `mender`, but for a picture that is changed, where it would not fit. Raises
    BadInput as `drawn_by` does, and for values the painter cannot draw with; ModelUnavailable where something was put
    in and there is no mender.
    """
    old = drawn_by(file)
    asked: dict[str, Any] = {name: getattr(old, name) for name in DrawRequest.__dataclass_fields__} | changes
    request, parts = DrawRequest(**asked), () if changes else old.parts
    [picture] = painter.draw([request])
    for part in parts:
        if mender is None:
            raise ModelUnavailable(f"the {part.thing} was put in, and nothing here cuts it out", "name a segmenter")
        [alone] = painter.draw([replace(request, prompt=part.prompt, seed=part.seed)])
        picture = put_in(mender(), picture, alone, part)
    new = Recipe(
        **asked,
        model=painter.name,
        model_hash=painter.model_hash,
        sampler=painter.sampler,
        versions=dict(versions),
        concepts=digests(painter, asked["prompt"], asked["negative_prompt"]),
        parts=parts,
    )
    return Redrawn(picture, new, picture.sha256 == open_picture(file).sha256, _differences(old, new))


def save_again(path: Path, file: Path, redrawn: Redrawn, *, metadata: bool) -> None:
    """Write a redrawn picture; what the old file says besides the recipe holds for it when it is the same."""
    kept = {k: v for k, v in read_metadata(file).limner.items() if k != "recipe"} if redrawn.same else {}
    save_png(path, redrawn.picture, redrawn.recipe if metadata else None, kept if metadata else None)


def _named(result: DrawResult) -> list[tuple[str, Drawn]]:
    return [
        (f"{number}-{place:02d}.png", drawn)
        for number, each in enumerate(result.rounds, 1)
        for place, drawn in enumerate(each.pictures, 1)
    ]


def _scores(drawn: Drawn) -> dict[str, Any]:
    return {"scores": dict(drawn.card.scores), "threshold": dict(drawn.card.threshold)}


def _caption(name: str, drawn: Drawn) -> str:
    there = len(drawn.card.scores) - len(drawn.card.missing)
    return f"{Path(name).stem}  {there} of {len(drawn.card.scores)}  seed {drawn.recipe.seed}"


def _differences(old: Recipe, new: Recipe) -> tuple[str, ...]:
    """What may make the same recipe give other pixels, in words."""
    then = {"model": old.model, "model hash": old.model_hash, "sampler": old.sampler, **old.versions, **old.concepts}
    now = {"model": new.model, "model hash": new.model_hash, "sampler": new.sampler, **new.versions, **new.concepts}
    changed = [f"{name} was {then[name]}, is {now.get(name, 'absent')}" for name in then if then[name] != now.get(name)]
    left_out = [] if new.parts else list(dict.fromkeys(part.thing for part in old.parts))
    return (*changed, *(f"{thing} was put in, and is left out" for thing in left_out))
