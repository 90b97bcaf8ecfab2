"""What was seen in a picture and what became of it: the JSON forms of looking and editing, and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limner.easel import digests
from limner.edit import Attempt, EditResult
from limner.image import contact_sheet, draw_regions, open_picture, save_png, to_rle
from limner.image.paste import box_mask, mask_from_picture
from limner.protocols import Hands, Mask
from limner.regions import checked_mask, parse_box
from limner.types import AnnotatedPicture, BadInput, Picture, Recipe


def given_mask(picture: Picture, box: str | None, mask: Path | None) -> Mask | None:
    """The region that the user marked, by a box in pixels or a mask picture; None for neither. Raises BadInput."""
    if box is not None and mask is not None:
        raise BadInput("--box and --mask were both given", "choose one")
    if mask is not None:
        return checked_mask(mask_from_picture(open_picture(mask)), picture)
    return None if box is None else box_mask(parse_box(box), picture.width, picture.height)


def look_report(seen: AnnotatedPicture) -> dict[str, Any]:
    """{"caption", "regions": [{"label", "score", "box": [x0, y0, x1, y1], "mask": RLE}]}."""
    regions = [
        {
            "label": region.label,
            "score": round(region.score, 4),
            "box": [round(side, 1) for side in region.box],
            "mask": None if region.mask is None else to_rle(region.mask),
        }
        for region in seen.regions
    ]
    return {"caption": seen.caption, "regions": regions}


def save_annotated(path: Path, seen: AnnotatedPicture) -> None:
    """The picture with its boxes, masks and labels drawn in. Raises like `save_png`."""
    save_png(path, draw_regions(seen.picture, seen.regions))


def edit_report(result: EditResult, file: Path) -> dict[str, Any]:
    """The report that `limner edit --json` prints; every attempt with its scales and checks."""
    best = result.best
    return {
        "file": str(file),
        "instruction": result.change.instruction,
        "kind": result.change.kind,
        "passed": best.passed,
        "checks": checks(best),
        "changed_fraction": round(best.changed, 4),
        "drift_outside": best.drift,
        "attempts": [_attempt(attempt) for attempt in result.attempts],
        "seed": best.seed,
        "warnings": list(result.warnings),
    }


def checks(attempt: Attempt) -> dict[str, dict[str, Any]]:
    """The checks of an attempt as JSON values, by name."""
    return {name: {"value": round(check.value, 4), "passed": check.passed} for name, check in attempt.checks.items()}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "method": attempt.method,
        "seed": attempt.seed,
        "text_guidance": round(attempt.text_guidance, 4),
        "image_guidance": round(attempt.image_guidance, 4),
        "passed": attempt.passed,
        "checks": checks(attempt),
        "directional_similarity": None if attempt.directional is None else round(attempt.directional, 4),
        "changed_fraction": round(attempt.changed, 4),
        "drift_outside": attempt.drift,
    }


def save_edit(path: Path, result: EditResult, hands: Hands, versions: Mapping[str, str] | None) -> None:
    """Write the edited picture; with `versions` it carries its recipe and its lineage. Raises like `save_png`."""
    if versions is None:
        save_png(path, result.best.picture)
        return
    save_png(path, result.best.picture, edit_recipe(result, hands, versions), {"lineage": lineage(result)})


def edit_recipe(result: EditResult, hands: Hands, versions: Mapping[str, str]) -> Recipe:
    """How the best attempt was made; its prompt is the instruction."""
    best, model = result.best, {"instruct": hands.editor, "fill": hands.inpainter}.get(result.best.method)
    return Recipe(
        prompt=result.change.instruction,
        seed=best.seed,
        steps=best.steps,
        guidance=best.text_guidance,
        width=best.picture.width,
        height=best.picture.height,
        model=model.name if model else best.method,
        model_hash=model.model_hash if model else "",
        versions=dict(versions),
        concepts=digests(hands.inpainter, result.change.instruction),
    )


def lineage(result: EditResult) -> dict[str, Any]:
    """Where an edited picture came from: its parent's sha256 (of pixels), the instruction, the scales, the mask."""
    return {
        "parent": result.before.sha256,
        "instruction": result.change.instruction,
        "kind": result.change.kind,
        "method": result.best.method,
        "text_guidance": result.best.text_guidance,
        "image_guidance": result.best.image_guidance,
        "mask": hashlib.sha256(np.packbits(result.mask).tobytes()).hexdigest(),
    }


def save_comparison(path: Path, result: EditResult) -> None:
    """Before and after, side by side, with the instruction. Raises like `save_png`."""
    captions = ("before", f"{result.change.instruction}: {'done' if result.best.passed else 'not quite'}")
    save_png(path, contact_sheet((result.before, result.best.picture), captions, columns=2))
