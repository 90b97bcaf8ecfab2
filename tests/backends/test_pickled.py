"""Pickled embeddings are opened when the user says so, and run nothing even then."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limner.backends.pickled import MAX_BYTES, read_embedding, write_embedding
from limner.concept_formats import read_foreign
from limner.foreign_files import embedding_from_table
from limner.types import BadInput
from tests import concepts


class Bomb:
    """Writes the canary file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.canary}",)  # pyright: ignore[reportDeprecated]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gizmo.pt"


@pytest.mark.parametrize("kind", ["torch", "legacy", "plain", "inside"])
def test_a_malicious_pickle_runs_nothing(kind: str, path: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    bomb = {"string_to_param": {"*": Bomb(canary)}} if kind == "inside" else Bomb(canary)
    if kind == "plain":
        path.write_bytes(pickle.dumps(bomb))
    else:
        torch.save(bomb, path, _use_new_zipfile_serialization=kind != "legacy")  # pyright: ignore[reportUnknownMemberType]
    for allow in (False, True):
        with pytest.raises(BadInput, match="can run code" if not allow else "more than tensors"):
            read_embedding(path, allow=allow)
        assert not canary.exists()
    if kind == "plain":  # the bomb is a real one
        pickle.loads(path.read_bytes())
        assert canary.exists()


def test_it_must_be_asked_for(path: Path) -> None:
    write_embedding(path, concepts.values(1, 2, 32), "gizmo", 5, "base")
    with pytest.raises(BadInput, match="pickled file") as caught:
        read_embedding(path, allow=False)
    assert "--unsafe-load" in caught.value.hint


def test_round_trip_of_a1111(path: Path) -> None:
    rows = concepts.values(1, 3, 32)
    write_embedding(path, rows, "gizmo", 500, "v1-5-pruned")
    table = read_embedding(path, allow=True)
    assert table["string_to_token"] == {"*": 265}
    assert (table["name"], table["step"]) == ("gizmo", 500)
    assert (table["sd_checkpoint"], table["sd_checkpoint_name"]) == (None, "v1-5-pruned")
    np.testing.assert_array_equal(embedding_from_table(table), rows)
    back, matched = read_foreign([path], "gizmo", concepts.MODULES, unpickle=partial(read_embedding, allow=True))
    np.testing.assert_array_equal(back.words["positive"]["text_encoder"], rows)
    assert matched.found == 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_diffusers_form_and_trainable_vectors(kind: torch.dtype, path: Path) -> None:
    rows = torch.arange(8, dtype=kind)
    torch.save({"<a>": torch.nn.Parameter(rows)}, path)  # pyright: ignore[reportUnknownMemberType]
    found = embedding_from_table(read_embedding(path, allow=True))
    assert (found.dtype, found.tolist()) == (np.float32, [list(range(8))])


def test_diffusers_loads_what_is_written(path: Path) -> None:
    rows = concepts.values(1, 2, 32)
    write_embedding(path, rows, "gizmo", 1, "")
    table = torch.load(path, weights_only=True)
    assert torch.equal(table["string_to_param"]["*"], torch.tensor(rows))
    assert table["sd_checkpoint_name"] is None


def test_large_files(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadInput, match="larger than 64 MiB"):
        read_embedding(path, allow=True)


def test_files_that_are_large_once_unpacked(path: Path) -> None:
    torch.save({"<a>": torch.zeros(MAX_BYTES // 4)}, path)  # pyright: ignore[reportUnknownMemberType]
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as small:
        for name in archive.namelist():
            small.writestr(name, archive.read(name))
    path.write_bytes(packed.getvalue())
    assert path.stat().st_size < 2**20
    with pytest.raises(BadInput, match="larger than 64 MiB"):
        read_embedding(path, allow=True)


@pytest.mark.parametrize("value", [[1, 2], torch.zeros(3), "text"])
def test_what_is_no_table(value: Any, path: Path) -> None:
    torch.save(value, path)  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(BadInput, match="is not an embedding"):
        read_embedding(path, allow=True)


@pytest.mark.parametrize("value", [torch.zeros(2, 8).to_sparse(), torch.zeros(8, dtype=torch.complex64)])
def test_strange_tensors(value: Any, path: Path) -> None:
    torch.save({"<a>": value}, path)  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(BadInput):
        read_embedding(path, allow=True)


def test_no_file(path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        read_embedding(path, allow=True)
    with pytest.raises(BadInput, match="cannot write"):
        write_embedding(path.parent / "none" / "a.pt", concepts.values(1, 1, 8), "a", 1, "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_files_only_raise_bad_input(path: Path, data: st.DataObject) -> None:
    write_embedding(path, concepts.values(1, 1, 8), "gizmo", 5, "base")
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        embedding_from_table(read_embedding(path, allow=True))
    except BadInput:
        return
