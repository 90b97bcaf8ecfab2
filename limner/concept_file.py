"""A learned concept as one safetensors file that carries its own recipe.

Tensors: `words.SIDE.ENCODER` (n, dim) in float32; `adapters.SIDE.MODULE.down` and `.up` in float16 with `.scale`;
`changes.PARAMETER` in float16. Metadata: the keys of ModelSpec 1.0.1, which other programs show, with the preview as
thumbnail; and `limner.concept`, JSON of the name and of all that About knows.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from limner.concept import SIDES, About, Array, Concept, Factors, Side, check_name
from limner.concept_checks import blamed, check
from limner.image.files import write_whole
from limner.tensorfile import encode, read_header, read_tensors
from limner.types import BadInput

OWN = "limner.concept"
"""The key of the metadata by which a file of Limner's is known."""
_THUMBNAIL = "data:image/png;base64,"
_HINT = "give a file that Limner saved, or import it if another program did"
_ABOUT = TypeAdapter(About)
_TABLE: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Summary:
    """What a concept's header says, without reading its tensors: `words[side]` counts the pseudo-words."""

    name: str
    about: About
    words: Mapping[Side, int]
    adapters: int
    changes: int


def save(concept: Concept, path: Path, *, date: str = "") -> None:
    """Write the concept whole or not at all; the same concept (and `date`, ISO 8601) gives the same bytes.

    Raises BadInput when `load` would refuse it or the folder cannot be written to, LimnerError on a full disk.
    """
    with blamed(f"{concept.word} cannot be saved"):
        check(concept)
        tensors = _tensors(concept)
    own = json.dumps({"name": concept.name, "about": asdict(concept.about)}, sort_keys=True, allow_nan=False)
    hint = f"{concept.word} in the prompt; its negative side is added by Limner"
    card = modelspec(concept, concept.name, concept.word, hint=hint, date=date, preview=concept.preview)
    write_whole(path, encode(tensors, card | {OWN: own}))


def load(path: Path) -> Concept:
    """Read what `save` wrote. Raises BadInput, whatever else the file may be; nothing in it is trusted or run."""
    with blamed(f"{path} is not a concept", _HINT):
        tensors, metadata = read_tensors(path)
        name, about = _own(metadata)
        concept = Concept(
            name,
            _words(tensors),
            _adapters(tensors),
            {key.removeprefix("changes."): value for key, value in tensors.items() if key.startswith("changes.")},
            about,
            _preview(metadata.get("modelspec.thumbnail", "")),
        )
        check(concept)
        return concept


def summary(path: Path) -> Summary:
    """Name, recipe and sizes from the header alone; raises BadInput like `load`, but tensors are not looked at."""
    with blamed(f"{path} is not a concept", _HINT):
        header = read_header(path)
        name, about = _own(header.metadata)
        words: dict[Side, int] = {}
        for key, entry in header.entries.items():
            if key.startswith("words."):
                words[_word_key(key)[0]] = entry.shape[0] if entry.shape else 0
        downs = sum(key.startswith("adapters.") and key.endswith(".down") for key in header.entries)
        return Summary(name, about, words, downs, sum(key.startswith("changes.") for key in header.entries))


def fingerprint(path: Path) -> str:
    """The sha256 of the file, 64 hex digits. Raises BadInput when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error


def digest(concept: Concept) -> str:
    """A sha256 of its numbers alone, 64 hex digits: of two concepts that bear one name, whether they draw the same."""
    told = hashlib.sha256()
    for name, values in sorted(_tensors(concept).items()):
        told.update(f"{name} {values.dtype} {values.shape}\n".encode() + values.tobytes())
    return told.hexdigest()


def rounded(concept: Concept) -> Concept:
    """The concept as its file will give it back: adapters and changes in half precision.

    Raises BadInput for values over 65504, which half precision cannot hold.
    """
    with blamed(f"{concept.word} cannot be saved"):
        adapters = {side: {name: _rounded(each) for name, each in table.items()} for side, table in _sides(concept)}
        changes = {name: _half(value).astype(np.float32) for name, value in concept.changes.items()}
    return replace(concept, adapters=adapters, changes=changes)


def _rounded(factors: Factors) -> Factors:
    down, up = (_half(matrix).astype(np.float32) for matrix in (factors.down, factors.up))
    return Factors(down, up, float(np.float32(factors.scale)))


def _half(values: Array) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise BadInput("it has values that half precision cannot hold", "learn it again at a lower learning rate")
    return half


def _sides(concept: Concept) -> Iterable[tuple[Side, Mapping[str, Factors]]]:
    return ((side, concept.adapters[side]) for side in SIDES if side in concept.adapters)


def modelspec(
    concept: Concept,
    title: str,
    phrase: str,
    *,
    negative: bool = False,
    adapter: bool = False,
    hint: str = "",
    date: str = "",
    preview: bytes = b"",
) -> dict[str, str]:
    """ModelSpec's metadata of a file with the concept or one side of it; empty values are left out."""
    base = {"sd": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base"}[concept.about.family]
    kind = "lora" if adapter or not any(concept.words.values()) else "textual-inversion"
    values = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{base}/{kind}",
        "implementation": "diffusers",
        "title": title,
        "trigger_phrase": phrase,
        "is_negative_embedding": str(negative).lower() if kind == "textual-inversion" else "",
        "usage_hint": hint,
        "date": date,
        "thumbnail": _THUMBNAIL + base64.b64encode(preview).decode() if preview else "",
    }
    return {f"modelspec.{key}": value for key, value in values.items() if value}


