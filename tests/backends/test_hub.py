import json
import pickle
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from limner.backends.diffusion import load_text_to_image
from limner.backends.hardware import Plan
from limner.backends.hub import WEIGHTS, content_hash, model_folder, weight_files
from limner.backends.vision import load_scorer
from limner.protocols import DrawRequest
from limner.types import ModelUnavailable

PLAN = Plan("cpu", 1, "float32", "")
LOADERS = {"stable_diffusion": load_text_to_image, "clip": load_scorer}


class Bomb:
    """Writes the canary file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _write_canary, (str(self.canary),)


def _write_canary(path: str) -> None:
    Path(path).touch()


def plant_code(folder: Path, canary: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(f"import pathlib\npathlib.Path({str(canary)!r}).touch()\nclass Evil: pass\n")


def change(path: Path, **entries: Any) -> None:
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | entries))


def pickled(folder: Path, canary: Path, name: str, *, keep: bool = False) -> None:
    """Put a pickled bomb among the weights, or in their place."""
    if not keep:
        for weights in weight_files(folder):
            weights.unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(canary)))


def weights_in(folder: Path) -> Path:
    """The part of a checkpoint that holds weights and a config.json: a scorer is its own only part."""
    return folder / "unet" if (folder / "unet").is_dir() else folder


def only_bin(folder: Path, canary: Path) -> None:
    pickled(weights_in(folder), canary, "diffusion_pytorch_model.bin")


def only_torch_bin(folder: Path, canary: Path) -> None:
    pickled(weights_in(folder), canary, "pytorch_model.bin")


def only_ckpt(folder: Path, canary: Path) -> None:
    pickled(weights_in(folder), canary, "model.ckpt")


def only_pt(folder: Path, canary: Path) -> None:
    pickled(weights_in(folder), canary, "model.pt")


def renamed_pickle(folder: Path, canary: Path) -> None:
    pickled(weights_in(folder), canary, weight_files(weights_in(folder))[0].name)


def huge_header(folder: Path, canary: Path) -> None:
    weight_files(weights_in(folder))[0].write_bytes(struct.pack("<Q", 2**62) + b"{}")


def cut_weights(folder: Path, canary: Path) -> None:
    path = weight_files(weights_in(folder))[0]
    path.write_bytes(path.read_bytes()[:-1000])


def auto_map(folder: Path, canary: Path) -> None:
    plant_code(weights_in(folder), canary, "evil.py")
    change(weights_in(folder) / "config.json", auto_map={"AutoModel": "evil.Evil"})


def tokenizer_auto_map(folder: Path, canary: Path) -> None:
    tokenizer = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    plant_code(tokenizer, canary, "evil.py")
    change(tokenizer / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]})


def attention_from_the_hub(folder: Path, canary: Path) -> None:
    change(weights_in(folder) / "config.json", _attn_implementation_internal="evil/kernel")


def nested_attention(folder: Path, canary: Path) -> None:
    change(weights_in(folder) / "config.json", text_config={"attn_implementation": "evil/kernel"})


def quantised(folder: Path, canary: Path) -> None:
    change(weights_in(folder) / "config.json", quantization_config={"quant_method": "evil"})


def adapter(folder: Path, canary: Path) -> None:
    change(weights_in(folder) / "adapter_config.json", base_model_name_or_path="evil/model")


def shards_elsewhere(folder: Path, canary: Path) -> None:
    index = weights_in(folder) / "model.safetensors.index.json"
    change(index, weight_map={"a": "../../elsewhere/model.safetensors"})


def pickled_shards(folder: Path, canary: Path) -> None:
    pickled(weights_in(folder), canary, "shard.bin", keep=True)
    change(weights_in(folder) / "diffusion_pytorch_model.safetensors.index.json", weight_map={"a": "shard.bin"})


def deep_config(folder: Path, canary: Path) -> None:
    (weights_in(folder) / "config.json").write_text("[" * 200_000)


def huge_config(folder: Path, canary: Path) -> None:
    (weights_in(folder) / "config.json").write_text(" " * (9 * 2**20))


def wrong_class(folder: Path, canary: Path) -> None:
    config = folder / "model_index.json"
    change(config if config.exists() else folder / "config.json", _class_name="EvilPipeline", model_type="evil")


HOSTILE = (
    only_bin,
    only_torch_bin,
    only_ckpt,
    only_pt,
    renamed_pickle,
    huge_header,
    cut_weights,
    auto_map,
    tokenizer_auto_map,
    attention_from_the_hub,
    nested_attention,
    quantised,
    adapter,
    shards_elsewhere,
    pickled_shards,
    deep_config,
    huge_config,
    wrong_class,
)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def copied(checkpoints: Path, kind: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoints / kind, tmp_path / kind))


def test_the_bomb_is_live(canary: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists()


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("spoil", HOSTILE)
def test_hostile_checkpoints_are_refused_and_run_nothing(
    checkpoints: Path, tmp_path: Path, canary: Path, spoil: Callable[[Path, Path], None], kind: str
) -> None:
    folder = copied(checkpoints, kind, tmp_path)
    spoil(folder, canary)
    with pytest.raises(ModelUnavailable) as caught:
        LOADERS[kind](str(folder), plan=PLAN)
    assert str(folder) in caught.value.message
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def part_from_a_module(folder: Path, canary: Path) -> None:
    plant_code(folder / "unet", canary, "evil.py")
    change(folder / "model_index.json", unet=["evil", "Evil"])


def pipeline_from_a_file(folder: Path, canary: Path) -> None:
    plant_code(folder, canary, "pipeline.py", "evil.py")
    change(folder / "model_index.json", _class_name=["evil", "Evil"])


def missing_part(folder: Path, canary: Path) -> None:
    shutil.rmtree(folder / "vae")


def no_index(folder: Path, canary: Path) -> None:
    (folder / "model_index.json").unlink()


@pytest.mark.parametrize("spoil", [part_from_a_module, pipeline_from_a_file, missing_part, no_index])
def test_hostile_pipelines_are_refused(
    checkpoints: Path, tmp_path: Path, canary: Path, spoil: Callable[[Path, Path], None]
) -> None:
    folder = copied(checkpoints, "stable_diffusion", tmp_path)
    spoil(folder, canary)
    with pytest.raises(ModelUnavailable):
        load_text_to_image(str(folder), plan=PLAN)
    assert not canary.exists()


def test_pickles_beside_safetensors_are_left_alone(checkpoints: Path, tmp_path: Path, canary: Path) -> None:
    folder = copied(checkpoints, "stable_diffusion", tmp_path)
    for part in ("unet", "vae", "text_encoder"):
        pickled(folder / part, canary, "diffusion_pytorch_model.bin", keep=True)
        pickled(folder / part, canary, "pytorch_model.bin", keep=True)
        plant_code(folder / part, canary, "modeling.py")
    load_text_to_image(str(folder), plan=PLAN).draw([DrawRequest("fox", 1, 1, 1.0, 16, 16)])
    assert not canary.exists()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A machine that believes to be online and isn't; says what it tried to reach."""
    attempts: list[object] = []

    def refuse(*address: object, **_: object) -> None:
        attempts.append(address)
        raise OSError("no network")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl"])
