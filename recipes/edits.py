"""The pictures of editing: `python recipes/edits.py docs` writes docs/edits.png and docs/drift.png.

The first shows 24 edits of held-out scenes, before and after, as they came: seeds 0 to 23, none left out. The
second shows how far pixels that no round was to touch have drifted over eight object edits in a row, ours and plain.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from limner.config import load_settings
from limner.draw import finish
from limner.edit import EditOptions, edit
from limner.evaluate.dialogpaint import drift_curves
from limner.image import contact_sheet, save_png
from limner.instruction import parse_instruction
from limner.protocols import EditModels
from limner.toolbox import Toolbox
from limner.types import BadInput, Picture
from limner.world.edits import KINDS, sample_edit
from limner.world.render import render
from limner.world.sample import Palette
from limner.world.scene import Scene, Thing

ROUNDS = (
    "make the car red",
    "replace the tree with a house",
    "make the car yellow",
    "replace the house with a castle",
    "make the car green",
    "replace the castle with a cat",
    "make the car purple",
    "replace the cat with a tree",
)
START = Scene((Thing("car", "flat", 0.27, 0.6, 0.44, "blue"), Thing("tree", "flat", 0.74, 0.58, 0.44)), "meadow")
COLOURS = {"ours": "#0a7d32", "plain": "#b3261e"}


def sheet(models: EditModels, count: int = 24) -> Picture:
    """Before and after of each edit, with the instruction and whether the checks passed."""
    rng, pictures, captions = Random("edits"), list[Picture](), list[str]()
    for number in range(count):
        triple = sample_edit(rng, KINDS[number % len(KINDS)], Palette(), held_out=True)
        before, said = render(triple.before), triple.change.instruction
        try:
            best = finish(edit(models, before, EditOptions(parse_instruction(said), seed=number))).best
            after, verdict = best.picture, "passed" if best.passed else "failed its checks"
        except BadInput as error:
            after, verdict = before, error.message
        pictures += [before, after]
        captions += [said, verdict]
    return contact_sheet(pictures, captions, columns=8)


def plot(curves: dict[str, list[float]], size: tuple[int, int] = (640, 360)) -> Picture:
    """The curves over rounds 1 to 8, with their last values written at their ends."""
    image = Image.new("RGB", size, "white")
    pen, highest = ImageDraw.Draw(image), max(1.0, *(max(values) for values in curves.values()))
    left, top, right, bottom = 60, 30, size[0] - 90, size[1] - 50
    pen.line((left, top, left, bottom, right, bottom), fill="#222222")
    pen.text((left, 8), "mean difference (of 255) of the pixels that no round was to touch", fill="#222222")
    pen.text((left, bottom + 24), "edits in a row", fill="#222222")
    for name, values in curves.items():
        xs = np.linspace(left, right, len(values)).tolist()
        points = [(x, bottom - (bottom - top) * value / highest) for x, value in zip(xs, values, strict=True)]
        pen.line(points, fill=COLOURS[name], width=3)
        pen.text((points[-1][0] + 6, points[-1][1] - 6), f"{name} {values[-1]:.2f}", fill=COLOURS[name])
        for number, x in enumerate(xs, 1):
            pen.text((x - 3, bottom + 6), str(number), fill="#222222")
    return Picture(np.array(image))


def main() -> None:
    """Write both pictures into the folder given."""
    models, folder = Toolbox(load_settings()).edit_models, Path(sys.argv[1])
    save_png(folder / "edits.png", sheet(models))
    save_png(folder / "drift.png", plot(drift_curves(models, ROUNDS, render(START))))


if __name__ == "__main__":
    main()
