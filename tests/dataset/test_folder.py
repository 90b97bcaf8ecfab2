"""Limner's own form: whole shards or none, rows that are checked, the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from limner.dataset import (
    Annotation,
    Entry,
    Info,
    Item,
    Lineage,
    Reject,
    read_info,
    read_items,
    read_picture,
    read_rejects,
    rewrite_items,
    shards,
    write_info,
    write_rejects,
    write_shard,
)
from limner.dataset.rows import item_row, parse_item
from limner.types import BadInput, LimnerError
from tests.dataset.samples import CLASSES, entries, entry, rejected, save
from tests.disk import small_disk


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@given(entries())
@settings(max_examples=30, deadline=None)
def test_an_item_is_read_as_it_was_written(made: list[Entry]) -> None:
    for item, _ in made:
        row = item_row(item)
        assert row.count(b"\n") == 1
        assert parse_item(row, "row") == item


def test_items_rejects_and_info_come_back(tmp_path: Path) -> None:
    made, bare = [entry("a"), entry("b")], (Reject("r2", "failed", "after 3 tries"), b"")
    root = save(tmp_path / "data", made, [rejected("r1", "ssim"), bare])
    items, rejects = list(read_items(root)), list(read_rejects(root))
    assert [(item.id, item.file) for item in items] == [("a", "items/00000/a.png"), ("b", "items/00000/b.png")]
    assert [read_picture(root, item) for item in items] == [data for _, data in made]
    assert rejects[1] == bare[0]
    assert rejects[0].item is not None
    assert rejects[0].item.file == "rejects/00000/r1.png"
    assert read_info(root).classes == CLASSES
    assert (read_info(root).items, read_info(root).rejects) == (2, 2)


def test_the_same_items_give_the_same_bytes(tmp_path: Path) -> None:
    made, rejects = [entry("b"), entry("a")], [rejected("r", "ssim")]
    assert contents(save(tmp_path / "one", made, rejects)) == contents(save(tmp_path / "two", made, rejects))


def test_a_shard_that_breaks_off_is_not_there_and_can_be_written_again(tmp_path: Path) -> None:
    def breaking() -> Iterator[Entry]:
        yield entry("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 3, breaking())
    assert contents(tmp_path) == {}
    write_shard(tmp_path, 3, [entry("a")])
    assert shards(tmp_path, "items") == [3]


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    """Killed before the pictures were renamed, and before the rows were there."""
    for left in ("items/.00000-xyz/old.png", "items/00000/old.png"):
        (tmp_path / left).parent.mkdir(parents=True)
        (tmp_path / left).write_bytes(b"half")
    write_shard(tmp_path, 0, [entry("a")])
    assert sorted(contents(tmp_path)) == ["items/00000.jsonl", "items/00000/a.png"]


def test_a_shard_is_written_once(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [entry("a")])
    before = contents(tmp_path)
    with pytest.raises(BadInput, match="there already"):
        write_shard(tmp_path, 0, [entry("b")])
    assert contents(tmp_path) == before


def test_rows_are_replaced_in_place(tmp_path: Path) -> None:
    items = write_shard(tmp_path, 0, [entry("a"), entry("b")])
    rewrite_items(tmp_path, 0, [replace(items[0], split="val")])
    assert list(read_items(tmp_path)) == [replace(items[0], split="val")]


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (100_000, 2, 99_999):
        write_shard(tmp_path, number, [entry(f"n{number}")])
    assert [item.id for item in read_items(tmp_path)] == ["n2", "n99999", "n100000"]


BAD_IDS = ["", "..", "../up", "a/b", "a.b", ".a", "-a", "a\n", "a\0", "é", "a" * 81, "c:x", "a b"]


@pytest.mark.parametrize("name", BAD_IDS)
def test_an_id_that_is_no_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    item, data = entry("a")
    with pytest.raises(BadInput):
        write_shard(tmp_path / "data", 0, [(replace(item, id=name), data)])
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"regions": (Annotation("no", (0, 0, 9, 6)),)}, "not inside"),
        ({"regions": (Annotation("no", (3, 3, 3, 5)),)}, "not inside"),
        ({"regions": (Annotation("no", (0, 0, float("nan"), 5)),)}, "cannot be"),
        ({"regions": (Annotation("no", (0, 0, 8, 6), 1.0, {"size": [8, 6], "counts": [0, 48]}),)}, "size"),
        ({"regions": (Annotation("no", (0, 0, 8, 6), 1.0, {"size": [6, 8], "counts": [48]}),)}, "empty"),
        ({"regions": (Annotation("no", (0, 0, 8, 6), 1.0, {"size": [6, 8], "counts": [3]}),)}, "runs"),
        ({"regions": (Annotation(" ", (0, 0, 8, 6)),)}, "label"),
        ({"caption": "\ud800"}, "cannot be"),
        ({"caption": "x" * 10_001}, "caption"),
        ({"split": "holdout"}, "split"),
        ({"width": 0}, "width"),
        ({"file": "../../a.png"}, ""),
        ({"file": "a.gif"}, "file"),
        ({"lineage": Lineage(parents=("a",))}, "own parent"),
        ({"lineage": Lineage(seeds=(-1,))}, "seeds"),
        ({"lineage": Lineage(scores={"ssim": float("inf")})}, "cannot be"),
    ],
)
def test_what_is_wrong_in_itself_is_not_written(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    item, data = entry("a")
    if changes.get("file") == "../../a.png":
        write_shard(tmp_path, 0, [(replace(item, **changes), data)])  # Its place is not the item's to say.
        assert sorted(contents(tmp_path)) == ["items/00000.jsonl", "items/00000/a.png"]
        return
    with pytest.raises(BadInput, match=words):
        write_shard(tmp_path, 0, [(replace(item, **changes), data)])
    assert contents(tmp_path) == {}


def test_ids_are_unique_within_a_shard(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="twice"):
        write_shard(tmp_path, 0, [entry("a"), entry("a")])


@pytest.mark.parametrize("row", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"id":"a"}', b"null"])
def test_a_damaged_row_is_named(tmp_path: Path, row: bytes) -> None:
    write_shard(tmp_path, 0, [entry("a")])
    with (tmp_path / "items/00000.jsonl").open("ab") as file:
        file.write(row + b"\n")
    with pytest.raises(BadInput, match=r"items/00000.jsonl:2 cannot be read"):
        list(read_items(tmp_path))


def test_unknown_keys_and_other_types_are_refused() -> None:
    values = json.loads(item_row(entry("a")[0]))
    for change in ({"extra": 1}, {"width": "8"}, {"width": 8.5}, {"regions": None}, {"file": "/etc/passwd.png"}):
        with pytest.raises(BadInput, match="row 1"):
            parse_item(json.dumps(values | change), "row 1")


def test_a_picture_is_read_from_within_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(entry("a")[1])
    root = save(tmp_path / "data", [entry("a")])
    (item,) = read_items(root)
    (root / item.file).unlink()
    with pytest.raises(BadInput, match="missing"):
        read_picture(root, item)
    (root / item.file).symlink_to(tmp_path / "secret.png")
    with pytest.raises(BadInput, match="outside"):
        read_picture(root, item)


def test_info_of_a_newer_limner(tmp_path: Path) -> None:
    write_info(tmp_path, Info())
    text = (tmp_path / "limner.json").read_text()
    (tmp_path / "limner.json").write_text(text.replace('"format":1', '"format":2'))
    with pytest.raises(BadInput, match="newer"):
        read_info(tmp_path)


def test_a_full_disk_leaves_no_shard(tmp_path: Path) -> None:
    with pytest.raises(LimnerError) as caught, small_disk(200):
        write_shard(tmp_path, 0, [entry("a", 40, 40)])
    assert caught.value.exit_code == 1
    assert contents(tmp_path) == {}


def test_a_duplicate_is_set_aside_without_its_picture_being_moved(tmp_path: Path) -> None:
    """A reject's picture may lie among the items' and then is not written again."""
    item, data = entry("a")
    (stored,) = write_shard(tmp_path, 0, [(item, data)])
    rewrite_items(tmp_path, 0, [])
    write_rejects(tmp_path, 0, [(Reject("a", "duplicate", item=stored), b"")])
    (reject,) = read_rejects(tmp_path)
    assert isinstance(reject.item, Item)
    assert read_picture(tmp_path, reject.item) == data
