from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limner.blobs import Blobs
from limner.store import SessionState, Store
from limner.store.schema import MIGRATIONS
from limner.turn import Turn, by_id, path_to
from limner.types import BadInput, LimnerError
from tests.disk import small_disk

pytest_plugins = ["tests.postgres"]

SECRET = "pa55word"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ABOUT = settings(max_examples=40, deadline=None)
CONTENT = st.dictionaries(st.text(max_size=6).filter(lambda key: key != "picture"), JSON, max_size=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")
    return f"sqlite:///{tmp_path}/deep/limner.db"


@pytest.fixture
def store(url: str, folder: Path) -> Generator[Store]:
    store = Store(url, Blobs(str(folder)))
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "limner.db"


@pytest.fixture
def sqlite(file: Path, folder: Path) -> Generator[Store]:
    store = Store(f"sqlite:///{file}?timeout=0.1", Blobs(str(folder)))
    yield store
    store.close()


def drawn(store: Store, parent: str | None, words: str) -> Turn:
    """A turn with a picture, which is in the store."""
    return Turn(parent, "draw", {"said": words, "picture": store.blobs.put(words.encode())}, 1.5, 1e9)


def begun(store: Store, name: str = "fox", *words: str) -> tuple[SessionState, list[Turn]]:
    """A session with one turn below the other for each of the words."""
    state = store.create(name, {"seed": 1})
    turns: list[Turn] = []
    for said in words or ("a fox", "a red fox"):
        turns.append(drawn(store, state.tip, said))
        state = store.save(replace(state, tip=turns[-1].id), turns[-1:])
    return state, turns


def execute(url: str, statement: str, **values: object) -> None:
    """Change the database behind the store's back."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)
    engine.dispose()


def test_a_session_comes_back_as_it_was_saved(store: Store, url: str) -> None:
    state, turns = begun(store)
    state = store.save(replace(state, tip=turns[0].id, redo=(turns[1].id,), branches={"red": turns[1].id}))
    store.close()
    again = Store(url, store.blobs)
    assert again.load("fox") == state
    assert again.turns("fox") == turns
    assert state.version == 4
    assert again.check() == []
    again.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(CONTENT, max_size=3), options=CONTENT)
def test_any_json_comes_back(sqlite: Store, contents: list[dict[str, Any]], options: dict[str, Any]) -> None:
    name = f"s{len(sqlite.sessions())}"
    turns = [Turn(None, "note", {**content, "number": number}) for number, content in enumerate(contents)]
    sqlite.save(SessionState(name, options), turns)
    assert sqlite.turns(name) == turns
    assert sqlite.load(name).settings == options
    assert sqlite.check() == []


@pytest.mark.parametrize("text", ["\0", "«»", "\U0001f98a", "'; --", "\\u0000", "a\nb"])
def test_any_text_comes_back(store: Store, text: str) -> None:
    turn = Turn(None, "note", {"said": text})
    store.save(SessionState("text", {text: text}, branches={text: turn.id}), [turn])
    assert store.turns("text") == [turn]
    assert store.load("text").branches == {text: turn.id}
    assert store.check() == []


def test_the_last_change_comes_first(store: Store) -> None:
    for name in "abc":
        store.create(name, {})
    store.save(store.load("b"))
    assert [state.name for state in store.sessions()] == ["b", "c", "a"]
    assert all(state.created > 1e9 for state in store.sessions())


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "-", "x" * 64, "лиса"])
def test_good_names(store: Store, name: str) -> None:
    store.create(name, {})
    assert store.load(name).name == name


@pytest.mark.parametrize("name", ["", ".a", "..", "a/b", "a b", "x" * 65, "a\n", "a\0"])
def test_names_that_are_none(store: Store, name: str) -> None:
    with pytest.raises(BadInput, match="no name for a session"):
        store.create(name, {})
    for use in (store.load, store.turns, store.remove):
        with pytest.raises(BadInput, match="there is no session"):
            use(name)


def test_a_name_is_given_once(store: Store) -> None:
    begun(store)
    with pytest.raises(BadInput, match="there is a session «fox» already"):
        store.create("fox", {})
    assert len(store.turns("fox")) == 2


def test_an_unknown_session_names_the_others(store: Store) -> None:
    with pytest.raises(BadInput, match="there are none yet"):
        store.load("fox")
    store.create("owl", {})
    store.create("cat", {})
    with pytest.raises(BadInput, match="there are: cat, owl"):
        store.turns("fox")


def test_a_turn_that_is_there_is_left_alone(store: Store) -> None:
    state, turns = begun(store)
    later = replace(turns[0], seconds=9.0)
    store.save(state, [later, later])
    assert store.turns("fox") == turns


def test_a_stale_state_is_refused_and_changes_nothing(store: Store, url: str) -> None:
    state, turns = begun(store)
    other = Store(url, store.blobs)
    newer = other.save(replace(other.load("fox"), tip=turns[0].id))
    with pytest.raises(LimnerError, match="«fox» was changed by another process"):
        store.save(state, [drawn(store, turns[1].id, "a blue fox")])
    assert store.load("fox") == newer
    assert store.turns("fox") == turns
    other.remove("fox")
    other.close()
    with pytest.raises(LimnerError, match="«fox» was removed by another process"):
        store.save(newer)


@pytest.mark.parametrize("place", ["tip", "redo", "branches"])
def test_a_state_that_leads_out_of_the_session_is_refused(store: Store, place: str) -> None:
    state, _ = begun(store)
    _, (elsewhere,) = begun(store, "owl", "an owl")
    wrong = {"tip": elsewhere.id, "redo": (elsewhere.id,), "branches": {"b": elsewhere.id}}[place]
    with pytest.raises(ValueError, match="no turn of the session"):
        store.save(replace(state, **{place: wrong}))
    assert store.load("fox") == state


def test_a_turn_without_its_parent_is_refused_with_all_beside_it(store: Store) -> None:
    state, turns = begun(store)
    good, orphan = drawn(store, turns[1].id, "good"), drawn(store, "0" * 64, "orphan")
    child = drawn(store, good.id, "child")
    for added in ([good, orphan], [child, good]):
        with pytest.raises(ValueError, match="before its parent"):
            store.save(replace(state, tip=good.id), added)
    assert store.load("fox") == state
    assert store.turns("fox") == turns


def test_a_turn_whose_picture_is_not_there_is_refused(store: Store) -> None:
    state, _ = begun(store)
    turn = Turn(state.tip, "draw", {"picture": "0" * 64})
    with pytest.raises(LimnerError, match=f"picture {'0' * 64} of a new turn"):
        store.save(replace(state, tip=turn.id), [turn])
    assert store.load("fox") == state


def test_removing_keeps_what_others_use(store: Store) -> None:
    begun(store, "fox", "shared", "own")
    _, kept = begun(store, "owl", "shared", "owl")
    store.remove("fox")
    assert [state.name for state in store.sessions()] == ["owl"]
    assert set(store.blobs) == {turn.picture for turn in kept}
    assert store.check() == []
    begun(store, "fox", "shared", "own")


def test_removing_sweeps_old_pictures_of_no_turn(store: Store, folder: Path) -> None:
    begun(store)
    old, new = store.blobs.put(b"of a process that was killed"), store.blobs.put(b"of one that is about to save")
    os.utime(folder / f"{old}.png", (0, 0))
    assert store.check() == []
    store.remove("fox")
    assert list(store.blobs) == [new]


def test_check_finds_altered_turns(store: Store, url: str) -> None:
    _, turns = begun(store)
    execute(url, "UPDATE limner_turns SET content = '{}' WHERE id = :id", id=turns[0].id)
    execute(url, "UPDATE limner_turns SET content = '{' WHERE id = :id", id=turns[1].id)
    begun(store, "owl", "an owl")
    execute(url, "UPDATE limner_turns SET kind = 'edit' WHERE session = 'owl'")
    assert [line.split(":")[0] for line in store.check()] == [
        f"turn {turns[0].id[:12]} of session «fox» was altered",
        f"turn {turns[1].id[:12]} of session «fox» was altered",
        f"turn {store.load('owl').tip or '':.12} of session «owl» was altered",
    ]
    with pytest.raises(LimnerError, match="record of turn .* is damaged"):
        store.turns("fox")


def test_check_finds_ids_that_lead_nowhere(store: Store, url: str) -> None:
    state, turns = begun(store)
    first, second = (turn.id for turn in turns)
    store.save(replace(state, tip=second, redo=(first,), branches={"b": first}))
    execute(url, "DELETE FROM limner_turns WHERE id = :id", id=first)
    assert store.check() == [
        f"the parent of turn {second[:12]} of session «fox» is missing: {first[:12]}",
        f"the redo of session «fox» leads nowhere: {first[:12]}",
        f"the branch «b» of session «fox» leads nowhere: {first[:12]}",
    ]
    execute(url, "UPDATE limner_sessions SET redo = '[', tip = NULL")
    assert store.check()[-1] == "the record of session «fox» is damaged"


def test_check_finds_spoilt_pictures(store: Store, folder: Path) -> None:
    _, turns = begun(store)
    missing, altered = (str(turn.picture) for turn in turns)
    store.blobs.remove(missing)
    (folder / f"{altered}.png").write_bytes(b"?")
    part = folder / ".x.part"
    part.touch()
    problems = {f"picture {missing} is missing", f"picture {altered} was altered", f"{part} was left half-written"}
    assert set(store.check()) == problems


def test_a_database_of_a_newer_limner_is_refused(store: Store, url: str) -> None:
    begun(store)
    execute(url, "INSERT INTO limner_migrations VALUES ('m999_later')")
    with pytest.raises(LimnerError, match="newer Limner.*m999_later.*update Limner"):
        Store(url, store.blobs)


def test_migrations_are_applied_once_and_whole_or_not_at_all(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(str(folder))
    Store(url, blobs).close()

    def m002_test(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE later (a INTEGER)"))
        if fails:
            connection.execute(sa.text("INSERT INTO nowhere VALUES (1)"))

    monkeypatch.setattr("limner.store.schema.MIGRATIONS", [*MIGRATIONS, m002_test])
    fails = True
    with pytest.raises(LimnerError, match="nowhere"):
        Store(url, blobs)
    fails = False
    for _ in range(2):
        Store(url, blobs).close()
    execute(url, "INSERT INTO later VALUES (1)")


OPENING = """
import sys
from limner.blobs import Blobs
from limner.store import Store
store = Store(sys.argv[1], Blobs(sys.argv[2]))
input()
print(store.create(sys.argv[3], {}).version, len(store.sessions()) > 0)
"""


def test_processes_that_open_it_at_once_all_succeed(url: str, folder: Path) -> None:
    pipe = subprocess.PIPE
    commands = [[sys.executable, "-c", OPENING, url, folder, name] for name in "ab"]
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for command in commands]
    assert [child.communicate("\n")[0].strip() for child in children] == ["1 True"] * 2
    store = Store(url, Blobs(str(folder)))
    assert sorted(state.name for state in store.sessions()) == ["a", "b"]
    store.close()


def test_sqlite_keeps_a_synced_write_ahead_log(sqlite: Store, file: Path) -> None:
    sqlite.create("fox", {})
    assert file.with_name("limner.db-wal").exists()
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_locked_database_is_told_and_loses_nothing(sqlite: Store, file: Path) -> None:
    state, turns = begun(sqlite)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LimnerError, match="is locked by another process"):
        sqlite.save(state, [drawn(sqlite, state.tip, "later")])
    assert sqlite.turns("fox") == turns  # Readers do not wait for a writer.
    other.execute("ROLLBACK")
    other.close()
    assert sqlite.save(state).version == state.version + 1


def test_a_full_disk_is_told_and_loses_nothing(sqlite: Store, file: Path) -> None:
    state, turns = begun(sqlite)
    note = Turn(state.tip, "note", {"said": "x" * 200_000})
    with pytest.raises(LimnerError, match="its disk is full or fails.*nothing was lost"), small_disk(100_000):
        sqlite.save(replace(state, tip=note.id), [note])
    assert sqlite.load("fox") == state
    assert sqlite.turns("fox") == turns
    assert sqlite.check() == []
    assert sqlite.save(replace(state, tip=note.id), [note]).tip == note.id


def test_a_read_only_database_is_told(sqlite: Store, file: Path) -> None:
    state, turns = begun(sqlite)
    sqlite.close()
    reader = Store(f"sqlite:///file:{file}?mode=ro&uri=true", sqlite.blobs)
    assert reader.turns("fox") == turns
    with pytest.raises(LimnerError, match="cannot be written to"):
        reader.save(state)
    reader.close()
    assert not Path("file:").exists()  # what stands before the path is no folder


def test_what_is_no_database_is_told(file: Path, folder: Path) -> None:
    file.write_bytes(b"a picture, or something" * 100)
    with pytest.raises(LimnerError, match="is a file of another kind, or damaged"):
        Store(f"sqlite:///{file}", Blobs(str(folder)))
    with pytest.raises(LimnerError, match="cannot be opened"):
        Store(f"sqlite:///{folder.parent}", Blobs(str(folder)))
    with pytest.raises(LimnerError, match="cannot make the folder"):
        Store(f"sqlite:///{file}/limner.db", Blobs(str(folder)))


def test_check_finds_a_damaged_file(sqlite: Store, file: Path) -> None:
    begun(sqlite)
    sqlite.close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, '(picture)', '(kind)') WHERE type = 'index'")
    assert any(problem.startswith("the database is damaged: row 1 missing") for problem in sqlite.check())


ADDRESSES = [f"mysql://limner:{SECRET}@host/x", f"postgresql:/limner:{SECRET}@host", "sqlite://", f"{SECRET}", ""]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_of_no_database_are_refused(address: str, folder: Path) -> None:
    with pytest.raises(BadInput, match="sqlite:///FILE") as caught:
        Store(address, Blobs(str(folder)))
    assert SECRET not in str(caught.value)


def test_a_server_that_is_away_is_told_without_the_password(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not heard on: nobody else answers there either.
        url = f"postgres://limner:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/pictures"
        with pytest.raises(LimnerError, match="the database pictures on 127.0.0.1 failed") as caught:
            Store(url, Blobs(str(folder)))
    assert SECRET not in str(caught.value)


def test_a_missing_driver_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # What an import finds where it is not installed.
    with pytest.raises(LimnerError, match=r"pip install 'limner\[postgres\]'"):
        Store(f"postgresql://limner:{SECRET}@localhost/x", Blobs(str(folder)))


def test_a_lock_in_postgresql_is_told(postgres: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.store.database.BUSY_SECONDS", 1)
    store = Store(postgres, Blobs(str(folder)))
    state, _ = begun(store)
    with psycopg.connect(postgres.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE limner_sessions")
        with pytest.raises(LimnerError, match="is locked by another process"):
            store.save(state)
    assert store.save(state).version == state.version + 1
    store.close()


@ABOUT
@given(CONTENT, st.sampled_from(["draw", "edit", "note"]), st.none() | st.text(max_size=4))
def test_equal_turns_have_equal_ids(content: dict[str, Any], kind: Any, parent: str | None) -> None:
    turned = dict(reversed(content.items()))
    again = Turn(parent, kind, json.loads(json.dumps(turned)), seconds=3.0, created=4.0)
    assert again.id == Turn(parent, kind, content).id


@ABOUT
@given(CONTENT, CONTENT)
def test_turns_that_differ_have_other_ids(first: dict[str, Any], second: dict[str, Any]) -> None:
    turns = [Turn(parent, kind, c) for parent in (None, "a") for kind in ("draw", "note") for c in (first, second)]
    texts = {json.dumps([turn.parent, turn.kind, turn.content], sort_keys=True) for turn in turns}
    assert len({turn.id for turn in turns}) == len(texts)


@ABOUT
@given(CONTENT, st.data())
def test_any_change_of_content_changes_the_id(content: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(content)) if content else st.just("new"))
    changed = {**content, key: [content.get(key)]}
    assert Turn(None, "draw", changed).id != Turn(None, "draw", content).id
    child = Turn(Turn(None, "draw", content).id, "edit", {})
    assert child.id != Turn(Turn(None, "draw", changed).id, "edit", {}).id


def test_an_id_is_the_hash_of_canonical_json() -> None:
    text = '{"content":{"a":1,"é":[true,null]},"kind":"draw","parent":null}'
    assert Turn(None, "draw", {"é": [True, None], "a": 1}).id == hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(ValueError, match="NaN|nan|range"):
        _ = Turn(None, "draw", {"score": float("nan")}).id


def test_the_path_leads_from_the_first_turn_to_the_tip() -> None:
    first = Turn(None, "draw", {"n": 1})
    turns = [first, Turn(first.id, "edit", {"n": 2}), Turn(first.id, "edit", {"n": 3})]
    assert path_to(turns[2].id, by_id(turns)) == [turns[0], turns[2]]
    assert path_to(None, by_id(turns)) == []
