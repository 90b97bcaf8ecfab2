"""The least score at which a text counts as present in a picture, per text where that was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from limner.backends.hub import read_json
from limner.types import ModelUnavailable

_WORD = re.compile(r"[^\W\d_]+")


class _Measured(BaseModel):
    """What a threshold is worth on the data it was calibrated on: shares from 0 to 1, for people to read."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    precision: float | None = None
    recall: float | None = None


class _Kind(_Measured):
    """Texts that hold any of `words` (lower case), and what they need to score."""

    threshold: float
    words: frozenset[str]


class _Calibration(_Measured):
    """calibration.json: a threshold for the texts measured one by one, for kinds of texts, and for the rest, whose
    precision and recall stand at the top."""

    default: float
    kinds: dict[str, _Kind] = {}
    texts: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosines, looked up by whole text first, then by the first kind one of whose words it holds."""

    default: float
    kinds: tuple[tuple[float, frozenset[str], float | None], ...] = ()
    texts: Mapping[str, float] = field(default_factory=dict[str, float])
    default_precision: float | None = None

    def of(self, text: str) -> float:
        """The threshold of one text; case and outer blanks don't matter."""
        return self.texts.get(text.strip().lower(), self._kind(text)[0])

    def precision(self, text: str) -> float | None:
        """The share of passes of such texts that were right where it was measured, 0 to 1; None where it was not."""
        return None if text.strip().lower() in self.texts else self._kind(text)[1]

    def _kind(self, text: str) -> tuple[float, float | None]:
        words = frozenset(_WORD.findall(text.lower()))
        known = ((threshold, precision) for threshold, members, precision in self.kinds if words & members)
        return next(known, (self.default, self.default_precision))


def read_thresholds(folder: Path, default: float) -> Thresholds:
    """Read `calibration.json` beside a model's weights, or take `default` for every text when there is none.

    Raises ModelUnavailable when the file is not of the form
    {"default": t, "kinds": {name: {"threshold": t, "words": [...]}}, "texts": {text: t}}, where «precision» and
    «recall» may stand beside each threshold.
    """
    path = folder / "calibration.json"
    if not path.exists():
        return Thresholds(default)
    try:
        read = _Calibration.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelUnavailable(f"{path}: {first['msg']} at {'.'.join(map(str, first['loc']))}") from error
    kinds = tuple((kind.threshold, kind.words, kind.precision) for kind in read.kinds.values())
    return Thresholds(read.default, kinds, read.texts, read.precision)
