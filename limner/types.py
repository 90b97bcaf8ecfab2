"""The frozen values everybody speaks, and the few errors a user can see.

Pictures are RGB, uint8, height x width x 3. Boxes are (x0, y0, x1, y1) in pixels, origin top left,
x1 and y1 exclusive. Scores are cosines in [-1, 1] unless a docstring says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # numpy takes longer to import than all else that `limner --help` needs
    import numpy as np
    import numpy.typing as npt

Box = tuple[float, float, float, float]


class LimnerError(Exception):
    """A failure that is told to the user in one line, with a hint what to do next.

    `exit_code` is what the command line ends with: 2 for bad input, 1 for a failure.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class BadInput(LimnerError):
    """The request itself cannot be carried out: an empty prompt, a size of zero, an unknown name."""

    exit_code = 2


class ModelUnavailable(LimnerError):
    """A model could not be loaded: not in the cache and no network, wrong class, pickled weights."""


class LanguageModelFailed(LimnerError):
    """A language model did not give a usable reply within its bounds; callers fall back to the rules."""


class UnknownTask(LanguageModelFailed):
    """A language model was asked for what it never does; callers go by the rules without a word."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An RGB picture. `pixels` is uint8, shape (height, width, 3), and is made read-only."""

    pixels: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.pixels.dtype != "uint8" or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"a Picture is uint8 (h, w, 3); got {self.pixels.dtype} {self.pixels.shape}")
        self.pixels.flags.writeable = False

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def sha256(self) -> str:
        """Hash of size and pixels (not of any file): equal exactly when the pictures are equal."""
        head = f"{self.width}x{self.height}:".encode()
        return hashlib.sha256(head + self.pixels.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Region:
    """A labelled place in a picture. `mask` is a boolean array (height, width) of the whole picture."""

    label: str
    box: Box
    score: float = 1.0
    mask: npt.NDArray[np.bool_] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedPicture:
    """A picture with a caption and everything known to be in it."""

    picture: Picture
    caption: str
    regions: Sequence[Region]


@dataclass(frozen=True, slots=True)
class Keyword:
    """One thing the picture must show.

    `text` is what is asked of the model now, `original` what the user said; refinement may change the
    first, never the second. `weight` is the prompt weight, 1.0 unless raised.
    """

    text: str
    original: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How well one picture shows each of the user's ORIGINAL keywords.

    `scores` maps keyword to cosine, or for a relation that a detector checked to the displacement of its things
    (`limner.relations`); `threshold` maps keyword to the least score that counts as present; `overall` is the cosine
    of the whole prompt.
    """

    scores: Mapping[str, float]
    threshold: Mapping[str, float]
    overall: float = 0.0

    @property
    def missing(self) -> tuple[str, ...]:
        """The keywords below their threshold, in the user's order (>= passes: methods 5.2)."""
        return tuple(k for k, s in self.scores.items() if s < self.threshold[k])

    @property
    def passed(self) -> bool:
        """True when every keyword is present."""
        return not self.missing

    @property
    def margin(self) -> float:
        """The least (score - threshold) over the keywords: the paper's max-min rule, per-keyword T."""
        return min((s - self.threshold[k] for k, s in self.scores.items()), default=0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """A thing that was drawn alone and put into a picture. Boxes are (x0, y0, x1, y1) in pixels.

    `prompt` and `seed` draw it, all else as in the picture's recipe; `source` is where it stands there and `goal` the
    box that it fills in the picture. Where it replaces something, `leaves` is that thing's box, and its place is
    filled first, as `ground` says.
    """

    thing: str
    prompt: str
    seed: int
    source: Box
    goal: tuple[int, int, int, int]
    leaves: Box | None = None
    ground: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes a picture: the same recipe on the same machine and versions gives the same bytes.

    `prompt` is in A1111 syntax with weights; `seed` belongs to this one picture whatever its batch. `concepts` says of
    each learned word of both prompts («<gizmo>») which it was, by a sha256 of what it had learned. `parts` were put in
    one after the other.
    """

    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    model: str
    model_hash: str = ""
    sampler: str = ""
    negative_prompt: str = ""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    concepts: Mapping[str, str] = field(default_factory=dict[str, str])
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in a long piece of work.

    `kind` is one word ("draw", "score", "round", "warning"); `done` of `total` units are finished
    (0 of 0 when the event is only a message); `data` carries the values a front end may show.
    """

    kind: str
    message: str = ""
    done: int = 0
    total: int = 0
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


EditKind = Literal["replace", "add", "remove", "recolour", "move", "resize", "restyle", "background", "time", "weather"]
"""What an instruction asks for. The first six change one object, the others the whole picture."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit instruction means.

    `target` names the thing that is changed («red car»; "" for the whole picture and for what is added), `value`
    what it becomes: the new object («dog»), colour, style, background, time of day or weather ("" for a removal), the
    side where it goes («left», «left of the castle») or its new size («bigger»; see `limner.moving`).
    `place` says where something is added, in words («left of the castle»), "" for anywhere.
    """

    kind: EditKind
    instruction: str
    target: str = ""
    value: str = ""
    place: str = ""

    @property
    def local(self) -> bool:
        """True when the edit concerns one object, so that everything outside its region must stay as it is."""
        return self.kind in ("replace", "add", "remove", "recolour", "move", "resize")


Precision = Literal["float32", "bfloat16", "float16"]
