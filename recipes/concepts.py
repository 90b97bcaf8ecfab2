"""Draw docs/concepts.png: two things and a style that the embedded models never saw, each learned from one picture.

    python recipes/concepts.py

A row a concept: the picture it was learned from, the concept alone, in five contexts; then things composed with each
other and with the style (DreamArtist 6.7). Nothing is picked: the seeds are those of the first try. Needs the world's
art (`limner world fetch`) and about ten minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limner.config import load_settings
from limner.image import contact_sheet, save_png
from limner.protocols import DrawRequest
from limner.shelf import Shelf
from limner.toolbox import Toolbox
from limner.train.concept.exam import taught
from limner.world.oneshot import Reference, references

CONTEXTS = (
    "{}",
    "{} in the snow",
    "{} on the beach",
    "{} at night in the city",
    "{} to the left of a castle",
    "{} above a red car",
)
STYLED = (
    "a fox, {}",
    "a castle in the snow, {}",
    "an elephant on the beach, {}",
    "a pizza, {}",
    "a rocket at night, {}",
    "a bus in the city, {}",
)
COMPOSED = (
    "a <{0}> to the left of a <{1}>",
    "a <{0}> above a <{1}> in the snow",
    "a <{0}> in the desert, <{2}>",
    "a <{1}>, <{2}>",
)
OUT = Path(__file__).parent.parent / "docs" / "concepts.png"
SHELF = Shelf(Path("runs/concepts"))
SEED = 1


def main() -> None:
    """Learn, draw, and lay it all out."""
    tools = Toolbox(load_settings({}))
    painter, usual = tools.painter, tools.profile.learning.model_dump(exclude_none=True)
    exam = {reference.name: reference for reference in references(16)}
    chosen = [exam[name] for name in ("radio", "raccoon", "twemoji-1")]
    for r in chosen:
        if r.name not in SHELF.names():  # what an earlier run learned is taken as it is
            SHELF.put(taught(painter, r.picture, r.name, r.kind, r.like, usual, SEED))
    painter.loaded.prompts.rack.find = SHELF.get
    pictures, captions = list[Any](), list[str]()
    for reference in chosen:
        prompts = _prompts(reference)
        pictures += [reference.picture, *_draw(painter, prompts, SHELF.get(reference.name).about.guidance)]
        captions += [f"learned from one picture as <{reference.name}>", *prompts]
    names = [reference.name for reference in chosen]
    together = [prompt.format(*names) for prompt in COMPOSED]
    pictures += _draw(painter, together, 3.0)
    captions += together
    save_png(OUT, contact_sheet(pictures, captions, columns=7))


def _prompts(reference: Reference) -> list[str]:
    said = f"<{reference.name}>" if reference.kind == "style" else f"a <{reference.name}>"
    return [context.format(said) for context in (STYLED if reference.kind == "style" else CONTEXTS)]


def _draw(painter: Any, prompts: list[str], guidance: float) -> list[Any]:
    return painter.draw([DrawRequest(prompt, SEED, 20, guidance, 128, 128) for prompt in prompts])


if __name__ == "__main__":
    main()
