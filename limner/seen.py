"""What is seen in a picture, in words short enough to be read by people and by small language models.

A clarifying question offers things by name, colour and place (DialogPaint 3.1); both the dialogues that the embedded
model learns from and the conversation itself word them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.types import Box

_EDGE = 0.42
"""A thing whose centre lies within this share of the picture's width stands on the left; likewise on other sides."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing in a picture: its noun, its colour where that was said or found, and where it stands («left»)."""

    name: str
    colour: str = ""
    where: str = ""

    @property
    def noun(self) -> str:
        """Colour and name: «red car»."""
        return f"{self.colour} {self.name}".strip()

    @property
    def text(self) -> str:
        """«red car on the left»; «dog in the middle»."""
        place = {"middle": "in the middle", "top": "at the top", "bottom": "at the bottom"}
        return f"{self.noun} {place.get(self.where, f'on the {self.where}')}" if self.where else self.noun


def whereabouts(x: float, y: float) -> str:
    """Where a thing whose centre is (x, y), in shares of the picture from its top left, stands."""
    if min(x, 1 - x) < _EDGE:
        return "left" if x < 0.5 else "right"
    if min(y, 1 - y) < _EDGE:
        return "top" if y < 0.5 else "bottom"
    return "middle"


def centre(box: Box, width: int, height: int) -> tuple[float, float]:
    """The centre of a box in pixels as shares of the picture's sides."""
    return (box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height


def summary(seen: Sequence[Seen]) -> str:
    """«I see a red car on the left and a dog on the right.»"""
    if not seen:
        return "I see nothing that I know."
    texts = [f"{'an' if each.text[0] in 'aeiou' else 'a'} {each.text}" for each in seen]
    return f"I see {listed(texts, 'and')}."


def listed(texts: Sequence[str], word: str) -> str:
    """«a, b or c»: texts joined with commas, and `word` before the last."""
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}" if len(texts) > 1 else "".join(texts)
