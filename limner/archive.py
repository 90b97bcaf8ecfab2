"""A session as one zip file: session.json, turns.jsonl, and pictures/SHA256.png for each picture of a turn.

Members are stored uncompressed, in the order of their names and without a time, so that the same session gives the same
bytes anywhere. What is read is not trusted: everything is bounded, and checked against its hash, before any is stored.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from limner.staging import check_target
from limner.store import SessionState, Store
from limner.turn import Turn, TurnKind, canonical
from limner.types import BadInput, LimnerError

FORMAT = 1
MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 64 * 2**20
"""Of a picture, as for every picture that is opened, and of all turns together."""

MAX_BYTES = 2**31
MAX_RATIO = 100
"""Uncompressed to compressed, counted from the second MiB on; Limner itself does not compress."""

_SESSION, _TURNS = "session.json", "turns.jsonl"
_PICTURE = re.compile(r"pictures/([0-9a-f]{64})\.png")
_ENCRYPTED = 0x1
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, UnicodeDecodeError)
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Form(BaseModel):
    """What session.json has in every version."""

    model_config = ConfigDict(strict=True)
    format: Annotated[int, Field(ge=FORMAT)]


class _SessionRecord(_Form):
    """session.json."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    settings: dict[str, Any]
    tip: str | None
    redo: list[str]
    branches: dict[str, str]
    created: _Seconds


class _TurnRecord(BaseModel):
    """One line of turns.jsonl."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: str
    parent: str | None
    kind: TurnKind
    content: dict[str, Any]
    seconds: _Seconds
    created: _Seconds


def export_session(store: Store, name: str, target: Path) -> dict[str, Any]:
    """Write a session to `target`, which appears whole or not at all; returns name and numbers of turns and pictures.

    Raises BadInput for an unknown session, one too large for `import_session`, and where `target` cannot be written;
    LimnerError for a picture that is missing or altered, and when the disk is full.
    """
    state, turns = store.load(name), store.turns(name)
    pictures = sorted({turn.kept for turn in turns if turn.kept is not None})
    with _new_file(target) as part, zipfile.ZipFile(part, "w") as archive:
        for sha256 in pictures:
            _add(archive, f"pictures/{sha256}.png", store.blobs.get(sha256))
        _add(archive, _SESSION, canonical(_session_record(state)))
        _add(archive, _TURNS, b"".join(canonical(_turn_record(turn)) + b"\n" for turn in turns))
        _check_members(archive.infolist(), f"the session «{name}»", "it is too large for one file")
    return {"name": name, "turns": len(turns), "pictures": len(pictures)}


def import_session(store: Store, file: Path, name: str | None = None) -> SessionState:
    """Store the session that `file` holds, called `name` or what it was called; nothing is stored unless all is well.

    Raises BadInput for a name that is taken or is none, and for a file that is no whole session: see the messages.
    """
    with _opened(file) as archive:
        members = _check_members(archive.infolist(), str(file), "only exported sessions are imported")
        state = _read_state(_read(archive, members[_SESSION]), file)
        turns = _read_turns(_read(archive, members[_TURNS]), file)
        _check_tree(state, turns, file)
        pictures = {match[1]: info for path, info in members.items() if (match := _PICTURE.fullmatch(path))}
        _check_pictures(archive, pictures, turns, file)
        state = replace(state, name=name or state.name)
        store.check_free(state.name)
        for info in pictures.values():
            store.blobs.put(_read(archive, info))
    return store.save(state, turns)


def _session_record(state: SessionState) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": state.name,
        "settings": state.settings,
        "tip": state.tip,
        "redo": state.redo,
        "branches": state.branches,
        "created": state.created,
    }


def _turn_record(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent": turn.parent,
        "kind": turn.kind,
        "content": turn.content,
        "seconds": turn.seconds,
        "created": turn.created,
    }


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name)  # Its time is 1980 unless one is given.
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    archive.writestr(info, content)


@contextmanager
def _new_file(target: Path) -> Generator[Path]:
    """A path to write at, synced and renamed to `target` when the block ends well and gone when it does not."""
    check_target(target)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name[:64]}-", dir=target.parent) as folder:
            part = Path(folder) / "part"
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(target)
    except OSError as error:
        raise LimnerError(f"could not write {target}: {error.strerror}", "free some space and try again") from error


@contextmanager
def _opened(file: Path) -> Generator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except _DAMAGED as error:
        raise BadInput(f"{file} is not a zip file, or is damaged", "export the session again") from error
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or 'damaged'}", "name a file that was exported") from error


def _check_members(members: Sequence[zipfile.ZipInfo], where: str, hint: str) -> dict[str, zipfile.ZipInfo]:
    """The members by name, when all are a session's, each once, plain, and together within the limits."""
    if len(members) > MAX_MEMBERS:
        raise BadInput(f"{where} has {len(members)} members, where {MAX_MEMBERS} are allowed", hint)
    by_name: dict[str, zipfile.ZipInfo] = {}
    for info in members:
        # The name as it is in the file: zipfile's own ends at a zero byte.
        if complaint := _complaint(info, info.orig_filename in by_name):
            raise BadInput(f"{where}: {info.orig_filename[:80]!r} {complaint}", hint)
        by_name[info.orig_filename] = info
    if sum(info.file_size for info in members) > MAX_BYTES:
        raise BadInput(f"{where} has over {MAX_BYTES // 2**20} MiB", hint)
    for name in (_SESSION, _TURNS):
        if name not in by_name:
            raise BadInput(f"{where} has no {name}", hint)
    return by_name


