"""From any form to any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

from limner.dataset import coco, coco_read, folder, imagefolder, webdataset, yolo
from limner.dataset.folder import INFO, read_info, write_info
from limner.dataset.items import Dataset, Form
from limner.staging import staged_folder
from limner.types import BadInput

FORMS: tuple[Form, ...] = get_args(Form)

_WRITERS: Mapping[Form, Callable[[Path, Dataset], tuple[int, int]]] = {
    "limner": folder.write,
    "coco": coco.write,
    "yolo": yolo.write,
    "webdataset": webdataset.write,
    "imagefolder": imagefolder.write,
}
_READERS: Mapping[Form, Callable[[Path], Dataset]] = {
    "limner": folder.read,
    "coco": coco_read.read,
    "yolo": yolo.read,
    "webdataset": webdataset.read,
    "imagefolder": imagefolder.read,
}


def form_of(root: Path) -> Form:
    """What form a folder is in. Raises BadInput where it is none that is known."""
    if (root / INFO).is_file():
        return read_info(root).form
    if coco_read.files(root):
        return "coco"
    if (root / yolo.DATA).is_file():
        return "yolo"
    if webdataset.shards(root):
        return "webdataset"
    if imagefolder.folders(root):
        return "imagefolder"
    raise BadInput(f"{root} is no dataset", f"known are {', '.join(FORMS)}")


def read_any(root: Path) -> Dataset:
    """Open a dataset of any form; pictures come one at a time. Raises BadInput, also while it is read."""
    return _READERS[form_of(root)](root)


def convert(source: Path, form: Form, out: Path) -> int:
    """Write the dataset at `source` to the new folder `out` in another form; returns the number of items.

    `out` appears whole or not at all, and is the same byte for byte each time. limner.json goes along. Rejects go along
    from Limner's own form to itself. Raises BadInput for what cannot be read and where `out` is taken, LimnerError when
    the disk is full.
    """
    if form not in _WRITERS:
        raise BadInput(f"no form is called {form[:80]!r}", f"known are {', '.join(FORMS)}")
    dataset = read_any(source)
    with staged_folder(out) as place:
        items, rejects = _WRITERS[form](place, dataset)
        write_info(place, replace(dataset.info, items=items, rejects=rejects, form=form))
    return items
