"""Every form there and back, byte for byte the same each time, and loaded by its own library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import pytest
import yaml
from hypothesis import given, settings

from limner.dataset import (
    FORMS,
    Annotation,
    Entry,
    Form,
    Item,
    Lineage,
    check,
    convert,
    form_of,
    read_any,
    read_info,
    read_items,
    read_rejects,
    region,
)
from limner.dataset.reference import reference_index
from limner.dataset.yolo import yaml_string
from limner.types import BadInput
from tests.dataset.samples import CLASSES, entries, entry, family, rejected, save
from tests.dataset.test_folder import contents

MASK = Annotation("no", (1, 1, 7, 5), 0.5, {"size": [6, 8], "counts": [7, 2, 39]})
BOX = Annotation(CLASSES[2], (0.25, 0, 8, 5.99), 0.75)
MIXED = [
    entry("a", caption='"quoted", <b> 猫\n\u2028', regions=(MASK, BOX)),
    entry("b", split="val", regions=(BOX,), lineage=Lineage(prompts=("p",), seeds=(2**63,), scores={"ssim": 0.5})),
    entry("c"),
    entry("d", split="test", regions=(MASK,)),
]


def rows(root: Path) -> dict[str, Item]:
    """Items by id, without the places of their files."""
    return {item.id: replace(item, file=PurePosixPath(item.file).name) for item in read_items(root)}


def there_and_back(root: Path, form: Form) -> Path:
    convert(root, form, root.parent / form)
    back = root.parent / f"{form}-back"
    convert(root.parent / form, "limner", back)
    return back


@pytest.mark.parametrize("form", FORMS)
@given(made=entries())
@settings(max_examples=12, deadline=None)
def test_what_a_form_can_hold_comes_back(form: Form, made: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = save(Path(folder) / "data", made)
        back = there_and_back(root, form)
        before = rows(root)
        if form == "yolo":
            before = {name: as_yolo_holds_it(item) for name, item in before.items()}
        assert rows(back) == before
        assert read_info(back) == replace(read_info(root), form="limner")
        assert all(item.sha256 == before[item.id].sha256 for item in read_items(back))


def as_yolo_holds_it(item: Item) -> Item:
    regions = tuple(Annotation(content.label, content.box) for content in item.regions)
    return replace(item, caption="", regions=regions, lineage=Lineage())


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_the_same_each_time_and_has_no_problems(tmp_path: Path, form: Form) -> None:
    root = save(tmp_path / "data", MIXED, [rejected("r", "ssim")])
    assert convert(root, form, tmp_path / "one") == convert(root, form, tmp_path / "two") == len(MIXED)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert form_of(tmp_path / "one") == form
    assert check(tmp_path / "one") == []


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_dataset(tmp_path: Path, form: Form) -> None:
    root = save(tmp_path / "data", [])
    assert rows(there_and_back(root, form)) == {}
    assert check(tmp_path / form) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_known_without_limners_own_file(tmp_path: Path, form: Form) -> None:
    root = save(tmp_path / "data", MIXED)
    convert(root, form, tmp_path / form)
    (tmp_path / form / "limner.json").unlink()
    if form == "limner":
        with pytest.raises(BadInput, match="no dataset"):
            read_any(tmp_path / form)
        return
    found = read_any(tmp_path / form)
    assert form_of(tmp_path / form) == form
    assert [item.id for item, _ in found.entries] == ["a", "c", "b", "d"]
    if form in ("coco", "yolo"):
        assert found.info.classes == CLASSES


def test_rejects_go_along_in_limners_own_form(tmp_path: Path) -> None:
    root = save(tmp_path / "data", MIXED, [rejected("r", "ssim", "0.4 of 0.6")])
    convert(root, "limner", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(root)
    assert [(reject.reason, reject.detail) for reject in read_rejects(tmp_path / "copy")] == [("ssim", "0.4 of 0.6")]


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path: Path) -> None:
    root = save(tmp_path / "data", MIXED)
    (root / "items/00000/d.png").write_bytes(b"altered")
    for form in FORMS:
        with pytest.raises(BadInput, match="altered"):
            convert(root, form, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_taken_folder_and_an_unknown_form(tmp_path: Path) -> None:
    root = save(tmp_path / "data", MIXED)
    with pytest.raises(BadInput, match="already exists"):
        convert(root, "coco", root)
    with pytest.raises(BadInput, match="no form"):
        convert(root, cast(Form, "voc"), tmp_path / "out")
    with pytest.raises(BadInput, match="no dataset"):
        convert(tmp_path / "nowhere", "coco", tmp_path / "out")


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_a_label_that_is_no_class(tmp_path: Path, form: Form) -> None:
    root = save(tmp_path / "data", [entry("a", regions=(Annotation("dog", (0, 0, 1, 1)),))])
    with pytest.raises(BadInput, match="dog"):
        convert(root, form, tmp_path / "out")


def test_coco_loads_in_pycocotools(tmp_path: Path) -> None:
    convert(save(tmp_path / "data", MIXED), "coco", tmp_path / "coco")
    coco = reference_index(tmp_path / "coco/annotations/instances_train.json")
    assert [coco.imgs[number]["file_name"] for number in sorted(coco.imgs)] == ["a.png", "c.png"]
    assert coco.anns[1]["bbox"] == [1, 1, 6, 4]
    assert coco.anns[1]["area"] == 2
    mask = region(MASK).mask
    assert mask is not None
    assert (coco.annToMask(coco.anns[1]) == mask).all()
    assert coco.anns[2]["segmentation"] == []
    assert coco.dataset["categories"][0] == {"id": 1, "name": "red panda", "supercategory": ""}
    captions = reference_index(tmp_path / "coco/annotations/captions_train.json")
    assert captions.anns[1]["caption"] == MIXED[0][0].caption
    val = reference_index(tmp_path / "coco/annotations/instances_val.json")
    assert sorted(val.imgs) == [2]
    assert val.imgs[2]["lineage"]["seeds"] == [2**63]
    assert (tmp_path / "coco/val/b.png").read_bytes() == MIXED[1][1]


def test_yolo_reads_as_its_trainers_read_it(tmp_path: Path) -> None:
    convert(save(tmp_path / "data", MIXED), "yolo", tmp_path / "yolo")
    data = yaml.safe_load((tmp_path / "yolo/data.yaml").read_text(encoding="utf-8"))
    assert data["names"] == dict(enumerate(CLASSES))
    assert {side: data[side] for side in ("train", "val", "test")} == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
    }
    for side in ("train", "val", "test"):
        for image in (tmp_path / "yolo" / data[side]).iterdir():
            label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
            values = np.array([line.split() for line in label.read_text().splitlines()], float).reshape(-1, 5)
            assert ((values[:, 1:] >= 0) & (values[:, 1:] <= 1)).all()
            assert set(values[:, 0]) <= set(range(len(CLASSES)))
    assert (tmp_path / "yolo/labels/train/a.txt").read_text().splitlines()[0] == (
        "4 0.50000000 0.50000000 0.75000000 0.66666667"
    )
    assert (tmp_path / "yolo/labels/train/c.txt").read_text() == ""


@pytest.mark.parametrize(
    "text", ["a", "\x85\u2028\x07\ufeff\x7f", "😀\U0010ffff", "\\n \"'", "# no: [", "\ue000", "á "]
)
def test_yaml_gives_a_name_back(text: str) -> None:
    assert yaml.safe_load(f"names:\n  0: {yaml_string(text)}\n") == {"names": {0: text}}


def test_webdataset_loads_in_its_library(tmp_path: Path) -> None:
    import webdataset  # pyright: ignore[reportMissingTypeStubs]

    convert(save(tmp_path / "data", MIXED), "webdataset", tmp_path / "wds")
    reader = cast(Any, webdataset).WebDataset(str(tmp_path / "wds/train-00000.tar"), shardshuffle=False)
    samples = list(reader.decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == ["a", "c"]
    assert samples[0]["png"].shape == (6, 8, 3)
    assert samples[0]["json"]["caption"] == MIXED[0][0].caption
    assert samples[0]["json"]["regions"][0]["mask"] == MASK.mask
    with tarfile.open(tmp_path / "wds/train-00000.tar") as archive:
        heads = [(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in archive]
    assert set(heads) == {(0, 0, 0, "", "", 0o644)}


_LOAD = """
import json, sys, datasets
found = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2])
print(json.dumps({side: [{key: value if key != "image" else value.size for key, value in row.items()} for row in rows]
    for side, rows in found.items()}))