def _tensors(concept: Concept) -> dict[str, npt.NDArray[Any]]:
    tensors: dict[str, npt.NDArray[Any]] = {}
    for side, words in concept.words.items():
        tensors |= {f"words.{side}.{encoder}": vectors.astype(np.float32) for encoder, vectors in words.items()}
    for side, table in _sides(concept):
        for module, factors in table.items():
            stem = f"adapters.{side}.{module}"
            tensors |= {f"{stem}.down": _half(factors.down), f"{stem}.up": _half(factors.up)}
            tensors[f"{stem}.scale"] = np.asarray(factors.scale, np.float32)
    return tensors | {f"changes.{name}": _half(value) for name, value in concept.changes.items()}


def _own(metadata: Mapping[str, str]) -> tuple[str, About]:
    """Name and recipe out of the metadata."""
    if OWN not in metadata:
        raise BadInput("another program wrote it")
    try:
        own = _TABLE.validate_json(metadata[OWN])
        about = _ABOUT.validate_python(own.get("about"))
    except (ValidationError, RecursionError) as error:
        reason = error.errors()[0]["msg"].lower() if isinstance(error, ValidationError) else "nested too deeply"
        raise BadInput(f"its recipe cannot be read: {reason}") from error
    name = own.get("name")
    return check_name(name[:80] if isinstance(name, str) else ""), replace(about, curve=tuple(about.curve))


def _words(tensors: Mapping[str, Array]) -> dict[Side, dict[str, Array]]:
    words: dict[Side, dict[str, Array]] = {}
    for key in tensors:
        if key.startswith("words."):
            side, encoder = _word_key(key)
            words.setdefault(side, {})[encoder] = tensors[key]
    return words


def _word_key(key: str) -> tuple[Side, str]:
    _, side, encoder = [*key.split(".", 2), "", ""][:3]
    if side not in ("positive", "negative"):
        raise BadInput(f"it has a tensor {key[:80]!r}")
    return cast(Side, side), encoder


def _adapters(tensors: Mapping[str, Array]) -> dict[Side, dict[str, Factors]]:
    found: dict[tuple[str, str], dict[str, Array]] = {}
    for key, tensor in tensors.items():
        kind, _, rest = key.partition(".")
        side, _, stem = rest.partition(".")
        module, _, role = stem.rpartition(".")
        if kind == "adapters" and side in SIDES and role in ("down", "up", "scale"):
            found.setdefault((side, module), {})[role] = tensor
        elif kind not in ("words", "changes") or not rest:
            raise BadInput(f"it has a tensor {key[:80]!r}")
    adapters: dict[Side, dict[str, Factors]] = {}
    for (side, module), roles in found.items():
        if len(roles) < 3 or roles["scale"].ndim:
            raise BadInput(f"{module[:80]!r} has no down, up or scale")
        adapters.setdefault(cast(Side, side), {})[module] = Factors(roles["down"], roles["up"], float(roles["scale"]))
    return adapters


def _preview(thumbnail: str) -> bytes:
    try:
        return base64.b64decode(thumbnail.removeprefix(_THUMBNAIL), validate=True)
    except ValueError as error:
        raise BadInput("its preview cannot be read") from error
