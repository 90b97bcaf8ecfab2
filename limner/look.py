"""Look at a picture: a caption, and where everything in it is, with a mask each (ChatGenImage 3.3).

What is looked for is what the user asks for, or else the things that the caption names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from limner import rules
from limner.protocols import Eyes
from limner.tagger import SPATIAL
from limner.types import AnnotatedPicture, BadInput, Event, Picture, Region
from limner.world.vocabulary import COLOURS, CONCEPTS

MAX_QUERIES = 64
_PLACES = {
    "left": "left", "leftmost": "left", "right": "right", "rightmost": "right", "top": "top", "upper": "top",
    "bottom": "bottom", "lower": "bottom", "middle": "middle", "central": "middle",
}  # fmt: skip
_LINK = re.compile(rf"\s+(?:{'|'.join(SPATIAL)}|of|in|on|at|with|by|from|to|that|which|who)\s", re.IGNORECASE)


def parse_queries(text: str) -> tuple[str, ...]:
    """«red car, cat» as ("red car", "cat"), each once. Raises BadInput for nothing, too many and too long ones."""
    found = tuple(dict.fromkeys(" ".join(part.split()) for part in text.split(",") if part.strip()))
    if not found:
        raise BadInput("nothing to find was named", 'name things with commas between them, such as "red car, cat"')
    if len(found) > MAX_QUERIES:
        raise BadInput(f"{len(found)} things to find", f"name at most {MAX_QUERIES}")
    if longest := next((query for query in found if len(query) > rules.MAX_KEYWORD_CHARS), ""):
        raise BadInput(f"{longest[:20]!r}... is too long to look for", f"at most {rules.MAX_KEYWORD_CHARS} characters")
    return found


def named_things(caption: str) -> tuple[str, ...]:
    """The things that a caption names, without the phrases that only say how they stand to each other."""
    keywords = rules.extract_keywords(caption)
    return tuple(keyword for keyword in keywords if not any(f" {link} " in keyword for link in SPATIAL))


def head_noun(name: str) -> str:
    """The bare noun of a thing's name: «car» for «red car» and for «red car next to the house»."""
    words = _LINK.split(name, maxsplit=1)[0].split()
    return words[-1] if words else ""


def bare_name(name: str) -> str:
    """A thing's name without colour and place: «teddy bear» for «brown teddy bear on the left», «car» for «old car».

    Of several words only a name that the world knows is kept whole.
    """
    words = _LINK.split(name, maxsplit=1)[0].split()
    words = words[1:] if len(words) > 1 and words[0] in COLOURS else words
    wholes = (" ".join(words[start:]) for start in range(len(words)))
    return next((whole for whole in wholes if whole in CONCEPTS), words[-1] if words else "")


def split_place(name: str) -> tuple[str, str]:
    """«left car» as ("left", "car"); the place is "" where the name says none."""
    first, _, rest = name.partition(" ")
    place = _PLACES.get(first.lower(), "")
    return (place, rest) if place and rest else ("", name)


def in_place(regions: Sequence[Region], place: str) -> list[Region]:
    """The regions, the one that lies furthest to the `place` («left», «top», ...; "" keeps their order) first."""
    middle = sum(r.box[0] + r.box[2] for r in regions) / max(1, len(regions))
    keys: dict[str, Callable[[Region], float]] = {
        "middle": lambda r: abs(r.box[0] + r.box[2] - middle),
        "left": lambda r: r.box[0] + r.box[2],
        "right": lambda r: -r.box[0] - r.box[2],
        "top": lambda r: r.box[1] + r.box[3],
        "bottom": lambda r: -r.box[1] - r.box[3],
    }
    return sorted(regions, key=keys[place]) if place in keys else list(regions)


def look(eyes: Eyes, picture: Picture, queries: Sequence[str] = ()) -> Generator[Event, None, AnnotatedPicture]:
    """Caption a picture and find `queries` in it (default: what the caption names), best score first.

    Yields an Event before each model works. A query that is not found has no region.
    """
    yield Event("look", "captioning", 0, 3)
    [caption] = eyes.captioner.caption([picture])
    yield Event("look", "finding", 1, 3)
    [regions] = eyes.detector.detect([picture], [queries or named_things(caption)])
    yield Event("look", "cutting out", 2, 3)
    annotated = AnnotatedPicture(picture, caption, cut_out(eyes, picture, regions))
    yield Event("look", "done", 3, 3)
    return annotated


def cut_out(eyes: Eyes, picture: Picture, regions: Sequence[Region]) -> list[Region]:
    """The regions with the segmenter's masks."""
    masks = eyes.segmenter.segment(picture, [region.box for region in regions])
    return [replace(region, mask=mask) for region, mask in zip(regions, masks, strict=True)]
