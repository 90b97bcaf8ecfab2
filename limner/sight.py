"""What a conversation knows of its picture: the things in it, and answers to questions about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from limner.concept import in_words, uses
from limner.look import head_noun, named_things, parse_queries
from limner.protocols import Eyes
from limner.regions import box_iou, each_once
from limner.requests import is_whole_name
from limner.rules import extract_keywords, singular
from limner.seen import Seen, centre, listed, summary, whereabouts
from limner.types import Picture, Region
from limner.wearing import worn_share
from limner.world.caption import article
from limner.world.vocabulary import COLOURS, CONCEPTS

_SAME = 0.5
"""The overlap (intersection over union) from which two boxes hold one thing, called by two names."""

_ALL_OVER = 0.9
"""What has so large a share of its pixels in one colour is of that colour, whatever the detector calls it."""

_MENTIONS = 24
NO_LIKES: Mapping[str, str] = {}
"""For texts that name no learned concept."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def things_seen(
    eyes: Eyes, picture: Picture, texts: Sequence[str], likes: Mapping[str, str] = NO_LIKES
) -> tuple[Seen, ...]:
    """The things in a picture from left to right, each once, with colour and place.

    A detector that knows a fixed set of nouns is asked for all of them; any other for what the caption and the `texts`
    (prompt, instruction) name. Where two names fit one thing, that of the texts is taken: a picture of a car that
    looks like a bus is of a car. What no text names is taken for there only where the detector is sure of it.

    `likes` are the words for the concepts that the texts name: what is found by them is seen as «<gizmo>», unless the
    texts name such a thing besides, or two concepts are like it.
    """
    detector, hoped = eyes.detector, _named_in([in_words(text, likes) for text in texts])
    [regions] = detector.detect([picture], [_names(eyes, picture, hoped)])
    if detector.things:
        regions = [region for region in regions if region.label in hoped or region.score >= detector.present]
    regions = each_once(sorted(regions, key=lambda r: (r.label not in hoped, -r.score)), picture)
    regions = sorted(regions, key=lambda r: r.box[0] + r.box[2])
    colours = _colours(eyes, picture, regions)
    places = [whereabouts(*centre(region.box, picture.width, picture.height)) for region in regions]
    seen = [Seen(r.label, colour, where) for r, colour, where in zip(regions, colours, places, strict=True)]
    concepts = _concepts(texts, likes)
    return _told_apart([replace(each, name=concepts.get(each.name, each.name)) for each in seen])


def _concepts(texts: Sequence[str], likes: Mapping[str, str]) -> dict[str, str]:
    """The concept that a thing of some name must be: «<gizmo>» for the robot that «a <gizmo> in the snow» shows."""
    besides = set(_named_in([in_words(text, NO_LIKES) for text in texts]))
    names = {use.name: _named_in([likes.get(use.name, "")]) for text in texts for use in uses(text)}
    single = [(found[0], name) for name, found in names.items() if len(found) == 1 and found[0] not in besides]
    nouns = [noun for noun, _ in single]
    return {noun: f"<{name}>" for noun, name in single if nouns.count(noun) == 1}


def answer(eyes: Eyes, picture: Picture, question: str, seen: Sequence[Seen]) -> str:
    """What can be said to a question about a picture: is there, how many, where, what colour; else all that is seen."""
    words = question.lower().strip(" ?.!")
    nouns = [singular(head_noun(keyword)) for keyword in extract_keywords(words)]
    asked = [each for each in seen if each.name in nouns or head_noun(each.name) in nouns or each.noun in words]
    noun = next((noun for noun in nouns if noun not in ("picture", "image", "thing", "color", "colour", "many")), "")
    if words.startswith("how many") and noun:
        return f"I see {_count(len(asked), noun)}."
    if re.match(r"(?:is|are|do|can) (?:there|you see|we see)", words) and noun:
        there = listed([article(each.text) for each in asked], "and")
        return f"Yes: {there}." if asked else f"No, I see no {noun}. {summary(seen)}"
    if re.match(r"(?:what|which) colou?r", words) and asked:
        return " ".join(f"The {each.name} is {each.colour or 'in no colour that I can name'}." for each in asked)
    if words.startswith("where") and asked:
        return " ".join(map(_stands, asked))
    [caption] = eyes.captioner.caption([picture])
    return f"{summary(seen)} It looks like {caption}."


