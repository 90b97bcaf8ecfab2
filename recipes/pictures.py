"""The README's picture: `python recipes/pictures.py docs/draw.png` draws eight prompts, the best of each on a sheet."""

from __future__ import annotations

import sys
from pathlib import Path

from limner.config import load_settings
from limner.draw import DrawOptions, draw, finish
from limner.image import contact_sheet, save_png
from limner.toolbox import Toolbox

PROMPTS = (
    "a red fox to the left of a castle in the snow",
    "a butterfly under water",
    "a house by the sea at sunset",
    "three apples on a grey background",
    "a cat and a dog on a meadow",
    "a penguin in space",
    "a green car in the city at night",
    "an owl above a chair in the forest",
)


def main() -> None:
    """Draw every prompt with seed 1 and write the sheet to the path given."""
    models = Toolbox(load_settings()).models
    found = [finish(draw(models, DrawOptions(prompt=prompt, seed=1))) for prompt in PROMPTS]
    kept = [(len(r.threshold) - len(r.best.card.missing), len(r.threshold)) for r in found]
    captions = [f"{prompt} ({there} of {all_})" for prompt, (there, all_) in zip(PROMPTS, kept, strict=True)]
    save_png(Path(sys.argv[1]), contact_sheet([r.best.picture for r in found], captions, columns=4, scale=2))


if __name__ == "__main__":
    main()
