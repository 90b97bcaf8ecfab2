"""A concept comes out of its file as it went in, and no file does any harm."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from limner.concept import About, Concept, Factors
from limner.concept_file import fingerprint, load, rounded, save, summary
from limner.tensorfile import MAX_HEADER_BYTES, encode, read_tensors
from limner.types import BadInput, LimnerError
from tests import concepts
from tests.concepts import UNET_CONV, UNET_KEY, gizmo
from tests.disk import small_disk

FULL = replace(
    gizmo(),
    changes={"unet.conv_in.weight": concepts.values(20, 4, 3, 2, 2), "text_encoder.a.bias": np.ones(3, np.float32)},
)
WITH_FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gizmo.safetensors"


def test_round_trip(path: Path) -> None:
    save(FULL, path)
    read = load(path)
    assert (read.name, read.word, read.about, read.preview) == ("gizmo", "<gizmo>", FULL.about, FULL.preview)
    assert concepts.same_words(read, FULL)
    assert read.adapters.keys() == FULL.adapters.keys()
    for side, table in FULL.adapters.items():
        for module, each in table.items():
            assert read.adapters[side][module].scale == each.scale
            np.testing.assert_array_equal(read.adapters[side][module].down, each.down)
            np.testing.assert_array_equal(read.adapters[side][module].up, each.up)
    assert {name: value.tolist() for name, value in read.changes.items()} == {
        name: value.tolist() for name, value in FULL.changes.items()
    }
    assert all(value.dtype == np.float32 for value in read.changes.values())


def test_what_is_drawn_after_learning_is_what_the_file_gives(path: Path) -> None:
    rough = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
    learned = Concept(
        "a",
        {"positive": {"text_encoder": rough}},
        {"both": {UNET_KEY: Factors(rough, (rough.T / 3).astype(np.float32), 1 / 3)}},
        {"unet.conv_in.bias": (rough / 7).astype(np.float32)},
    )
    save(learned, path)
    read, expected = load(path), rounded(learned)
    mine, other = read.adapters["both"][UNET_KEY], expected.adapters["both"][UNET_KEY]
    assert mine.scale == other.scale != learned.adapters["both"][UNET_KEY].scale
    np.testing.assert_array_equal(mine.down, other.down)
    np.testing.assert_array_equal(mine.up, other.up)
    np.testing.assert_array_equal(read.changes["unet.conv_in.bias"], expected.changes["unet.conv_in.bias"])
    np.testing.assert_array_equal(read.words["positive"]["text_encoder"], rough)
    assert not np.array_equal(mine.down, rough)


def test_metadata_is_what_other_programs_show(path: Path) -> None:
    save(FULL, path, date="2024-05-01")
    opened: Any = safe_open(path, framework="numpy")
    with opened as file:
        metadata = file.metadata()
        names = set(file.keys())
        assert file.get_slice("words.positive.text_encoder").get_dtype() == "F32"
        assert file.get_slice(f"adapters.positive.{UNET_CONV}.down").get_dtype() == "F16"
        np.testing.assert_array_equal(
            file.get_tensor("words.positive.text_encoder"), FULL.words["positive"]["text_encoder"]
        )
    assert f"adapters.negative.{UNET_KEY}.scale" in names
    assert "changes.unet.conv_in.weight" in names
    assert metadata["modelspec.sai_model_spec"] == "1.0.1"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/textual-inversion"
    assert metadata["modelspec.trigger_phrase"] == "<gizmo>"
    assert metadata["modelspec.is_negative_embedding"] == "false"
    assert metadata["modelspec.date"] == "2024-05-01"
    assert metadata["modelspec.thumbnail"].startswith("data:image/png;base64,iVBOR")
    about = json.loads(metadata["limner.concept"])["about"]
    assert (about["like"], about["curve"]) == ("robot", [[0, 0.5], [10, 0.25]])


def test_architecture_follows_the_model_and_what_is_in_it(path: Path) -> None:
    lora = replace(concepts.plain_lora(), about=About(family="sdxl"))
    save(lora, path)
    metadata = read_tensors(path)[1]
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert not {"modelspec.date", "modelspec.thumbnail", "modelspec.is_negative_embedding"} & metadata.keys()


def test_same_concept_same_bytes_in_another_process(path: Path) -> None:
    save(gizmo(), path)
    program = (
        "import sys, pathlib; from tests.concepts import gizmo; from limner.concept_file import save;"
        "save(gizmo(), pathlib.Path(sys.argv[1]))"
    )
    other = path.with_name("other.safetensors")
    subprocess.run([sys.executable, "-c", program, str(other)], check=True, cwd=Path(__file__).parent.parent)
    assert fingerprint(other) == fingerprint(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_summary_reads_the_header_alone(path: Path) -> None:
    save(FULL, path)
    found = summary(path)
    assert (found.name, found.about, found.adapters, found.changes) == ("gizmo", FULL.about, 7, 2)
    assert found.words == {"positive": 3, "negative": 2}


def test_fingerprint_of_nothing(path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        fingerprint(path)


def test_full_disk_leaves_the_old_file(path: Path) -> None:
    save(gizmo(adapters=False), path)
    before = path.read_bytes()
    with pytest.raises(LimnerError, match="could not write"), small_disk(4000):
        save(FULL, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        save(FULL, tmp_path / "none" / "a.safetensors")


ROWS = np.zeros((1, 4), np.float32)
DOWN, UP = np.zeros((2, 4), np.float32), np.zeros((4, 2), np.float32)


def with_words(**sides: Any) -> Concept:
    return Concept("a", {side: {"text_encoder": rows} for side, rows in sides.items()})  # pyright: ignore[reportArgumentType]


def with_factors(down: Any, up: Any, scale: float = 1.0, module: str = UNET_KEY) -> Concept:
    return Concept("a", {}, {"both": {module: Factors(down, up, scale)}})


BAD = {
    "nothing in it": Concept("a", {"positive": {}}),
    "65 words": with_words(positive=np.zeros((65, 4), np.float32)),
    "one dimension": with_words(positive=np.zeros(4, np.float32)),
    "words of both": with_words(both=ROWS),
    "words not finite": with_words(positive=np.full((1, 4), np.nan, np.float32)),
    "strange encoder": Concept("a", {"positive": {"text_encoder_3": ROWS}}),
    "as many": Concept("a", {"positive": {"text_encoder": ROWS, "text_encoder_2": np.zeros((2, 4), np.float32)}}),
    "ranks differ": with_factors(DOWN, np.zeros((4, 3), np.float32)),
    "three dimensions": with_factors(np.zeros((2, 4, 1), np.float32), UP),
    "rank 1025": with_factors(np.zeros((1025, 1), np.float32), np.zeros((1, 1025), np.float32)),
    "infinite": with_factors(np.full((2, 4), np.inf, np.float32), UP),
    "too large for half": with_factors(np.full((2, 4), 70000, np.float32), UP),
    "scale": with_factors(DOWN, UP, float("nan")),
    "module": with_factors(DOWN, UP, module="unet../etc/passwd"),
    "no module": with_factors(DOWN, UP, module="vae.conv_in"),
    "change": Concept("a", {}, changes={"unet.a": np.full(3, np.inf, np.float32)}),
    "name": Concept("../a", {"positive": {"text_encoder": ROWS}}),
    "brackets": Concept("<a>", {"positive": {"text_encoder": ROWS}}),
    "like": replace(gizmo(), about=About(like="a\x1b[2J")),
    "long": replace(gizmo(), about=About(base="x" * 501)),
    "guidance": replace(gizmo(), about=About(guidance=float("inf"))),
    "curve": replace(gizmo(), about=About(curve=[(0, float("nan"))])),
    "preview": replace(gizmo(), preview=b"GIF89a" + b"\0" * 100),
    "large preview": replace(gizmo(), preview=concepts.png(257)),
}


@pytest.mark.parametrize("concept", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_saved(concept: Concept, path: Path) -> None:
    with pytest.raises(BadInput):
        save(concept, path)
    assert not path.exists()


def refused(content: bytes, path: Path) -> BadInput:
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is not a concept: ") as caught:
        load(path)
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert caught.value.hint
    return caught.value


def good(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    save(gizmo(), path)
    tensors, metadata = read_tensors(path)
    return dict(tensors), dict(metadata)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("concept") / "a.safetensors"
    save(gizmo(), path)
    return path.read_bytes()


@WITH_FILES
@given(data=st.data())
def test_cut_anywhere(content: bytes, path: Path, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, 64) | st.integers(0, len(content) - 1))
    refused(content[:end], path)


@WITH_FILES
@given(data=st.data())
def test_flipped_bytes_are_refused_or_give_a_sound_concept(content: bytes, path: Path, data: st.DataObject) -> None:
    header = 8 + struct.unpack("<Q", content[:8])[0]
    place = st.integers(0, header - 1) | st.integers(0, len(content) - 1)
    changed = bytearray(content)
    for at in data.draw(st.lists(place, min_size=1, max_size=4)):
        changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        concept = load(path)
    except BadInput:
        return
    save(concept, path)
    assert concepts.same_words(load(path), concept)


@WITH_FILES
@given(st.binary(max_size=200), st.integers(0, 2**64 - 1) | st.integers(0, 200))
def test_rubbish_with_any_header_length(path: Path, body: bytes, length: int) -> None:
    refused(struct.pack("<Q", length) + body, path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@WITH_FILES
@given(JSON)
def test_any_json_as_header(path: Path, value: Any) -> None:
    text = json.dumps(value).encode()
    refused(struct.pack("<Q", len(text)) + text, path)


@WITH_FILES
@given(JSON)
def test_any_json_as_recipe(path: Path, value: Any) -> None:
    refused(encode({"words.positive.text_encoder": ROWS}, {"limner.concept": json.dumps({"about": value})}), path)


def entry(shape: list[Any], offsets: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HEADERS: dict[str, Mapping[str, Any]] = {
    "beyond the end": {"a": entry([8], [0, 32])},
    "the same bytes twice": {"a": entry([4], [0, 16]), "b": entry([4], [0, 16])},
    "a gap": {"a": entry([3], [4, 16])},
    "backwards": {"a": entry([4], [16, 0])},
    "negative": {"a": entry([-4], [0, 16])},
    "shape and bytes": {"a": entry([5], [0, 16])},
    "huge shape": {"a": entry([2**63, 2**63], [0, 16])},
    "empty": {"a": entry([0, 2**60], [0, 0]), "b": entry([4], [0, 16])},
    "unknown type": {"a": entry([16], [0, 16], "F8_E4M3")},
    "deep": {"a": entry([1] * 40, [0, 16])},
    "text for numbers": {"a": entry(["4"], ["0", "16"])},
    "float offsets": {"a": entry([4], [0.0, 16.0])},
    "metadata of numbers": {"__metadata__": {"a": 1}, "a": entry([4], [0, 16])},
    "metadata like a tensor": {"__metadata__": entry([4], [0, 16])},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_headers_that_lie(header: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(header).encode()
    refused(struct.pack("<Q", len(text)) + text + b"\0" * 16, path)


def test_deep_json(path: Path) -> None:
    text = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    refused(struct.pack("<Q", len(text)) + text, path)


def test_header_over_four_mebibytes(path: Path) -> None:
    text = b'{"__metadata__":{"a":"' + b"x" * MAX_HEADER_BYTES + b'"}}'
    assert "too large" in refused(struct.pack("<Q", len(text)) + text, path).message


def test_file_over_four_gibibytes_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        file.truncate(5 * 2**30)  # a hole: it takes no space
    with pytest.raises(BadInput, match="too large"):
        load(path)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "a-neg", "con", "", "x" * 5000, None, 3, ["a"], "a\x1b"]
)
def test_names_in_the_metadata(name: Any, path: Path) -> None:
    tensors, metadata = good(path)
    own = json.loads(metadata["limner.concept"]) | {"name": name}
    refused(encode(tensors, metadata | {"limner.concept": json.dumps(own)}), path)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: tensors | {name: np.asarray(value, np.float32)}


def drop(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


ADAPTER = f"adapters.positive.{UNET_KEY}"
TENSORS = {
    "unknown kind": put("vae.conv_in", [1]),
    "unknown side": put(f"adapters.sideways.{UNET_KEY}.down", [[1]]),
    "unknown factor": put(f"{ADAPTER}.middle", [[1]]),
    "words of both": put("words.both.text_encoder", [[1]]),
    "no side": put("words", [[1]]),
    "no up": drop(f"{ADAPTER}.up"),
    "no scale": drop(f"{ADAPTER}.scale"),
    "scale of two": put(f"{ADAPTER}.scale", [1, 2]),
    "NaN": put("words.positive.text_encoder", [[np.nan, 1]]),
    "infinite scale": put(f"{ADAPTER}.scale", np.inf),
    "flat words": put("words.positive.text_encoder", [1, 2]),
    "scalar factor": put(f"{ADAPTER}.down", 1),
    "many words": put("words.positive.text_encoder", np.zeros((65, 2))),
    "path": put("changes.unet/../../x", [1]),
    "control characters": put("changes.\x1b[2J", [1]),
}


@pytest.mark.parametrize("change", TENSORS.values(), ids=TENSORS.keys())
def test_tensors_that_do_not_belong(change: Callable[[dict[str, Any]], dict[str, Any]], path: Path) -> None:
    tensors, metadata = good(path)
    refused(encode(change(tensors), metadata), path)


@pytest.mark.parametrize(
    "change",
    [
        {"limner.concept": "[]"},
        {"limner.concept": "{"},
        {"limner.concept": '{"name": "a"}'},
        {"limner.concept": '{"name": "a", "about": {"kind": "person"}}'},
        {"limner.concept": '{"name": "a", "about": {"guidance": NaN}}'},
        {"limner.concept": '{"name": "a", "about": {"like": "a\\nb"}}'},
        {"limner.concept": '{"name": "a", "about": {"curve": [[1]]}}'},
        {"modelspec.thumbnail": "https://example.org/a.png"},
        {"modelspec.thumbnail": "data:image/png;base64,AAAA"},
    ],
)
def test_metadata_that_cannot_be_read(change: dict[str, str], path: Path) -> None:
    tensors, metadata = good(path)
    refused(encode(tensors, metadata | change), path)


def test_files_of_others_and_none(path: Path, tmp_path: Path) -> None:
    assert "another program" in refused(encode({"emb_params": ROWS}, {}), path).message
    for other in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(BadInput, match="is not a concept: it cannot be read"):
            load(other)


def test_a_newer_recipe_with_more_in_it_is_read(path: Path) -> None:
    tensors, metadata = good(path)
    own = json.loads(metadata["limner.concept"])
    own["about"]["weather"] = "fine"
    path.write_bytes(encode(tensors, metadata | {"limner.concept": json.dumps(own)}))
    assert load(path).about == gizmo().about
