"""The sixth art: plain shapes drawn by code, so that the world works before any art was fetched."""

from __future__ import annotations

import math

from limner.types import BadInput


def _polygon(corners: int, *, inner: float = 1.0, turn: float = -90.0) -> str:
    """Points of a regular polygon, or of a star when `inner` (the inner radius as a share) is below 1."""
    count = corners if inner == 1.0 else 2 * corners
    points: list[str] = []
    for i in range(count):
        radius = 15.0 if i % 2 == 0 or inner == 1.0 else 15.0 * inner
        angle = math.radians(turn + 360.0 * i / count)
        points.append(f"{16 + radius * math.cos(angle):.2f},{16 + radius * math.sin(angle):.2f}")
    return f'<polygon points="{" ".join(points)}"/>'


_BODIES = {
    "circle": '<circle cx="16" cy="16" r="15"/>',
    "square": '<rect x="2" y="2" width="28" height="28"/>',
    "triangle": _polygon(3),
    "pentagon": _polygon(5),
    "hexagon": _polygon(6),
    "diamond": '<polygon points="16,1 27,16 16,31 5,16"/>',
    "star": _polygon(5, inner=0.4),
    "cross": '<path d="M11 1h10v10h10v10H21v10H11V21H1V11h10z"/>',
    "ring": '<path fill-rule="evenodd" d="M16 1a15 15 0 100 30 15 15 0 000-30zm0 8a7 7 0 110 14 7 7 0 010-14z"/>',
    "heart": '<path d="M16 30C2 20 1 13 1 10a7 7 0 0115-3 7 7 0 0115 3c0 3-1 10-15 20z"/>',
    "crescent": '<path d="M22 2a15 15 0 100 28 12 12 0 010-28z"/>',
    "arrow": '<path d="M1 11h16V3l14 13-14 13v-8H1z"/>',
}
SHAPES = tuple(_BODIES)


def shape_svg(name: str) -> str:
    """SVG text of one shape in mid grey with a darker rim: a tint gives it its colour.

    Raises BadInput for a name that is not in SHAPES.
    """
    if name not in _BODIES:
        raise BadInput(f"there is no shape «{name}»", f"there are {', '.join(SHAPES)}")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 34 34">'
        f'<g fill="#909090" stroke="#505050" stroke-width="1.2">{_BODIES[name]}</g></svg>'
    )
