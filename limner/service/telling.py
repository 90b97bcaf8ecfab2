"""What happens in a job as JSON values: the one place where turns, pictures and numbers of other kinds become such."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from limner.refine import Drawn
from limner.turn import Turn
from limner.types import Event

_MESSAGE_CHARS = 2000


def told(event: Event) -> Event:
    """The event with nothing but JSON in its data; what has no JSON form is left out."""
    data = {name: value for name, value in _rows(event.data).items() if value is not None or event.data[name] is None}
    return replace(event, message=event.message[:_MESSAGE_CHARS], data=data)


def drawn_json(drawn: Drawn) -> dict[str, Any]:
    """A picture that was drawn, without the picture: seed, scores, passed, prompt."""
    return {
        "seed": drawn.recipe.seed,
        "scores": dict(drawn.card.scores),
        "passed": drawn.card.passed,
        "prompt": drawn.recipe.prompt,
        "put_in": [part.thing for part in drawn.recipe.parts],
    }


def _rows(data: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in data.items()}


def _plain(value: object) -> Any:
    """JSON for a value; None for what has none: numbers without end, pictures, anything unknown."""
    if isinstance(value, np.generic):
        value = cast(object, value.item())
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return _rows(cast(Mapping[str, Any], value))
    if isinstance(value, list | tuple | set | frozenset):
        several = cast(list[object], list(cast(Any, value)))
        return [_plain(each) for each in several]
    if isinstance(value, Turn):
        return value.id
    return drawn_json(value) if isinstance(value, Drawn) else None
