"""Pictures that are nearly one that the job made before, turned down while it goes on: so its count is of others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace

from limner.dataset import Kept, perceptual_hash
from limner.image import decode_picture
from limner.shards import Made, Outcome, Reject, Row, Shard
from limner.workers import Executor

DUPLICATE = "duplicate"
"""The reason of what is turned down here."""


def without_duplicates(execute: Executor, committed: Callable[[], Iterable[Shard]]) -> Executor:
    """The same work, of which nearly equal pictures are turned down (reason «duplicate», stage «dedupe»).

    An item whose first picture is one goes as a whole: it would be of the same family on perhaps another side of the
    split. `committed` gives what earlier runs kept; it is read once, before the first item. What is turned down depends
    on the items and their order alone.
    """

    def sifted(indices: Iterator[int]) -> Generator[Outcome]:
        seen = Kept()
        for shard in committed():
            for row in shard.rows:
                seen.add(row["id"], _hash(shard.pictures[row["picture"]]))
        with closing(execute(indices)) as outcomes:
            for outcome in outcomes:
                yield _sifted(outcome, seen) if isinstance(outcome, Made) else outcome

    return sifted


def _hash(data: bytes) -> int:
    return perceptual_hash(decode_picture(data, "a picture of the job"))


def _sifted(made: Made, seen: Kept) -> Made:
    rows, rejects = list[Row](), list(made.rejects)
    family = None
    for row in made.rows:
        value = _hash(made.pictures[row.picture])
        twin = family or seen.twin(value)
        if twin is None:
            seen.add(row.id, value)
            rows.append(row)
            continue
        family = family or (None if row.parent else twin)
        rejects.append(_turned_down(row, len(rejects), twin))
    return replace(made, rows=tuple(rows), rejects=tuple(rejects))


def _turned_down(row: Row, number: int, twin: str) -> Reject:
    lineage = {**row.lineage, "duplicate_of": twin}
    name = f"{row.item}-r{number}"
    return Reject(name, row.item, row.index, row.parent, "dedupe", DUPLICATE, row.scores, lineage, row.picture)