"""


def test_image_folder_loads_in_hugging_faces_library(tmp_path: Path) -> None:
    """In a process of its own: the library keeps caches and locks beyond its calls."""
    convert(save(tmp_path / "data", MIXED), "imagefolder", tmp_path / "hf")
    command = [sys.executable, "-c", _LOAD, str(tmp_path / "hf"), str(tmp_path / "cache")]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    sides = json.loads(done.stdout.splitlines()[-1])
    assert {side: len(found) for side, found in sides.items()} == {"train": 2, "validation": 1, "test": 1}
    first = sides["train"][0]
    assert first["image"] == [8, 6]
    assert first["caption"] == MIXED[0][0].caption
    assert first["objects"] == {"bbox": [[1, 1, 6, 4], [0.25, 0, 7.75, 5.99]], "category": ["no", CLASSES[2]]}
    assert sides["train"][1]["objects"] == {"bbox": [], "category": []}
    assert json.loads(first["limner"])["id"] == "a"


@pytest.mark.long
def test_shards_of_a_thousand(tmp_path: Path) -> None:
    item, data = entry("a", 1, 1)
    many = [(replace(item, id=f"i{number}", file=f"i{number}.png"), data) for number in range(1001)]
    root = save(tmp_path / "data", many)
    back = there_and_back(root, "webdataset")
    shards = sorted(path.name for path in (tmp_path / "webdataset").glob("*.tar"))
    assert shards == ["train-00000.tar", "train-00001.tar"]
    assert [item.id for item in read_items(back)] == [f"i{number}" for number in range(1001)]
    assert sorted(path.name for path in (back / "items").glob("*.jsonl")) == ["00000.jsonl", "00001.jsonl"]


def test_families_keep_their_order(tmp_path: Path) -> None:
    root = save(tmp_path / "data", [*family(0), *family(1)])
    assert [item.lineage.parents for item in read_items(there_and_back(root, "coco"))] == [
        item.lineage.parents for item in read_items(root)
    ]
