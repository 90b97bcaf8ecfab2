"""A process to be killed: it adds turn after turn to a session, saying of each when it is safe.

`python -m tests.killable DATABASE BLOBS SESSION` prints «open», then the id of each turn once `save` has returned.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import sys
from dataclasses import replace

from PIL import Image

from limner.blobs import Blobs
from limner.store import SessionState, Store
from limner.turn import Turn
from limner.types import BadInput


def random_png() -> bytes:
    """A small picture that no process made before, as the bytes of a file."""
    side = random.randint(1, 48)
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(file, "PNG")
    return file.getvalue()


def opened(store: Store, name: str) -> SessionState:
    try:
        return store.load(name)
    except BadInput:
        return store.create(name, {})


def add(store: Store, state: SessionState, number: int) -> SessionState:
    """Save two turns, one below the other, and name the second now and then."""
    first = Turn(state.tip, "draw", {"said": f"picture {number}", "picture": store.blobs.put(random_png())})
    second = Turn(first.id, "edit", {"from": first.picture, "picture": store.blobs.put(random_png())})
    branches = {**state.branches, f"b{number}": second.id} if number % 3 == 0 else state.branches
    return store.save(replace(state, tip=second.id, branches=branches), [first, second])


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(database: str, blobs: str, name: str) -> None:
    say("open")
    store = Store(database, Blobs(blobs))
    state = opened(store, name)
    for number in itertools.count():
        state = add(store, state, number)
        say(str(state.tip))


if __name__ == "__main__":
    main(*sys.argv[1:])