def test_a_local_pipeline_never_asks_the_network(checkpoints: Path, kind: str, tried: list[object]) -> None:
    load_text_to_image(str(checkpoints / kind), plan=PLAN)
    assert tried == []


@pytest.mark.parametrize("kind", ["clip", "blip"])
def test_a_local_scorer_never_asks_the_network(checkpoints: Path, kind: str, tried: list[object]) -> None:
    load_scorer(str(checkpoints / kind), plan=PLAN)
    assert tried == []


def test_an_unreachable_hub_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: list[object]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"owner/model is not in the hub cache.*embedded:") as caught:
        load_text_to_image("owner/model", plan=PLAN)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert tried != []


def test_offline_does_not_even_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: list[object]) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="not in the hub cache"):
        load_scorer("owner/model", plan=PLAN)
    assert tried == []


@pytest.mark.parametrize("offline", [True, False])
def test_a_cached_model_is_loaded_without_the_network(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: list[object], offline: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    repository, commit = tmp_path / "models--owner--model", "0" * 40
    shutil.copytree(checkpoints / "stable_diffusion", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    cached = load_text_to_image("owner/model", plan=PLAN)
    assert cached.model_hash == load_text_to_image(str(checkpoints / "stable_diffusion"), plan=PLAN).model_hash
    assert cached.name == "owner/model"


@pytest.mark.parametrize("source", ["nowhere", "./no/such/folder", "/no/such", "embedded:nothing", "a/b/c", "", "../x"])
def test_a_source_that_is_no_model_is_said(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable, match="no model at"):
        model_folder(source, files=[], default="")


def test_embedded_names_are_folders_of_the_package() -> None:
    assert WEIGHTS.name == "weights"
    with pytest.raises(ModelUnavailable, match="no model at"):
        model_folder("embedded:../../backends", files=[])


def test_the_hash_is_of_contents(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    hashed = content_hash([first, second])
    assert len(hashed) == 16
    assert content_hash([second, first]) != hashed
    renamed = first.rename(tmp_path / "c.safetensors")
    assert content_hash([renamed, second]) == hashed
    second.write_bytes(b"three")
    assert content_hash([renamed, second]) != hashed
