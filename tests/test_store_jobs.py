from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.blobs import Blobs
from limner.store import Store
from limner.store.jobs import Record, pictures_in, reading, writing
from limner.store.schema import JOBS, MIGRATIONS
from limner.types import LimnerError

pytest_plugins = ["tests.postgres"]

PICTURE = "0123456789abcdef" * 4


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")
    return f"sqlite:///{tmp_path}/limner.db"


@pytest.fixture
def store(url: str, tmp_path: Path) -> Generator[Store]:
    store = Store(url, Blobs(str(tmp_path / "blobs")))
    yield store
    store.close()


def values(job: str, **changed: Any) -> Record:
    return {
        "id": job,
        "owner": "local",
        "kind": "draw",
        "params": {"prompt": "a fox"},
        "key": "",
        "shape": "",
        "state": "queued",
        "created": 1.0,
        "attempts": 0,
        "cancel": False,
        **changed,
    }


def test_an_older_database_gets_the_queue(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    with monkeypatch.context() as older:
        older.setattr("limner.store.schema.MIGRATIONS", MIGRATIONS[:1])
        store = Store(url, blobs)
        state = store.create("fox", {"seed": 1})
        with pytest.raises(LimnerError, match="limner_jobs"), writing(store.database) as jobs:
            jobs.add(values("a"))
        store.close()
    store = Store(url, blobs)
    with writing(store.database) as jobs:
        jobs.add(values("a"))
    assert store.load("fox") == state
    store.close()


def test_a_record_comes_back_with_its_place(store: Store) -> None:
    with writing(store.database) as jobs:
        jobs.add(values("b", params={"n": [1, None, "é\0"]}))
        jobs.add(values("a"))
        assert jobs.tell("a", [("queued", {"message": "\0"}), ("started", {})], 0) == 2
        assert jobs.tell("a", [], 2) == 2
        jobs.change("a", result={"drawn": 2}, state="done", finished=jobs.now)
        jobs.change("b", result=None)
    with reading(store.database) as jobs:
        first, second = jobs.get("b"), jobs.get("a")
        assert first is not None
        assert second is not None
        assert first["params"] == {"n": [1, None, "é\0"]}
        assert (first["place"], second["place"], first["result"], second["result"]) == (1, 2, None, {"drawn": 2})
        assert jobs.latest(["a", "b", "c"]) == {"a": 2, "b": 0}
        assert [event["message"] for event in jobs.events("a", 0)[:1]] == ["\0"]
        assert jobs.ends(0.0, 8) == [second["finished"]]
        assert abs(jobs.now - second["finished"]) < 60
        assert jobs.get("c") is None


def test_what_a_block_changed_is_there_as_a_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), writing(store.database) as jobs:
        jobs.add(values("a"))
        jobs.tell("a", [("queued", {})], 0)
        raise KeyboardInterrupt
    with reading(store.database) as jobs:
        assert jobs.get("a") is None
        assert jobs.events("a", 0) == []


def test_the_newest_of_a_kind_stay(store: Store) -> None:
    with writing(store.database) as jobs:
        jobs.add(values("a"))
        jobs.add(values("b"))
        for job in "ab":
            jobs.tell(job, [("turn", {}), *[("step", {"done": n}) for n in range(5)], ("turn", {})], 0)
        jobs.thin("a", ["step", "item"], 2)
        jobs.thin("b", ["step"], 5)
        assert [event["seq"] for event in jobs.events("a", 0)] == [1, 5, 6, 7]
        assert [event["seq"] for event in jobs.events("b", 0)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_damaged_record_is_told(store: Store) -> None:
    with writing(store.database) as jobs:
        jobs.add(values("a"))
    with store.database.writing() as connection:
        connection.execute(sa.update(JOBS).values(params="{"))
    with pytest.raises(LimnerError, match="the record of a job is damaged"), reading(store.database) as jobs:
        jobs.get("a")


def test_a_session_is_removed_without_the_pictures_of_jobs(store: Store) -> None:
    """The pictures of a job are the job's, whatever becomes of a session that has them too."""
    drawn, params = store.blobs.put(b"drawn"), store.blobs.put(b"params")
    with writing(store.database) as jobs:
        jobs.add(values("a", params={"mask": params}))
        jobs.tell("a", [("preview", {"data": {"picture": drawn}})], 0)
    store.tidy([drawn, params])
    assert set(store.blobs) == {drawn, params}
    with writing(store.database) as jobs:
        jobs.change("a", state="done", finished=5.0)
        assert jobs.remove(["done"], 5.0) == 0
        assert jobs.remove(["done"], 6.0) == 1
    store.tidy([drawn])
    assert set(store.blobs) == {params}  # It is new, so that another process may be about to name it.


@settings(max_examples=100, deadline=None)
@given(st.text(), st.sampled_from(["picture", "mask", "open"]))
def test_only_what_is_named_is_a_picture(text: str, naming: str) -> None:
    said = f'{text}"{naming}":"{PICTURE}"{text}'
    if said.encode("utf-8", "replace").decode() == said:
        assert pictures_in({"prompt": said, "turn": PICTURE, said: 1}) == set()
        assert pictures_in({"deep": [{naming: PICTURE, "said": said}]}) == {PICTURE}
    assert pictures_in({naming: None, "x": {naming: PICTURE[:-1]}}) == set()