def _complaint(info: zipfile.ZipInfo, twice: bool) -> str:
    """What is wrong with a member; "" for nothing. Names are compared with what may be there, never made into paths."""
    name = info.orig_filename
    if name not in (_SESSION, _TURNS) and not _PICTURE.fullmatch(name):
        return "is no part of a session"
    if twice:
        return "is there twice"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link, or no file"
    if info.file_size > MAX_MEMBER_BYTES:
        return f"has over {MAX_MEMBER_BYTES // 2**20} MiB"
    if info.file_size > 2**20 + MAX_RATIO * info.compress_size:
        return "is compressed too strongly"
    return ""


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member's content; what is read is bounded by the declared size, whatever there is."""
    with archive.open(info) as member:
        content = member.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile("a member's size is not the declared one")
    return content


def _read_state(content: bytes, file: Path) -> SessionState:
    try:
        values: Any = json.loads(content)
        form = _Form.model_validate(values).format
        record = _SessionRecord.model_validate(values) if form == FORMAT else None
        canonical(values)  # Refuses NaN and halves of characters, which no store takes.
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: {_SESSION} cannot be understood", "export the session again") from error
    if record is None:
        raise BadInput(f"{file} was written by a newer Limner (format {form})", "update Limner to import it")
    return SessionState(
        record.name, record.settings, record.tip, tuple(record.redo), record.branches, created=record.created
    )


def _read_turns(content: bytes, file: Path) -> list[Turn]:
    # Not splitlines, which parts a text at more than line feeds.
    return [_read_turn(line, f"{file}: turn {n}") for n, line in enumerate(content.split(b"\n"), 1) if line]


def _read_turn(line: bytes, which: str) -> Turn:
    try:
        record = _TurnRecord.model_validate(json.loads(line))
        turn = Turn(record.parent, record.kind, record.content, record.seconds, record.created)
        turn_id = turn.id
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{which} cannot be understood", "export the session again") from error
    if turn_id != record.id:
        raise BadInput(f"{which} was altered: its content does not fit its id", "export the session again")
    return turn


def _check_tree(state: SessionState, turns: Sequence[Turn], file: Path) -> None:
    seen: set[str] = set()
    for number, turn in enumerate(turns, 1):
        if turn.id in seen or (turn.parent is not None and turn.parent not in seen):
            complaint = "is there twice" if turn.id in seen else "comes before its parent, or without it"
            raise BadInput(f"{file}: turn {number} {complaint}", "export the session again")
        seen.add(turn.id)
    named = [*([] if state.tip is None else [state.tip]), *state.redo, *state.branches.values()]
    if not seen.issuperset(named):
        raise BadInput(f"{file}: {_SESSION} names a turn that is not there", "export the session again")


def _check_pictures(
    archive: zipfile.ZipFile, pictures: Mapping[str, zipfile.ZipInfo], turns: Sequence[Turn], file: Path
) -> None:
    """Raise BadInput unless the pictures are exactly those of the turns, each with the bytes that its name says."""
    wanted = {turn.kept for turn in turns if turn.kept is not None}
    for sha256 in sorted(wanted.symmetric_difference(pictures)):
        complaint = "is missing" if sha256 in wanted else "is no turn's"
        raise BadInput(f"{file}: picture {sha256[:80]} {complaint}", "export the session again")
    for sha256, info in pictures.items():
        if hashlib.sha256(_read(archive, info)).hexdigest() != sha256:
            raise BadInput(f"{file}: picture {sha256} was altered", "export the session again")
