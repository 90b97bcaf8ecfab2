"""Datasets of others, friendly and hostile."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.dataset import Item, check, convert, read_any, read_items, region
from limner.dataset.imports import Names
from limner.dataset.reference import decoded, run_lengths
from limner.dataset.webdataset import add
from limner.types import BadInput
from tests.dataset.samples import entry, save


def jpeg(width: int = 8, height: int = 6) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "JPEG")
    return file.getvalue()


def annotation(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 1, 4, 3], "iscrowd": 0, "segmentation": [], **changes}


def coco(root: Path, *annotations: dict[str, Any], name: str = "pic 1.jpg", size: tuple[int, int] = (8, 6)) -> Path:
    """A COCO folder as others lay it out."""
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    (root / "val2017/pic 1.jpg").write_bytes(jpeg())
    content = {
        "images": [{"id": 7, "file_name": name, "width": size[0], "height": size[1], "date_captured": ""}],
        "annotations": annotations,
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
    }
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
    captions = {"annotations": [{"image_id": 7, "caption": "first"}, {"image_id": 7, "caption": "second"}]}
    (root / "annotations/captions_val2017.json").write_text(json.dumps(captions))
    return root


def only(root: Path) -> Item:
    ((item, _),) = read_any(root).entries
    return item


def test_coco_of_others(tmp_path: Path) -> None:
    root = coco(tmp_path / "coco", annotation(), annotation(iscrowd=1), annotation(bbox=[-1, 2, 99, 2.5]))
    item = only(root)
    assert read_any(root).info.classes == ("cat", "dog")
    assert (item.split, item.caption, item.width, item.height) == ("val", "first", 8, 6)
    assert item.id.startswith("pic-1-")
    assert [content.box for content in item.regions] == [(1, 1, 5, 4), (0, 2, 8, 4.5)]
    assert all(content.label == "cat" and content.mask is None for content in item.regions)
    convert(root, "limner", tmp_path / "ours")
    assert check(tmp_path / "ours") == check(root) == []
    (stored,) = read_items(tmp_path / "ours")
    assert (tmp_path / "ours" / stored.file).read_bytes() == jpeg()


def test_polygons_become_masks(tmp_path: Path) -> None:
    item = only(coco(tmp_path / "coco", annotation(segmentation=[[1, 1, 5, 1, 5, 4, 1, 4], [6, 0, 8, 0, 8, 1, 6, 1]])))
    wanted = np.zeros((6, 8), bool)
    wanted[1:4, 1:5] = wanted[0, 6:8] = True
    np.testing.assert_array_equal(region(item.regions[0]).mask, wanted)


@given(st.integers(1, 12), st.integers(1, 12), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_compressed_runs_become_masks(height: int, width: int, random: Any) -> None:
    from pycocotools import mask as tools  # pyright: ignore[reportMissingTypeStubs]

    mask = np.array([[random.random() < 0.5 for _ in range(width)] for _ in range(height)])
    runs = cast(Any, tools).encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": [height, width], "counts": runs["counts"].decode()}
    np.testing.assert_array_equal(decoded(text, width, height), mask)
    assert sum(run_lengths(runs["counts"])) == mask.size


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 2]],
        [[1, 1, 2, 2]],
        [[]],
        [[1, 1, 1e300, 1, 2, 2]],
        [[1, 1, float("nan"), 1, 2, 2]],
        [["a"] * 6],
        "polygon",
        {"size": [6, 8]},
        {"size": [6, 8], "counts": "\u00e9"},
        {"size": [6, 8], "counts": "ooooooooooooooooooooooooo"},
        {"size": [6, 8], "counts": "a1"},
        {"size": [60000, 80000], "counts": "0"},
        {"size": [6, 8], "counts": [7, 7]},
        {"size": [8, 6], "counts": [40, 8]},
    ],
)
def test_masks_that_are_none(tmp_path: Path, segmentation: object) -> None:
    root = coco(tmp_path / "coco", annotation(segmentation=segmentation))
    with pytest.raises(BadInput):
        convert(root, "limner", tmp_path / "out")
    assert check(root) != []


@pytest.mark.parametrize(
    "name", ["../../secret.jpg", "/etc/passwd", "val2017/../../secret.jpg", "link.jpg", "a\0.jpg", "x" * 400, "no.jpg"]
)
def test_names_lead_nowhere(tmp_path: Path, name: str) -> None:
    root = coco(tmp_path / "coco", name=name)
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    (root / "val2017/link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(BadInput):
        only(root)


@pytest.mark.parametrize(
    "changes", [{"category_id": 5}, {"image_id": 8}, {"bbox": [1, 2, 3]}, {"bbox": [1, 2, 3, None]}, {"score": "high"}]
)
def test_annotations_that_are_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        only(coco(tmp_path / "coco", annotation(**changes)))


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"images": 1}'])
def test_files_that_are_no_coco(tmp_path: Path, text: str) -> None:
    root = coco(tmp_path / "coco")
    (root / "annotations/instances_val2017.json").write_text(text)
    with pytest.raises(BadInput):
        read_any(root)
    assert check(root) != []


def test_a_size_that_is_another(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="8x6"):
        only(coco(tmp_path / "coco", size=(6, 8)))


def yolo(root: Path, data: str, label: str) -> Path:
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True)
    (root / "images/train/a.jpg").write_bytes(jpeg())
    (root / "labels/train/a.txt").write_text(label)
    (root / "data.yaml").write_text(data)
    return root


def test_yolo_of_others(tmp_path: Path) -> None:
    label = "1 0.5 0.5 0.5 1.0\n\n0 0 0 0.5 0 0.5 0.5\n"
    item = only(yolo(tmp_path / "yolo", "path: ../datasets/x\ntrain: images/train\nnames: [cat, dog]\n", label))
    assert [(content.label, content.box) for content in item.regions] == [
        ("dog", (2, 0, 6, 6)),
        ("cat", (0, 0, 4, 3)),
    ]


@pytest.mark.parametrize(
    "label", ["2 .5 .5 .1 .1", "-1 .5 .5 .1 .1", "x", "0 .5 .5 .1", "0 .5 .5 nan .1", "0 1e9 0 1 1"]
)
def test_labels_that_are_none(tmp_path: Path, label: str) -> None:
    with pytest.raises(BadInput, match=r"a\.txt:1"):
        only(yolo(tmp_path / "yolo", "train: images/train\nnames: [cat, dog]\n", label))


@pytest.mark.parametrize(
    "data",
    [
        "train: ..\nnames: [a]",
        "train: /etc\nnames: [a]",
        "train: images/none\nnames: [a]",
        "train: 3\nnames: [a]",
        "train: images/train\nnames: 3",
        "train: images/train\nnames: {1: a}",
        "train: images/train\nnames: [[a]]",
        "train: images/train",
        "- a",
        "a: [",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_data_that_is_no_yolo(tmp_path: Path, data: str) -> None:
    with pytest.raises(BadInput):
        only(yolo(tmp_path / "yolo", data, ""))


def tar_of(*members: tuple[str, bytes]) -> Callable[[tarfile.TarFile], None]:
    def fill(archive: tarfile.TarFile) -> None:
        for name, data in members:
            add(archive, name, data)

    return fill


def linked(archive: tarfile.TarFile) -> None:
    link = tarfile.TarInfo("a.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(link)


@pytest.mark.parametrize(
    "fill",
    [
        tar_of(("a.png", b"x")),
        tar_of(("a.json", b"{}")),
        tar_of(("a.png", b"x"), ("a.json", b"{}")),
        tar_of(("a.png", b"x"), ("b.png", b"x")),
        tar_of(("../a.png", b"x"), ("../a.json", b"{}")),
        tar_of(("a.exe", b"x")),
        linked,
    ],
)
def test_shards_that_are_none(tmp_path: Path, fill: Callable[[tarfile.TarFile], None]) -> None:
    with tarfile.open(tmp_path / "train-00000.tar", "w") as archive:
        fill(archive)
    with pytest.raises(BadInput):
        list(read_any(tmp_path).entries)


def test_a_shard_that_breaks_off(tmp_path: Path) -> None:
    convert(save(tmp_path / "data", [entry("a"), entry("b")]), "webdataset", tmp_path / "wds")
    shard = tmp_path / "wds/train-00000.tar"
    whole = shard.read_bytes()
    for length in (100, 700, 1500, 2600):
        shard.write_bytes(whole[:length])
        assert check(tmp_path / "wds") != [], length


def test_image_folder_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "valid"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg())
    row = {"file_name": "a.jpg", "text": "red", "objects": {"bbox": [[1, 1, 2, 2]], "categories": ["cat"]}}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    item = only(tmp_path)
    assert (item.split, item.caption, item.regions[0].label, item.regions[0].box) == ("val", "red", "cat", (1, 1, 3, 3))
    assert read_any(tmp_path).info.classes == ("cat",)


@pytest.mark.parametrize(
    "row",
    [
        "{",
        "[]",
        "{}",
        '{"file_name": "../secret.jpg"}',
        '{"file_name": "a.jpg", "objects": {"bbox": [[1, 2]]}}',
        '{"file_name": "a.jpg", "objects": {"bbox": [[1, 2, 3, 4]], "category": []}}',
        '{"file_name": "a.jpg", "objects": [1]}',
        '{"file_name": "a.jpg", "limner": "{}"}',
    ],
)
def test_rows_that_are_none(tmp_path: Path, row: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    folder = tmp_path / "data/train"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(jpeg())
    (folder / "metadata.jsonl").write_text(row)
    with pytest.raises(BadInput):
        list(read_any(tmp_path / "data").entries)


def test_names_are_safe_and_differ() -> None:
    names = Names()
    given_names = ["train/a.png", "val/a.png", "A.png", "é/ü.png", "x.y.png", "..png", "a" * 200, "con\ud800.png"]
    ids = [names.give(name) for name in given_names]
    assert ids[0] == "a"
    assert len({one.casefold() for one in ids}) == len(ids)
    assert all(len(one) <= 80 and one.replace("-", "").isalnum() and one.isascii() for one in ids)
    with pytest.raises(BadInput, match="twice"):
        names.give("val/a.png")
