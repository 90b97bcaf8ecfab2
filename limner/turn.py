"""One turn of a conversation: an immutable node of a session's tree, named by the hash of its content and its parent.

A turn's id says all that made it, its whole past included: two sessions that did the same have the same ids, and a
record that was tampered with no longer has its own. When something was done and how long it took are kept beside the
content and are not part of the id, so that a replay that makes the same pictures makes the same turns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

TurnKind = Literal["draw", "open", "rewrite", "edit", "ask", "answer", "learn", "note"]
"""draw: a new picture; open: a picture that was brought along; rewrite: the prompt changed and drawn with the same
seeds (DiffChat); edit: the picture itself changed (DialogPaint); ask: a question to the user; answer: what the user
replied; learn: a concept (DreamArtist); note: what was said about the picture."""


def canonical(value: object) -> bytes:
    """The one JSON form of a value: sorted keys, no blanks, UTF-8. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class Turn:
    """A node of the tree. `content` holds JSON values only.

    `content["said"]` are the user's words; `content["picture"]`, where there is one, is the sha256 of a PNG in the
    store, and so is `content["picture_learned"]` of a turn that learned; no other key names one. `parent` is a turn's
    id, None for a first turn. `seconds` is how long it took, `created` when it was done (Unix time).
    """

    parent: str | None
    kind: TurnKind
    content: Mapping[str, Any]
    seconds: float = 0.0
    created: float = 0.0

    @property
    def id(self) -> str:
        """sha256, in hex, of kind, parent and content."""
        return hashlib.sha256(
            canonical({"kind": self.kind, "parent": self.parent, "content": self.content})
        ).hexdigest()

    @property
    def picture(self) -> str | None:
        """The sha256 of this turn's picture in the store; None for a turn that made none."""
        found = self.content.get("picture")
        return found if isinstance(found, str) else None

    @property
    def kept(self) -> str | None:
        """The sha256 of what the store keeps for this turn: its picture, or the one that it learned from."""
        found = self.content.get("picture_learned") if self.kind == "learn" else self.picture
        return found if isinstance(found, str) else None


def path_to(tip: str | None, turns: Mapping[str, Turn]) -> list[Turn]:
    """The turns from the first to `tip`, by id. Raises KeyError for one that is not there."""
    path: list[Turn] = []
    while tip is not None:
        path.append(turns[tip])
        tip = path[-1].parent
    return path[::-1]


def by_id(turns: Sequence[Turn]) -> dict[str, Turn]:
    """Turns under their ids."""
    return {turn.id: turn for turn in turns}
