"""The roles a model can play, each with one main method, and `Models`, which bundles them.

`draw` and its sisters receive these and never load one; `backends` provides them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from limner.types import Picture

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


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one profile, one field a role."""

    text_to_image: TextToImage
    scorer: ImageTextScorer
    language: LanguageModel
