"""How often somebody may ask: a bucket of tokens each, filled at a steady rate."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

_MOST = 10_000
"""So many buckets are remembered; one that is forgotten was not used for the longest time, and is full again."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and `per_second` in the long run."""

    per_second: float
    burst: int


@dataclass(slots=True)
class Buckets:
    """One bucket for each name; for one thread."""

    rate: Rate
    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict[str, tuple[float, float]])

    def wait(self, name: str) -> int:
        """Take one from a bucket: 0 when there was one, else in how many whole seconds there will be."""
        now = self.clock()
        left, since = self._left.pop(name, (float(self.rate.burst), now))
        left = min(float(self.rate.burst), left + (now - since) * self.rate.per_second)
        taken = left >= 1
        self._left[name] = (left - taken, now)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return 0 if taken else max(1, math.ceil((1 - left) / self.rate.per_second))
