from __future__ import annotations

import json
import random
import stat
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limner import archive
from limner.archive import export_session, import_session
from limner.blobs import Blobs
from limner.store import SessionState, Store
from limner.turn import Turn, canonical
from limner.types import BadInput, LimnerError
from tests.disk import small_disk

pytest_plugins = ["tests.postgres"]

Members = dict[str, bytes]


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    store = Store(f"sqlite:///{tmp_path}/from.db", Blobs(str(tmp_path / "from")))
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    sqlite = f"sqlite:///{tmp_path}/to.db"
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else sqlite
    store = Store(url, Blobs(str(tmp_path / "to")))
    yield store
    store.close()


@pytest.fixture
def empty(tmp_path: Path) -> Generator[Store]:
    store = Store(f"sqlite:///{tmp_path}/empty.db", Blobs(str(tmp_path / "empty")))
    yield store
    store.close()


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    """An exported session of two pictures."""
    begun(store)
    export_session(store, "fox", tmp_path / "fox.zip")
    return tmp_path / "fox.zip"


def begun(store: Store) -> tuple[SessionState, list[Turn]]:
    first = Turn(None, "draw", {"said": "a fox\u2028\0 «é»", "picture": store.blobs.put(b"first")}, 0.5, 1e9)
    second = Turn(first.id, "edit", {"picture": store.blobs.put(b"second")}, 1.5, 2e9)
    aside = Turn(first.id, "note", {"said": "aside"})
    state = SessionState("fox", {"seed": 1}, first.id, (second.id,), {"b": aside.id}, created=3e9)
    turns = [first, second, aside]
    return store.save(state, turns), turns