def found(eyes: Eyes, picture: Picture, named: str, seen: Sequence[Seen]) -> dict[str, Any]:
    """What `/look` says: the caption and all that is seen, or where what was `named` (with commas between) is."""
    if not named:
        [caption] = eyes.captioner.caption([picture])
        return {"text": f"{caption}\n{summary(seen)}", "caption": caption, "seen": [each.text for each in seen]}
    [regions] = eyes.detector.detect([picture], [parse_queries(named)])
    rows = [{"label": r.label, "score": round(r.score, 4), "box": [round(side, 1) for side in r.box]} for r in regions]
    lines = [
        f"{row['label']}  {row['score']:.2f}  {' '.join(f'{side:g}' for side in r.box)}"
        for row, r in zip(rows, regions, strict=True)
    ]
    return {"text": "\n".join(lines) or f"no {named} was found", "regions": rows}


def _stands(thing: Seen) -> str:
    return f"The {thing.noun} is {thing.text.removeprefix(thing.noun).strip() or 'somewhere in it'}."


def _count(number: int, noun: str) -> str:
    """«no foxes», «one fox», «two foxes», «12 foxes»."""
    plural = CONCEPTS[noun].plural if noun in CONCEPTS else f"{noun}s"
    return f"{_NUMBERS[number] if number < len(_NUMBERS) else number} {noun if number == 1 else plural}"


def _names(eyes: Eyes, picture: Picture, hoped: Sequence[str]) -> list[str]:
    known = eyes.detector.things
    if known:
        return sorted(name for name in known if name.split()[0] not in COLOURS or is_whole_name(name))
    return list(dict.fromkeys((*hoped, *_named_in(eyes.captioner.caption([picture])))))[:_MENTIONS]


def _named_in(texts: Sequence[str]) -> list[str]:
    """The nouns of the things that texts name, each in the singular and without its colour."""
    names = [name for text in texts for name in named_things(text) if name]
    return list(dict.fromkeys(_uncoloured(name if name in CONCEPTS else singular(name)) for name in names))


def _uncoloured(name: str) -> str:
    """«car» for «red car»: its colour is found by looking."""
    first, _, rest = name.partition(" ")
    return rest if first in COLOURS and rest and not is_whole_name(name) else name


def _colours(eyes: Eyes, picture: Picture, regions: Sequence[Region]) -> list[str]:
    """The colour of each region: what nearly all of the thing is, measured; else what the detector calls it, by the
    best «red car» in the same place; "" for none."""
    queries = list(dict.fromkeys(f"{colour} {region.label}" for region in regions for colour in COLOURS))
    [found] = eyes.detector.detect([picture], [queries]) if queries else [[]]
    masks = eyes.segmenter.segment(picture, [region.box for region in regions])
    colours: list[str] = []
    for region, mask in zip(regions, masks, strict=True):
        wearing = [r for r in found if r.label.endswith(f" {region.label}") and box_iou(r.box, region.box) >= _SAME]
        best = max(wearing, key=lambda r: r.score, default=None)
        said = best.label.split()[0] if best and best.score >= region.score / 3 else ""
        measured = (name for name, rgb in COLOURS.items() if worn_share(picture, mask, rgb) >= _ALL_OVER)
        colours.append(next(measured, said))
    return colours


def _told_apart(seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """Things of one noun of which two would be called the same, named by their order from left to right instead."""
    apart = list(seen)
    for noun in dict.fromkeys(each.noun for each in seen):
        same = [index for index, each in enumerate(seen) if each.noun == noun]
        if len({seen[index].where for index in same}) < len(same):
            wheres = ["left", *["middle"] * (len(same) - 2), "right"]
            for index, where in zip(same, wheres, strict=True):
                apart[index] = Seen(seen[index].name, seen[index].colour, where)
    return tuple(apart)
