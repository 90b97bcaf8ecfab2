"""Every kind of damage is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limner.dataset import Annotation, Entry, Info, Lineage, check, convert, write_info
from limner.image import png_bytes
from tests.dataset.samples import CLASSES, entry, family, picture, rejected, save
from tests.dataset.test_forms import MASK, MIXED


def whole(root: Path) -> Path:
    """A dataset without problems: families on both sides, masks, rejects."""
    made = [*MIXED, *family(0), *((replace(item, split="val"), data) for item, data in family(1))]
    return save(root, made, [rejected("r1", "ssim"), rejected("r2", "clip")])


def test_a_good_dataset_has_none(tmp_path: Path) -> None:
    assert check(whole(tmp_path / "data")) == []


def edit_row(root: Path, number: int, **changes: Any) -> None:
    path = root / "items/00000.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[number] = json.dumps(json.loads(lines[number]) | changes)
    path.write_text("\n".join(lines), encoding="utf-8")


def region_row(**changes: Any) -> list[dict[str, Any]]:
    return [{"label": "no", "box": [0, 0, 8, 6], "score": 1.0, "mask": None, **changes}]


def lose_row(root: Path) -> None:
    path = root / "items/00000.jsonl"
    path.write_text("\n".join(path.read_text(encoding="utf-8").split("\n")[1:]), encoding="utf-8")


def swap_picture(root: Path) -> None:
    (root / "items/00000/c.png").write_bytes(png_bytes(picture(9, 9)))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "c: 'items/00000/c.png' is missing": lambda root: (root / "items/00000/c.png").unlink(),
    "c: items/00000/c.png was altered": lambda root: (root / "items/00000/c.png").write_bytes(MIXED[0][1]),
    "c: items/00000/c.png has 9x9 pixels, not 8x6": swap_picture,
    "c: cannot read items/00000/c.png": lambda root: (root / "items/00000/c.png").write_bytes(b"no picture"),
    "c: region 0 (no): box [0.0, 0.0, 9.0, 6.0] is not inside": lambda root: edit_row(
        root, 2, regions=region_row(box=[0, 0, 9, 6])
    ),
    "c: region 0 (no): a mask of size [8, 6]": lambda root: edit_row(
        root, 2, regions=region_row(mask={"size": [8, 6], "counts": [0, 48]})
    ),
    "c: region 0 (no): its mask is empty": lambda root: edit_row(
        root, 2, regions=region_row(mask={"size": [6, 8], "counts": [48]})
    ),
    "c: region 0 (no): a mask's runs cover 4000000000": lambda root: edit_row(
        root, 2, regions=region_row(mask={"size": [6, 8], "counts": [0, 4_000_000_000]})
    ),
    "c: label 'dog' is not among": lambda root: edit_row(root, 2, regions=region_row(label="dog")),
    "a: its id is there twice": lambda root: edit_row(root, 2, id="a"),
    "A: its id is there twice": lambda root: edit_row(root, 2, id="A"),
    "r1: its id is there twice": lambda root: edit_row(root, 2, id="r1"),
    "f0-2: it is in test, but f0-0 of the same family is in train": lambda root: edit_row(root, 6, split="test"),
    "f0-2: its parent f1-0 is of the family of f1-0, not of f0-0": lambda root: edit_row(
        root, 6, lineage={"parents": ["f0-0", "f1-0"]}
    ),
    "items/00000.jsonl:3: cannot be read: width": lambda root: edit_row(root, 2, width=0),
    "limner.json: it counts 10 items, where there are 9": lose_row,
    "items/00000/a.png: it belongs to no item": lose_row,
    "items/00000/stray.txt: it belongs to no item": lambda root: (root / "items/00000/stray.txt").write_text(""),
    "items/.00001-abc: it belongs to no item": lambda root: (root / "items/.00001-abc").mkdir(),
    "limner.json: it counts 10 items, where there are 0": lambda root: (root / "items/00000.jsonl").unlink(),
    "limner.json: a class is named twice": lambda root: write_info(
        root, Info(classes=(*CLASSES, "no"), items=10, rejects=2)
    ),
    "no limner.json": lambda root: (root / "limner.json").unlink(),
    "limner.json cannot be read": lambda root: (root / "limner.json").write_text("{"),
}


@pytest.mark.parametrize("words", DAMAGE)
def test_damage_is_found(tmp_path: Path, words: str) -> None:
    root = whole(tmp_path / "data")
    DAMAGE[words](root)
    found = [str(problem) for problem in check(root)]
    if words == "no limner.json":
        assert [text.endswith("coco, yolo, webdataset, imagefolder)") for text in found] == [True]
        return
    assert any(words in text for text in found), found


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    root = whole(tmp_path / "data")
    (root / "items/00000/a.png").unlink()
    edit_row(root, 1, regions=region_row(label="dog"))
    edit_row(root, 3, width=0)
    assert {problem.where for problem in check(root)} == {"a", "b", "items/00000.jsonl:4", "items/00000/d.png"}


def test_the_same_picture_on_two_sides(tmp_path: Path) -> None:
    item, data = entry("a")
    twin: Entry = (replace(item, id="twin", file="twin.png", split="test"), data)
    found = check(save(tmp_path / "data", [(item, data), twin]))
    assert [str(one) for one in found] == ["twin: it is in test, but a with the same picture is in train"]


def test_a_parent_may_be_a_reject_and_a_reject_may_hold_anything(tmp_path: Path) -> None:
    reject, data = rejected("first", "clip")
    assert reject.item is not None
    odd = replace(reject.item, regions=(Annotation("no class", (0, 0, 1, 1)),))
    child = entry("child", lineage=Lineage(parents=("first",)))
    assert check(save(tmp_path / "data", [child], [(replace(reject, item=odd), data)])) == []


def test_a_coco_file_is_shown_to_pycocotools(tmp_path: Path) -> None:
    convert(save(tmp_path / "data", MIXED), "coco", tmp_path / "coco")
    path = tmp_path / "coco/annotations/instances_train.json"
    content = json.loads(path.read_text())
    assert content["annotations"][0]["segmentation"] == MASK.mask
    del content["annotations"][0]["image_id"]
    path.write_text(json.dumps(content))
    found = [str(problem) for problem in check(tmp_path / "coco")]
    assert any("pycocotools cannot load it" in text for text in found), found
