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
    kinds: tuple[tuple[float, frozenset[str]], ...] = ()
    texts: Mapping[str, float] = field(default_factory=dict[str, float])

    def of(self, text: str) -> float:
        """The threshold of one text; case and outer blanks don't matter."""
        plain = text.strip().lower()
        words = frozenset(_WORD.findall(plain))
        kind = next((threshold for threshold, members in self.kinds if words & members), self.default)
        return self.texts.get(plain, kind)


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
    kinds = tuple((kind.threshold, kind.words) for kind in read.kinds.values())
    return Thresholds(read.default, kinds, read.texts)
