"""What the models that look remember."""

from __future__ import annotations

import numpy as np

from limner.backends.looking import LastSeen
from limner.types import Picture


def test_a_picture_is_looked_at_again_only_when_it_was_not_asked_for_for_long() -> None:
    seen, looked = LastSeen[str](), list[int]()

    def ask(shade: int) -> str:
        def look() -> str:
            looked.append(shade)
            return f"shade {shade}"

        return seen.of(Picture(np.full((4, 4, 3), shade, np.uint8)), look)

    assert [ask(shade) for shade in (1, 2, 3, 4, 1)] == ["shade 1", "shade 2", "shade 3", "shade 4", "shade 1"]
    assert looked == [1, 2, 3, 4]
    assert [ask(shade) for shade in (5, 1, 3, 4)] == ["shade 5", "shade 1", "shade 3", "shade 4"]
    assert looked == [1, 2, 3, 4, 5]
    assert ask(2) == "shade 2"
    assert looked == [1, 2, 3, 4, 5, 2]
