"""The roles a model can play, each with one main method, and the bundles of models that verbs receive.

`draw` and its sisters receive these and never load one; `backends` provides them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from limner.types import Box, Picture, Region

Mask = npt.NDArray[np.bool_]
"""Which pixels are meant: shape (height, width) of the picture."""

Features = npt.NDArray[np.float32]
"""Unit-length rows, shape (n, dim): a dot product of two is their cosine."""


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """One picture to draw. `prompt` is in A1111 weight syntax; width and height are in pixels."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True)
class Learned:
    """A learned concept that a prompt names: its word, what it is like (perhaps ""), the guidance that it was learned
    with, what there is to doubt about using it with this model, in words ("" for nothing), and a sha256 of what it
    has learned."""

    word: str
    like: str
    guidance: float
    doubt: str = ""
    digest: str = ""


class LanguageModel(Protocol):
    """Text in, text out. The reply is data: `writer` parses it against a schema and never trusts it."""

    name: str

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Answer `user` under the instructions `system` with JSON that should fit `schema`.

        Raises LanguageModelFailed when no reply came within the model's time and retry bounds.
        """
        ...


class TextToImage(Protocol):
    """Draws pictures from prompts."""

    name: str
    model_hash: str
    sampler: str
    default_size: tuple[int, int]
    default_steps: int
    default_guidance: float
    max_batch: int

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Draw one picture per request, in order; each depends on its own request only, not on its batch.

        `on_step(done, total)` is called as denoising steps of the whole call finish.
        """
        ...

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of `prompt` the model never learned; empty for models with an open vocabulary."""
        ...

    def unwanted(self, prompt: str) -> str:
        """The negative prompt when nobody gives one: what rules out the style that `prompt` names, and mostly ""."""
        ...

    def concepts(self, prompt: str) -> list[Learned]:
        """The learned concepts that `prompt` names, in order. Raises BadInput for one that is not there or unfit."""
        ...


class ImageTextScorer(Protocol):
    """Says how well a text fits a picture, as a cosine (GPTDrawer Eq. 3, 3.5-3.6)."""

    name: str

    def encode_pictures(self, pictures: Sequence[Picture]) -> Features:
        """Unit features of the pictures, shape (n, dim), encoded in one batch."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Features:
        """Unit features of the texts, shape (n, dim); encoded once and remembered."""
        ...

    def thresholds(self, texts: Sequence[str]) -> list[float]:
        """For each text the least cosine that counts as «present», calibrated on data (or published)."""
        ...

    def precisions(self, texts: Sequence[str]) -> list[float | None]:
        """For each text the share of passes at its threshold that were right on calibration data; None if unknown."""
        ...

    def too_long(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts of which only the beginning is read."""
        ...


@dataclass(frozen=True, slots=True)
class EditRequest:
    """One picture to change by instruction; its sides must be multiples of the model's latent scale (usually 8).

    `text_guidance` and `image_guidance` are s_T and s_I of DialogPaint Eq. 3.
    """

    picture: Picture
    instruction: str
    seed: int
    steps: int
    text_guidance: float
    image_guidance: float
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True)
class FillRequest:
    """A region to fill: where `mask` is True the picture is drawn anew from `prompt`.

    `strength` (0 to 1] is the share of the noise schedule that is run: below 1 the old content shines through.
    """

    picture: Picture
    mask: Mask
    prompt: str
    seed: int
    steps: int
    guidance: float
    strength: float = 1.0
    negative_prompt: str = ""


class ImageEditor(Protocol):
    """Changes a picture as an instruction says (DialogPaint 3.2)."""

    name: str
    model_hash: str
    default_size: tuple[int, int]
    default_steps: int
    default_text_guidance: float
    default_image_guidance: float

    def edit(
        self, requests: Sequence[EditRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Edit each picture on its own, in order; each result has its picture's size and depends on its request only.

        `on_step(done, total)` is called as denoising steps of the whole call finish.
        """
        ...


class Inpainter(Protocol):
    """Fills a masked region with what a prompt describes (ChatGenImage 3.4, blended latent diffusion)."""

    name: str
    model_hash: str
    default_size: tuple[int, int]
    default_steps: int
    default_guidance: float

    def fill(
        self, requests: Sequence[FillRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        """Fill each request's mask; each result has its picture's size and equals it exactly outside the mask."""
        ...

    def concepts(self, prompt: str) -> list[Learned]:
        """The learned concepts that `prompt` names, in order. Raises BadInput for one that is not there or unfit."""
        ...


class Detector(Protocol):
    """Finds what words name.

    `threshold` is the least score of a region. `things` are the names («car», «red car») for which what it finds says
    whether they are there at all, and `present` is the score from which on they are; `things` is empty for a model
    whose absence of a find proves nothing.
    """

    name: str
    threshold: float
    present: float
    things: frozenset[str]

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        """For each picture the regions that its queries («red car», «cat») name, best score first.

        A Region's label is the query, its score lies in 0 to 1 and is at least `threshold` (default: the model's
        own). Overlapping regions of one query are merged to the best of them.
        """
        ...


class Segmenter(Protocol):
    """Cuts out what stands in a box."""

    name: str

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        """One mask a box, in order, of the picture's size."""
        ...


class Captioner(Protocol):
    """Says what a picture shows."""

    name: str

    def caption(self, pictures: Sequence[Picture]) -> list[str]:
        """One sentence a picture, in lower case and without a full stop."""
        ...


@dataclass(frozen=True, slots=True)
class Eyes:
    """The models that look at a picture."""

    detector: Detector
    segmenter: Segmenter
    captioner: Captioner


@dataclass(frozen=True, slots=True)
class Hands:
    """The models that change a picture."""

    editor: ImageEditor
    inpainter: Inpainter


@dataclass(frozen=True, slots=True)
class Mender:
    """The models that put a thing into a picture: one cuts it out, one fills what it leaves."""

    segmenter: Segmenter
    inpainter: Inpainter


@dataclass(frozen=True, slots=True)
class Models:
    """The models that draw and score, one field a role. The detector, where there is one, checks relations; `mender`
    loads what mends pictures when one is to be mended."""

    text_to_image: TextToImage
    scorer: ImageTextScorer
    language: LanguageModel
    detector: Detector | None = None
    mender: Callable[[], Mender] | None = None


@dataclass(frozen=True, slots=True)
class EditModels:
    """All that editing needs: who looks, who scores and who changes."""

    eyes: Eyes
    scorer: ImageTextScorer
    hands: Hands
