"""Where a thing goes and how large it becomes: «to the left», «up a bit», «right of the castle», «twice as big».

What people say becomes one of few values, and a value a box. Boxes are (x0, y0, x1, y1) in pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from limner.types import Box

SIZES: Mapping[str, float] = {
    "slightly bigger": 1.2,
    "bigger": 1.4,
    "much bigger": 2.0,
    "slightly smaller": 1 / 1.2,
    "smaller": 1 / 1.4,
    "much smaller": 0.5,
}
"""By how much a thing's sides grow."""

SIDES: Mapping[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
    "middle": (0, 0),
}
"""Rightwards and downwards: -1, 0 or 1."""

_STEP = 0.15
"""How far «slightly» moves something, as a share of the picture's side."""

_EDGE = 0.04
"""What is left between a thing that was moved to a side and the picture's edge."""

_LEAST = 4
"""Pixels of a side below which nothing shrinks."""

_A_BIT = r"(?:an? (?:little|bit|tad)|slightly|somewhat)"
_SCENE = r"(?:picture|image|photo|scene|frame)"
_MIDDLE = r"middle|cent(?:er|re)"
_SIDE = re.compile(
    rf"(?:(?P<bit>{_A_BIT}) )?(?:(?:further|more|over|all the way|back) )*"
    r"(?:(?:to|towards?|into|in|on|at) )?(?:the )?(?:very |far )?"
    rf"(?:(?P<y>upper|top|lower|bottom)(?:[ -](?P<x>left|right))?|(?P<across>left|right)(?:wards?)?"
    rf"|(?P<along>up|down)(?:wards?)?|(?P<higher>higher|lower)(?: up| down)?|(?P<middle>{_MIDDLE}))"
    rf"(?:[ -](?:hand )?(?:side|corner|edge|half|part))?(?: of (?:the|this|my) {_SCENE})?(?: (?P<late>{_A_BIT}))?",
    re.IGNORECASE,
)
_SIZE = re.compile(
    rf"(?:(?P<bit>{_A_BIT})|(?P<much>much|a lot|lots|way|far|considerably)|even) ?(?P<q>bigger|larger|smaller)"
    r"|(?P<plain>bigger|larger|smaller)|(?P<twice>twice|two times|2x|double) (?:as (?:big|large)|the size|its size)"
    r"|(?P<half>half) (?:as (?:big|large)|the size|its size)",
    re.IGNORECASE,
)
SIDE_WORDS, SIZE_WORDS = (re.sub(r"\?P<\w+>", "?:", each.pattern) for each in (_SIDE, _SIZE))
"""The patterns of all that `side_said` and `size_said` understand, without groups of a name."""


def side_said(words: str) -> str:
    """«to the left» as "left", «up a bit» as "slightly up", «the top left corner» as "top left"; "" for no side."""
    match = _SIDE.fullmatch(words.strip())
    if match is None:
        return ""
    said = {name: (value or "").lower() for name, value in match.groupdict().items()}
    slightly = "slightly " if said["bit"] or said["late"] else ""
    if said["middle"]:
        return f"{slightly}middle"
    if said["y"] and said["x"]:
        return f"{slightly}{'top' if said['y'] in ('upper', 'top') else 'bottom'} {said['x']}"
    upright = {"upper": "up", "top": "up", "higher": "up", "lower": "down", "bottom": "down"}
    return slightly + (said["across"] or said["along"] or upright[said["y"] or said["higher"]])


def size_said(words: str) -> str:
    """«a bit larger» as "slightly bigger", «half as big» as "much smaller"; "" for no size."""
    match = _SIZE.fullmatch(words.strip())
    if match is None:
        return ""
    if match["twice"] or match["half"]:
        return "much bigger" if match["twice"] else "much smaller"
    grown = "smaller" if (match["q"] or match["plain"]).lower() == "smaller" else "bigger"
    return f"{'slightly ' if match['bit'] else 'much ' if match['much'] else ''}{grown}"


def spoken(value: str) -> str:
    """A side or a place beside something as instructions say it: «to the left», «up», «to the left of the castle»."""
    slightly, side = ("slightly ", value.removeprefix("slightly ")) if value.startswith("slightly ") else ("", value)
    if side in SIDES:
        return slightly + (side if side in ("up", "down") else f"to the {side}")
    return f"to the {value}" if value.startswith(("left of", "right of")) else value


def moved(box: Box, side: str, size: tuple[int, int]) -> Box:
    """The box at a side of a picture of `size` (width, height), or a step towards it, by whole pixels."""
    slightly, side = side.startswith("slightly "), side.removeprefix("slightly ")
    ways, starts = SIDES[side], list[float]()
    for way, low, high, length in zip(ways, box[:2], box[2:], size, strict=True):
        extent, edge = high - low, _EDGE * length
        if side == "middle":
            goal = (length - extent) / 2
            goal = low + (goal - low) / 2 if slightly else goal
        elif slightly or not way:
            goal = low + way * _STEP * length
        else:
            goal = min(edge, low) if way < 0 else max(length - extent - edge, low)
        starts.append(low + round(min(max(goal, 0.0), length - extent) - low))
    x, y = starts
    return (x, y, x + box[2] - box[0], y + box[3] - box[1])


def resized(box: Box, value: str, size: tuple[int, int]) -> Box:
    """The box grown or shrunk by SIZES, standing where it stood: its lower edge stays, and it stays in the picture."""
    width, height = box[2] - box[0], box[3] - box[1]
    factor = min(SIZES[value], size[0] / width, size[1] / height)
    wide, tall = (max(_LEAST, round(side * factor)) for side in (width, height))
    left = min(max(round((box[0] + box[2] - wide) / 2), 0), size[0] - wide)
    bottom = min(max(round(box[3]), tall), size[1])
    return (float(left), float(bottom - tall), float(left + wide), float(bottom))
