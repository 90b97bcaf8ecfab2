"""A learned concept: what is said for it in prompts, its pseudo-words, its adapters, and how it was learned.

A concept has two sides (DreamArtist 4.1, 4.3). What is positive stands in the prompt and its half of the batch, what
is negative in the negative prompt and its half. Changes of the side «both» are the whole model's: a plain LoRA has
no sides. Values are numpy arrays, so that reading a concept needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limner.types import BadInput

Array = npt.NDArray[np.float32]
Side = Literal["positive", "negative", "both"]
SIDES: tuple[Side, ...] = ("positive", "negative", "both")
Kind = Literal["thing", "style"]

MAX_STRENGTH = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)|.*-neg")
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
SAID = rf"<([A-Za-z0-9][A-Za-z0-9_-]*)(?::({_NUMBER}))?(?::({_NUMBER}))?>"
"""The pattern of a concept's word; its groups are the name and the strengths, None where unsaid."""

_SAID = re.compile(SAID)


@dataclass(frozen=True, slots=True)
class Factors:
    """The change of one matrix, scale * up @ down (LoRA, Eq. 3). A convolution's is `down` (rank, in, kh, kw).

    `down` is (rank, in), `up` (out, rank), both float32.
    """

    down: Array
    up: Array
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class About:
    """Where a concept comes from.

    `like` are the words that it began from («robot»), which also stand for it where a model must read its name;
    `guidance` is gamma of Eq. 3, in training and, unless said otherwise, when it is drawn. `base` and `base_hash` name
    the model that it was learned on, `family` its class. `settings` is the recipe as JSON values; `curve` has
    (step, loss) rows; `reference` is the sha256 of the picture it was learned from.
    """

    kind: Kind = "thing"
    like: str = ""
    method: str = "dreamartist"
    base: str = ""
    base_hash: str = ""
    family: Literal["sd", "sdxl"] = "sd"
    guidance: float = 3.0
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    curve: Sequence[tuple[int, float]] = ()
    reference: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """A concept in memory.

    `words[side][encoder]` are the pseudo-word's vectors (n, dim) for «text_encoder» (and «text_encoder_2» of SDXL).
    `adapters[side][module]` is the change of a module, called by part and path: «unet.down_blocks.0...to_k».
    `changes[parameter]` is added to a whole parameter, called likewise: what DreamBooth leaves behind.
    `preview` is a PNG of at most 256 pixels a side, or empty.
    """

    name: str
    words: Mapping[Side, Mapping[str, Array]]
    adapters: Mapping[Side, Mapping[str, Factors]] = field(default_factory=dict[Side, Mapping[str, Factors]])
    changes: Mapping[str, Array] = field(default_factory=dict[str, Array])
    about: About = About()
    preview: bytes = b""

    @property
    def word(self) -> str:
        """What is said for it in a prompt."""
        return f"<{self.name}>"


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One concept as a prompt uses it: how strongly on each side, 1 as learned and 0 not at all."""

    name: str
    positive: float = 1.0
    negative: float = 1.0


def check_name(text: str) -> str:
    """A concept's name without the angle brackets that it may be given in; it is also a safe file name.

    Raises BadInput for anything but 1 to 48 letters, digits, hyphens and underscores, for a name that ends in
    «-neg», which means the negative side elsewhere, and for names that some systems keep for devices.
    """
    name = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise BadInput(f"{text!r} cannot be a concept's name", "letters, digits, - and _, not ending in -neg: gizmo")
    return name


def uses(prompt: str) -> tuple[Use, ...]:
    """The concepts that a prompt names, each once, in order: `<gizmo>`, `<gizmo:0.8>`, `<gizmo:0.8:0.5>`.

    One number is the strength of both sides, two are those of the positive and the negative one; where a concept is
    named twice the first counts. Raises BadInput for a strength over MAX_STRENGTH.
    """
    found: dict[str, Use] = {}
    for name, first, second in _SAID.findall(prompt):
        positive = float(first or 1.0)
        use = Use(name, positive, float(second or positive))
        if max(use.positive, use.negative) > MAX_STRENGTH:
            raise BadInput(f"<{name}> has a strength over {MAX_STRENGTH:g}", f"0 to {MAX_STRENGTH:g}, 1 as learned")
        found.setdefault(name, use)
    return tuple(found.values())


def bare(prompt: str) -> str:
    """The prompt with each concept's word without its strengths: what the text encoder is to read."""
    return _SAID.sub(lambda match: f"<{match[1]}>", prompt)


def folded(text: str) -> str:
    """The text as it is compared with others: in lower case, but for names, which have none, and without strengths."""
    parts = re.split(r"(<[\w-]+>)", bare(text))
    return "".join(part if place % 2 else part.casefold() for place, part in enumerate(parts))


def in_words(prompt: str, words: Mapping[str, str]) -> str:
    """The prompt with each concept replaced by `words` for it (its `like`), or left out where there are none.

    This is what models read that never learned the concept: the scorer, the detector, the tagger.
    """
    spelled = _SAID.sub(lambda match: words.get(match[1], ""), prompt)
    return re.sub(r"\s+([,.])", r"\1", " ".join(spelled.split()))