def members(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(file: Path, content: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file


def session_with(content: Members, **changes: Any) -> bytes:
    return canonical({**json.loads(content["session.json"]), **changes})


def test_a_session_is_the_same_elsewhere(store: Store, other: Store, tmp_path: Path) -> None:
    state, turns = begun(store)
    told = export_session(store, "fox", tmp_path / "a.zip")
    assert told == {"name": "fox", "turns": 3, "pictures": 2}
    assert import_session(other, tmp_path / "a.zip") == state
    assert other.load("fox") == state
    assert other.turns("fox") == turns
    assert list(other.blobs) == list(store.blobs)
    assert other.check() == []
    export_session(other, "fox", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_members_are_sorted_and_without_a_time(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == sorted(names)
    assert names[-2:] == ["session.json", "turns.jsonl"]
    plain = file.with_name("plain")
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode


def test_a_session_without_turns(store: Store, empty: Store, tmp_path: Path) -> None:
    state = store.create("new", {})
    export_session(store, "new", tmp_path / "new.zip")
    assert import_session(empty, tmp_path / "new.zip") == state


def test_importing_under_another_name(store: Store, file: Path) -> None:
    with pytest.raises(BadInput, match="there is a session «fox» already"):
        import_session(store, file)
    assert import_session(store, file, "owl").name == "owl"
    assert store.turns("owl") == store.turns("fox")
    with pytest.raises(BadInput, match="no name for a session"):
        import_session(store, file, "../owl")


def test_a_compressed_archive_is_taken(empty: Store, file: Path) -> None:
    rewritten(file, members(file), zipfile.ZIP_DEFLATED)
    assert import_session(empty, file).name == "fox"


def test_exporting_over_a_file_replaces_it(store: Store, file: Path) -> None:
    before = file.read_bytes()
    file.write_bytes(b"old")
    export_session(store, "fox", file)
    assert file.read_bytes() == before


def test_an_export_that_fails_leaves_nothing(store: Store, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "fox.zip"
    with pytest.raises(BadInput, match="cannot write"):
        export_session(store, "fox", target)
    target.parent.mkdir()
    with pytest.raises(BadInput, match="there is no session"):
        export_session(store, "owl", target)
    with pytest.raises(LimnerError, match="free some space"), small_disk(300):
        export_session(store, "fox", target)
    missing = next(iter(store.blobs))
    store.blobs.remove(missing)
    with pytest.raises(LimnerError, match=f"picture {missing} is missing"):
        export_session(store, "fox", target)
    assert list(target.parent.iterdir()) == []


def test_what_could_not_be_imported_is_not_exported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(store)
    for limit, complaint in (("MAX_MEMBERS", "has 4 members"), ("MAX_BYTES", "has over"), ("MAX_MEMBER_BYTES", "over")):
        with monkeypatch.context() as patch, pytest.raises(BadInput, match=f"{complaint}.*too large for one file"):
            patch.setattr(archive, limit, 3)
            export_session(store, "fox", tmp_path / "fox.zip")
    assert not (tmp_path / "fox.zip").exists()


def without(name: str) -> Callable[[Members], Members]:
    return lambda content: {n: data for n, data in content.items() if n != name}


def with_member(name: str, data: bytes = b"") -> Callable[[Members], Members]:
    return lambda content: {**content, name: data}


def with_session(**changes: Any) -> Callable[[Members], Members]:
    return lambda content: {**content, "session.json": session_with(content, **changes)}


def with_turns(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Members], Members]:
    return lambda content: {**content, "turns.jsonl": b"\n".join(change(content["turns.jsonl"].splitlines()))}


def without_a_picture(content: Members) -> Members:
    return without(next(name for name in content if name.startswith("pictures/")))(content)


def with_an_altered_picture(content: Members) -> Members:
    return {name: b"?" if name.startswith("pictures/") else data for name, data in content.items()}


def added(content: dict[str, Any], parent: str | None = None) -> Callable[[Members], Members]:
    """An archive with one turn more, whose id is right."""
    turn = Turn(parent, "note", content)
    record = {"id": turn.id, "parent": parent, "kind": "note", "content": content, "seconds": 0, "created": 0}
    return with_turns(lambda lines: [*lines, json.dumps(record).encode()])


SPOILT: dict[str, tuple[Callable[[Members], Members], str]] = {
    "traversal": (with_member("../session.json"), "is no part of a session"),
    "absolute": (with_member("/etc/passwd"), "is no part of a session"),
    "below pictures": (with_member("pictures/../../x.png"), "is no part of a session"),
    "windows": (with_member("pictures\\a.png"), "is no part of a session"),
    "folder": (with_member("pictures/"), "is no part of a session"),
    "unknown": (with_member("notes.txt"), "is no part of a session"),
    "no session": (without("session.json"), "has no session.json"),
    "no turns": (without("turns.jsonl"), "has no turns.jsonl"),
    "no JSON": (with_member("session.json", b"{"), "session.json cannot be understood"),
    "deep JSON": (with_member("session.json", b"[" * 100_000), "session.json cannot be understood"),
    "a list": (with_member("session.json", b"[]"), "session.json cannot be understood"),
    "no time": (with_session(created="now"), "session.json cannot be understood"),
    "NaN": (with_member("session.json", b'{"format": 1, "settings": {"a": NaN}}'), "cannot be understood"),
    "unknown key": (with_session(more=1), "session.json cannot be understood"),
    "newer": (with_session(format=2, more=1), r"newer Limner \(format 2\)"),
    "older": (with_session(format=0), "cannot be understood"),
    "bad name": (with_session(name="../x"), "no name for a session"),
    "tip": (with_session(tip="0" * 64), "names a turn that is not there"),
    "empty tip": (with_session(tip=""), "names a turn that is not there"),
    "redo": (with_session(redo=["0" * 64]), "names a turn that is not there"),
    "branch": (with_session(branches={"b": "0" * 64}), "names a turn that is not there"),
    "order": (with_turns(lambda lines: lines[::-1]), "turn 1 comes before its parent, or without it"),
    "twice": (with_turns(lambda lines: [*lines, lines[0]]), "turn 4 is there twice"),
    "orphans": (with_turns(lambda lines: lines[1:]), "turn 1 comes before its parent, or without it"),
    "bad line": (with_turns(lambda lines: [lines[0], b"\xff"]), "turn 2 cannot be understood"),
    "deep line": (with_turns(lambda lines: [b'{"content":' * 50_000]), "turn 1 cannot be understood"),
    "kind": (with_turns(lambda lines: [lines[0].replace(b'"draw"', b'"drew"')]), "turn 1 cannot be understood"),
    "content": (with_turns(lambda lines: [lines[0].replace(b"a fox", b"an ox")]), "turn 1 was altered"),
    "half a character": (with_turns(lambda lines: [lines[0].replace(b"a fox", b"\\ud800")]), "turn 1 cannot be under"),
    "missing picture": (without_a_picture, "picture .* is missing"),
    "altered picture": (with_an_altered_picture, "picture .* was altered"),
    "stray picture": (with_member(f"pictures/{'0' * 64}.png"), "picture 0* is no turn's"),
    "picture without a name": (added({"picture": ""}), "picture  is missing"),
    "picture elsewhere": (added({"picture": "../x"}), "picture ../x is missing"),
}


@pytest.mark.parametrize(("spoil", "complaint"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_archive_is_refused_and_nothing_is_stored(
    empty: Store, file: Path, spoil: Callable[[Members], Members], complaint: str
) -> None:
    rewritten(file, spoil(members(file)))
    refused(empty, file, complaint)


def refused(store: Store, file: Path, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        import_session(store, file)
    assert "\n" not in str(caught.value)
    assert store.sessions() == []
    assert list(store.blobs) == []


def test_links_are_refused(empty: Store, file: Path) -> None:
    content = members(file)
    with zipfile.ZipFile(file, "w") as zipped:
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK if name == "session.json" else stat.S_IFREG) << 16
            zipped.writestr(info, data)
    refused(empty, file, "'session.json' is a link, or no file")


def test_a_name_that_is_there_twice_is_refused(empty: Store, file: Path) -> None:
    content = members(file)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as zipped:
        zipped.writestr("session.json", content["session.json"])
    refused(empty, file, "'session.json' is there twice")


def test_a_name_that_ends_at_a_zero_byte_is_refused(empty: Store, file: Path) -> None:
    rewritten(file, with_member("session.json0x")(without("session.json")(members(file))))
    file.write_bytes(file.read_bytes().replace(b"session.json0x", b"session.json\0x"))
    refused(empty, file, "is no part of a session")


def test_an_encrypted_member_is_refused(empty: Store, file: Path) -> None:
    zipped = bytearray(file.read_bytes())
    zipped[zipped.index(b"PK\x01\x02") + 8] |= 1  # The flag in the directory's first entry.
    file.write_bytes(zipped)
    refused(empty, file, "is encrypted")


def test_bombs_are_refused(empty: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = with_member("turns.jsonl", b"\n" * 4_000_000)(members(file))
    refused(empty, rewritten(file, content, zipfile.ZIP_DEFLATED), "'turns.jsonl' is compressed too strongly")
    rewritten(file, content)
    for limit, complaint in (("MAX_MEMBER_BYTES", "'turns.jsonl' has over 3 MiB"), ("MAX_BYTES", "has over 3 MiB")):
        with monkeypatch.context() as patch:
            patch.setattr(archive, limit, 3 * 2**20)
            refused(empty, file, complaint)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    refused(empty, file, "has 4 members, where 3 are allowed")


def test_a_member_that_is_larger_than_it_says_is_refused(empty: Store, file: Path) -> None:
    content = with_member("turns.jsonl", b"\n" * 1_000_000)(members(file))
    zipped = rewritten(file, content, zipfile.ZIP_DEFLATED).read_bytes()
    declared = (1_000_000).to_bytes(4, "little")
    assert zipped.count(declared) == 2  # In the member's own head, and in the directory.
    file.write_bytes(zipped.replace(declared, (10).to_bytes(4, "little")))
    refused(empty, file, "is not a zip file, or is damaged")


@pytest.mark.parametrize("content", [b"", b"PK", b"a picture" * 100])
def test_what_is_no_zip_is_refused(empty: Store, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    refused(empty, file, "is not a zip file, or is damaged")


def test_what_cannot_be_read_is_refused(empty: Store, tmp_path: Path) -> None:
    refused(empty, tmp_path / "none.zip", "cannot read .*none.zip")
    refused(empty, tmp_path, "cannot read")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_any_damage_is_refused_or_harmless(store: Store, empty: Store, file: Path, chance: random.Random) -> None:
    spoilt = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 3)):
        spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
    target = file.with_name("spoilt.zip")
    target.write_bytes(spoilt[: chance.choice([len(spoilt), chance.randrange(len(spoilt))])])
    try:
        imported = import_session(empty, target)
    except BadInput:
        assert empty.sessions() == []
        return
    assert imported == store.load("fox")
    assert empty.turns("fox") == store.turns("fox")
    empty.remove("fox")
