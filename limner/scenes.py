"""What `limner world` shows of the picture world: single scenes, folders of scenes, and the splits."""

from __future__ import annotations

import json
from collections.abc import Generator
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import Any

from limner.image import save_png
from limner.staging import staged_folder
from limner.types import BadInput, Box, Event, Picture
from limner.world import art, caption, render, sample, vocabulary

SMALLEST, LARGEST = 16, 2048


def make_scene(seed: int, stage: str, style: str | None, size: int) -> tuple[Picture, dict[str, Any]]:
    """One random scene of a stage, `size` pixels a side, and all that is known of it: caption, facts, objects.

    Raises BadInput for an unknown stage or style or a size out of range, LimnerError for art that is not here.
    """
    if stage not in sample.STAGES:
        raise BadInput(f"the world has no stage {stage!r}", f"it has {', '.join(sample.STAGES)}")
    if not SMALLEST <= size <= LARGEST:
        raise BadInput(f"a scene of {size} pixels cannot be made", f"choose {SMALLEST} to {LARGEST}")
    rng = Random(seed)
    scene = sample.sample_scene(rng, stage, _palette(style))
    shown = render.annotate(scene, size)
    known = {
        "seed": seed,
        "caption": shown.caption,
        "style": scene.style,
        "facts": [fact.text for fact in caption.facts(scene)],
        "objects": {"bbox": [_xywh(r.box) for r in shown.regions], "category": [r.label for r in shown.regions]},
    }
    return shown.picture, known


def sample_folder(
    target: Path, *, count: int, seed: int, stage: str, style: str | None, size: int
) -> Generator[Event, None, dict[str, Any]]:
    """Make `count` scenes, seeds from `seed` on, into a new folder of PNGs with a metadata.jsonl.

    The folder is laid out as Hugging Face's ImageFolder. Raises BadInput as `make_scene`, and for a count below 1.
    """
    if count < 1:
        raise BadInput(f"{count} scenes cannot be made", "choose at least 1")
    with staged_folder(target) as folder, (folder / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(count):
            picture, known = make_scene(seed + number, stage, style, size)
            name = f"{number:06d}.png"
            save_png(folder / name, picture)
            lines.write(json.dumps({"file_name": name, **known}, ensure_ascii=False) + "\n")
            yield Event("scenes", "making scenes", number + 1, count)
    return {"folder": str(target), "count": count, "metadata": str(target / "metadata.jsonl")}


def _xywh(box: Box) -> list[float]:
    """COCO's form of a box, which ImageFolder's metadata has too."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def splits() -> dict[str, Any]:
    """What training never sees: held-out concepts and style, and how many pairs and bindings of the core ones."""
    core = vocabulary.CORE_CONCEPTS
    pairs = list(combinations(core, 2))
    tintable = [name for name in core if vocabulary.concept(name).tintable]
    bindings = list(product(vocabulary.COLOURS, tintable))
    return {
        "concepts": len(vocabulary.CONCEPTS),
        "core_concepts": len(core),
        "held_out_concepts": sorted(vocabulary.held_out_concepts()),
        "held_out_style": vocabulary.HELD_OUT_STYLE,
        "core_pairs": len(pairs),
        "held_out_core_pairs": sum(vocabulary.pair_held_out(*pair) for pair in pairs),
        "core_bindings": len(bindings),
        "held_out_core_bindings": sum(vocabulary.binding_held_out(*binding) for binding in bindings),
    }


def _palette(style: str | None) -> sample.Palette:
    """The palette of one style; without a style the trained ones where their art is here, else shapes."""
    trained = sample.Palette()
    if style is None and all(map(art.have_art, trained.styles)):
        return trained
    if style in (None, "shapes"):
        return sample.Palette(concepts=tuple(vocabulary.SHAPE_CONCEPTS), styles=("shapes",))
    return sample.Palette(styles=(style,))
