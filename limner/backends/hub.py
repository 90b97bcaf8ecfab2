"""Where a model's files come from, and the checks they pass before anything is loaded from them.

A source is `embedded:NAME` (weights inside the package), a local folder, or a Hugging Face id `owner/name`.
Only JSON, text and safetensors files are ever fetched or read. The checks refuse what could run code or reach
out to another place: pickled weights, code referred to from a config, adapters that redirect to another model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from diffusers.utils import logging as diffusers_logging
from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from transformers.utils import logging as transformers_logging

from limner.types import ModelUnavailable

WEIGHTS = Path(__file__).resolve().parent.parent / "world" / "weights"
_EMBEDDED = re.compile(r"embedded:([\w-]*)")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHARD = re.compile(r"[\w.-]+\.safetensors")
_PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_MAX_CONFIG_BYTES = 8 * 2**20
_LARGE_TABLES = {"tokenizer.json", "vocab.json"}
# Keys with which a config makes a library import code from the model's folder or from the hub.
_CODE_KEYS = {"auto_map", "custom_pipeline", "custom_pipelines", "quantization_config", "trust_remote_code"}
_PLAIN_ATTENTION = (None, "eager", "sdpa")


def model_folder(source: str, *, files: Sequence[str], default: str = "") -> Path:
    """Return the folder that holds `source`, fetching `files` (glob patterns) from the hub when it is an id.

    `default` is the embedded model meant by a bare `embedded:`. HF_HUB_OFFLINE and HF_HOME are honoured; a
    local folder never touches the network. Raises ModelUnavailable when there is no such model or it is
    neither cached nor within reach.
    """
    if embedded := _EMBEDDED.fullmatch(source):
        return _existing(WEIGHTS / (embedded[1] or default), source)
    local = Path(source).expanduser()
    if local.is_dir() or not _HUB_ID.fullmatch(source):
        return _existing(local, source)
    return _fetched(source, files)


def _existing(folder: Path, source: str) -> Path:
    if not source or not folder.is_dir():
        raise ModelUnavailable(
            f"no model at {source!r}", "give a folder that exists, a Hugging Face id owner/name, or embedded:"
        )
    return folder


def _fetched(source: str, files: Sequence[str]) -> Path:
    try:
        folder = snapshot_download(source, allow_patterns=list(files), ignore_patterns=["*.fp16.*", "*.non_ema.*"])
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise ModelUnavailable(
            f"{source} is not in the hub cache and could not be fetched ({type(error).__name__})",
            "connect once without HF_HUB_OFFLINE, copy the cache here and set HF_HOME, give a local folder, "
            "or use the model embedded:",
        ) from error
    return Path(folder)


def check_configs(folder: Path) -> None:
    """Refuse a model whose configs refer to code or to other models; raises ModelUnavailable naming the file."""
    for path in sorted(folder.rglob("*.json")):
        if path.name == "adapter_config.json":
            raise ModelUnavailable(f"{path} redirects to another model", "merge the adapter into the weights first")
        if path.name not in _LARGE_TABLES:
            _check_config(path, read_json(path))


def _check_config(path: Path, content: Any) -> None:
    for key, value in _entries(content):
        attention = key.lstrip("_").startswith("attn_implementation") and value not in _PLAIN_ATTENTION
        if (key in _CODE_KEYS and value) or attention:
            raise ModelUnavailable(f"{path} asks to run code ({key!r})", "Limner only loads models without code")
        if key == "weight_map" and not all(_SHARD.fullmatch(str(name)) for _, name in _entries(value)):
            raise ModelUnavailable(f"{path} lists weights that are not safetensors files beside it")


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of every object inside a JSON value, at any depth."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            table = cast(dict[str, Any], item)
            yield from table.items()
            waiting.extend(table.values())
        elif isinstance(item, list):
            waiting.extend(cast(list[Any], item))


def read_json(path: Path) -> Any:
    """Read a config file of at most 8 MiB; raises ModelUnavailable when it is missing, larger or not JSON."""
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ModelUnavailable(f"{path} is too large for a config")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{path} cannot be read as JSON ({type(error).__name__})") from error


def check_weights(folder: Path) -> None:
    """Refuse a folder without weights in well-formed safetensors files; raises ModelUnavailable."""
    files = weight_files(folder)
    if not files:
        pickled = next((path.name for path in sorted(folder.iterdir()) if path.suffix in _PICKLED), None)
        found = f"only has pickled weights ({pickled}), which can run code" if pickled else "has no weights"
        raise ModelUnavailable(f"{folder} {found}", "convert the model to safetensors")
    for path in files:
        _check_header(path)


def _check_header(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(f"{path} is not a safetensors file ({error})", "fetch or convert it again") from error


def not_loadable(folder: Path, error: Exception) -> ModelUnavailable:
    """What to raise for a folder that passed the checks and that its library could not load all the same."""
    reason = str(error).strip().partition("\n")[0]
    return ModelUnavailable(f"{folder} could not be loaded: {reason}", "fetch or convert the model again")


def quieten() -> None:
    """Keep the libraries' progress bars and their advice to programmers off the user's terminal."""
    for log in (diffusers_logging, transformers_logging):
        log.set_verbosity_error()
        log.disable_progress_bar()


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files directly inside `folder`, sorted by name."""
    return sorted(folder.glob("*.safetensors"))


def content_hash(files: Sequence[Path]) -> str:
    """The first 16 hex digits of a sha256 over the files' contents, in the given order.

    Names do not enter, so a renamed model keeps its hash. Each file is read once per process for as long
    as its size and time of change stay the same.
    """
    whole = hashlib.sha256()
    for path in files:
        state = path.stat()
        whole.update(_digest(path, state.st_size, state.st_mtime_ns))
    return whole.hexdigest()[:16]


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, mtime_ns: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
