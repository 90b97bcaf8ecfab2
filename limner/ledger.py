"""What a long job has made, kept so that a kill at any instant loses nothing that was committed and repeats nothing.

A job's folder:

    job.json            what was asked for: {"spec": ...}
    ledger.jsonl        one line a committed shard, with a checksum; only ever added to
    shards/000000.tar   what some items brought, in order (limner.shards)

A shard is written to a temporary sibling, synced and renamed; then its line is added and synced, and that is the
commit. A last line that is torn was never committed: its shard is made again, byte by byte the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.image.files import sync, write_whole
from limner.shards import Made, Outcome, SetAside, Shard, pack, unpack
from limner.staging import sole
from limner.turn import canonical
from limner.types import BadInput, LimnerError

JOB, LEDGER, SHARDS = "job.json", "ledger.jsonl", "shards"
_CHECKSUM = 16


@dataclass(slots=True)
class Tally:
    """What the committed shards hold: only sums, so that it does not grow with the job."""

    shards: int = 0
    items: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    set_aside: int = 0
    made_by: str = ""

    def add(self, line: Mapping[str, Any]) -> None:
        """Count a line of the ledger."""
        self.shards += 1
        self.items += line["items"]
        self.accepted += line["accepted"]
        self.set_aside += len(line["set_aside"])
        self.made_by = line["made_by"] or self.made_by
        for reason, count in line["rejected"].items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count


class Ledger:
    """The ledger of one job, open for adding; see `open_ledger`."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self.folder, self.tally = folder, tally

    def commit(self, results: Sequence[Outcome]) -> None:
        """Keep the results of the next items, in order, as one shard. They are safe when this returns.

        Raises LimnerError when the disk is full or fails, and when other models made them than the earlier ones.
        """
        told = summary(results)
        if told["made_by"] and self.tally.made_by not in ("", told["made_by"]):
            raise _other_models()
        number, content = self.tally.shards, pack([each for each in results if isinstance(each, Made)])
        write_whole(_shard(self.folder, number), content)
        line = {"shard": number, "sha256": hashlib.sha256(content).hexdigest(), **told}
        _append(self.folder / LEDGER, line)
        self.tally.add(line)


def summary(results: Sequence[Outcome]) -> dict[str, Any]:
    """What the ledger says of some results: sums and failures. Raises LimnerError for different models' results."""
    made = [each for each in results if isinstance(each, Made)]
    makers = sorted({each.made_by for each in made})
    if len(makers) > 1:
        raise _other_models()
    reasons = [reject.reason for each in made for reject in each.rejects]
    return {
        "items": len(results),
        "accepted": sum(len(each.rows) for each in made),
        "rejected": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        "set_aside": [[each.index, each.error] for each in results if isinstance(each, SetAside)],
        "made_by": "".join(makers),
    }


def _other_models() -> LimnerError:
    return LimnerError("the models are not those that the job was begun with", "begin a new job in a new folder")


@contextmanager
def open_ledger(folder: Path, spec: Mapping[str, Any]) -> Generator[Ledger]:
    """The ledger of the job that `spec` (JSON values) asks for, begun in `folder` or found there; locked meanwhile.

    What a killed process left half-written is removed. Raises BadInput where the folder holds anything else or another
    process is at work in it, LimnerError where what was committed is damaged or cannot be written to.
    """
    with sole(folder):
        _begin(folder, spec)
        for part in [*folder.glob(".*.part"), *(folder / SHARDS).glob(".*.part")]:
            part.unlink(missing_ok=True)
        yield Ledger(folder, _recovered(folder))


def tally(folder: Path, spec: Mapping[str, Any]) -> Tally:
    """What a job has committed, all zeros for one that was not begun. Changes nothing; raises as `open_ledger`."""
    if not (folder / JOB).is_file():
        return Tally()
    _check_spec(folder, spec)
    return _counted(folder)[0]


def read_shards(folder: Path) -> Iterator[Shard]:
    """The committed shards in order, one in memory at a time. Raises LimnerError for one that is gone or altered."""
    for line, _ in _lines(folder):
        path = _shard(folder, line["shard"])
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != line["sha256"]:
            raise LimnerError(f"{path} is missing or was altered", "bring it back from a copy, or make the job anew")
        yield unpack(content)


def _shard(folder: Path, number: int) -> Path:
    return folder / SHARDS / f"{number:06d}.tar"


def _begin(folder: Path, spec: Mapping[str, Any]) -> None:
    """Write down what is asked for, where nothing is yet, and make sure of it where something is."""
    if not (folder / JOB).exists():
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        if names and (names != [SHARDS] or any((folder / SHARDS).iterdir())):
            raise BadInput(f"{folder} holds other files", "name a new or empty folder with --out")
        (folder / SHARDS).mkdir(exist_ok=True)
        write_whole(folder / JOB, canonical({"spec": spec}) + b"\n")
    _check_spec(folder, spec)


def _check_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    try:
        known = json.loads((folder / JOB).read_bytes())["spec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LimnerError(
            f"{folder / JOB} cannot be read", "bring it back from a copy, or name another folder"
        ) from error
    if canonical(known) != canonical(spec):
        raise BadInput(f"{folder} holds another job", "name another folder, or ask for the same again")


def _recovered(folder: Path) -> Tally:
    """The tally, after a torn last line is cut off and every committed shard is seen to be there."""
    found, end = _counted(folder)
    path = folder / LEDGER
    if path.exists() and path.stat().st_size > end:
        with _told(path), path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())
    here = set(os.listdir(folder / SHARDS))
    lost = next((number for number in range(found.shards) if f"{number:06d}.tar" not in here), None)
    if lost is not None:
        raise LimnerError(f"{_shard(folder, lost)} is missing", "bring it back from a copy, or make the job anew")
    return found


def _counted(folder: Path) -> tuple[Tally, int]:
    """The tally of the valid lines, and where they end in bytes."""
    found, end = Tally(), 0
    for line, end in _lines(folder):  # noqa: B007
        found.add(line)
    return found, end


def _lines(folder: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The ledger's lines, each with the place in bytes where it ends; a torn last line is left out.

    Raises LimnerError for a line that is damaged and not the last.
    """
    path = folder / LEDGER
    if not path.exists():
        return
    end, number = 0, 0
    with _told(path), path.open("rb") as file:
        for raw in file:
            line = _line(raw, number)
            if line is None:
                if file.read(1):
                    raise LimnerError(f"line {number + 1} of {path} is damaged", "bring it back from a copy")
                return
            end, number = end + len(raw), number + 1
            yield line, end


def _line(raw: bytes, number: int) -> dict[str, Any] | None:
    """A line's content; None for one whose checksum or number is wrong."""
    checksum, _, text = raw.partition(b" ")
    if not raw.endswith(b"\n") or hashlib.sha256(text[:-1]).hexdigest()[:_CHECKSUM].encode() != checksum:
        return None
    line: dict[str, Any] = json.loads(text)
    return line if line["shard"] == number else None


def _append(path: Path, line: Mapping[str, Any]) -> None:
    text = canonical(line)
    new = not path.exists()
    with _told(path), path.open("ab") as file:
        file.write(hashlib.sha256(text).hexdigest()[:_CHECKSUM].encode() + b" " + text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


@contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise LimnerError(
            f"{path} failed: {error.strerror}", "free some space and run it again; nothing is lost"
        ) from error
