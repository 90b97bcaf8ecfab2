"""Concepts to and from other programs: A1111's and diffusers' embeddings, kohya's, diffusers' and PEFT's adapters.

A pair NAME and NAME-neg of files stands for the two sides of a concept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limner.concept import About, Array, Concept, Factors, Side, check_name
from limner.concept_checks import blamed, check
from limner.concept_file import OWN, load
from limner.foreign_files import PEFT_WEIGHTS, Table, Unpickle, read_table, weight_of
from limner.foreign_forms import SDXL_KEYS, Export, contents
from limner.image.files import write_whole
from limner.module_names import PARTS, resolve, spellings
from limner.tensorfile import read_header
from limner.types import BadInput

# Kinds of adapter whose factors mean something else than a LoRA's: half of one would draw nonsense.
_OTHER_KINDS = ("dora_scale", "lora_magnitude_vector", "lora_mid", "hada_", "lokr_")


@dataclass(frozen=True, slots=True)
class Matched:
    """How much of what was read is in the concept: `found` of `total` keys (alphas not counted), and the others."""

    found: int
    total: int
    unknown: tuple[str, ...] = ()


def left_out(concept: Concept, form: Export) -> tuple[str, ...]:
    """What of a concept a form has no place for: «adapters», «changes»."""
    lost = {"adapters": form == "a1111" and any(concept.adapters.values()), "changes": bool(concept.changes)}
    return tuple(name for name, is_lost in lost.items() if is_lost)


def export(concept: Concept, form: Export, folder: Path) -> list[Path]:
    """Write a concept into a folder, made if need be, for another program; returns the files.

    a1111: NAME.safetensors and NAME-neg.safetensors with the words. diffusers: the same for `load_textual_inversion`,
    and NAME.lora.safetensors, NAME-neg.lora.safetensors for `load_lora_weights`. kohya: `Lora/` and `embeddings/`, as
    the programs that read them call these folders. peft: NAME/unet, NAME/text_encoder, NAME-neg/unet, ..., and the
    words as for diffusers. See `left_out`.
    Raises BadInput, before anything is written, when a file is there already or nothing could be written.
    """
    with blamed(f"{concept.word} cannot be exported"):
        check(concept)
    files = {folder / name: content for name, content in contents(concept, form)}
    if not files:
        raise BadInput(f"{concept.word} has nothing that {form} files can hold", "export it in another form")
    if taken := next((path for path in files if path.exists()), None):
        raise BadInput(f"{taken} already exists", "name another folder")
    written: list[Path] = []
    try:
        for path, content in files.items():
            _make(path.parent)
            written.append(path)
            write_whole(path, content)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return list(files)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror}", "name another folder") from error


def read_foreign(
    paths: Sequence[Path], name: str, modules: Mapping[str, tuple[int, ...]], *, unpickle: Unpickle | None = None
) -> tuple[Concept, Matched]:
    """Make a concept of one or more files of other programs, or of one of Limner's own.

    A path may be a folder of PEFT's. `modules` are the weights of the model that it is for and their shapes, by part
    and path. `unpickle` opens `.pt` and `.bin` files; without it they are refused. Raises BadInput for files that
    cannot be read, that do not fit the model or each other, and when no key matches.
    """
    files = [file for path in paths for file in _expanded(path)]
    if len(files) == 1 and _is_own(files[0]):
        concept = replace(load(files[0]), name=check_name(name))
        count = len(read_header(files[0]).entries)
        return concept, Matched(count, count)
    tables = [read_table(file, unpickle) for file in files]
    if own := next((table for table in tables if OWN in table.metadata), None):
        raise BadInput(f"{own.label} is Limner's own and goes with no other file", "import it alone")
    return from_tensors(tables, name, modules)


def _expanded(path: Path) -> list[Path]:
    parts = [path / part / PEFT_WEIGHTS for part in PARTS if (path / part / PEFT_WEIGHTS).is_file()]
    return (parts or [path / PEFT_WEIGHTS]) if path.is_dir() else [path]


def _is_own(path: Path) -> bool:
    try:
        return OWN in read_header(path).metadata
    except BadInput:
        return False


def from_tensors(tables: Sequence[Table], name: str, modules: Mapping[str, tuple[int, ...]]) -> tuple[Concept, Matched]:
    """What `read_foreign` makes of the files' contents; a table whose label ends in «-neg» is the negative side."""
    words: dict[Side, dict[str, Array]] = {}
    adapters: dict[Side, dict[str, Factors]] = {}
    strange: list[str] = []
    names = spellings(modules)
    pairs = {table.label for table in tables if not _is_words(table)}
    for table in tables:
        if _is_words(table):
            _add(words, "negative" if table.label.endswith("-neg") else "positive", _vectors(table, modules), "words")
            continue
        found, others = _factors(table, names, modules)
        strange += others
        _add(adapters, _side(table.label, pairs), found, "adapters")
    unknown = tuple(key[:100] if key.isprintable() else ascii(key[:100]) for key in strange)
    total = len(unknown) + sum(map(len, words.values())) + 2 * sum(map(len, adapters.values()))
    if len(unknown) == total:
        shown = ", ".join(unknown[:3]) or "there are none"
        raise BadInput(f"matched 0 of {total} keys: {shown}", "they are for another model, or no adapter or embedding")
    concept = Concept(check_name(name), words, adapters, about=_about(tables, modules))
    with blamed(f"this cannot be taken over as {concept.word}"):
        check(concept)
    return concept, Matched(total - len(unknown), total, unknown)


def _is_words(table: Table) -> bool:
    keys = set(table.tensors)
    single = len(keys) == 1 and not any(map(weight_of, keys)) and next(iter(table.tensors.values())).ndim in (1, 2)
    return bool(keys) and (single or keys <= set(SDXL_KEYS))


def _vectors(table: Table, modules: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    vectors = {SDXL_KEYS.get(key, "text_encoder"): np.atleast_2d(value) for key, value in table.tensors.items()}
    for encoder, rows in vectors.items():
        width = next((s[1] for path, s in modules.items() if path.startswith(f"{encoder}.") and "q_proj" in path), None)
        if width not in (None, rows.shape[-1]):
            raise BadInput(
                f"the words of {table.label} have {rows.shape[-1]} values, the model's {width}", "another model"
            )
    return vectors


def _side(label: str, labels: set[str]) -> Side:
    """«-neg» is the negative side and its partner the positive one; an adapter without a partner has no side."""
    if label.endswith("-neg"):
        return "negative"
    return "positive" if f"{label}-neg" in labels else "both"


def _add(sides: dict[Side, dict[str, Any]], side: Side, found: Mapping[str, Any], kind: str) -> None:
    if twice := next((key for key in found if key in sides.get(side, {})), None):
        raise BadInput(f"two files give {kind} for {twice}", "import each on its own; NAME-neg is the negative side")
    sides.setdefault(side, {}).update(found)


def _factors(
    table: Table, names: Mapping[str, str], modules: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Factors], list[str]]:
    """The adapters that the model has a module for, and the keys of all else."""
    if other := next((key for key in table.tensors for kind in _OTHER_KINDS if kind in key), None):
        raise BadInput(f"{table.label} is not a plain LoRA: {other[:100]!r}", "save it as plain factors first")
    stems: dict[str, dict[str, str]] = {}
    unknown = [key for key in table.tensors if not weight_of(key) and not key.endswith(".alpha")]
    for key in table.tensors:
        if weight := weight_of(key):
            stems.setdefault(weight[0], {})[weight[1]] = key
    found: dict[str, Factors] = {}
    for stem, keys in stems.items():
        path = resolve(stem, names, table.part)
        if len(keys) == 2 and path and path not in found:
            alpha = table.tensors.get(f"{stem}.alpha")
            down, up = table.tensors[keys["down"]], table.tensors[keys["up"]]
            found[path] = _fitting(stem, down, up, alpha, modules[path])
        else:
            unknown += keys.values()
    return found, unknown


def _fitting(stem: str, down: Array, up: Array, alpha: Array | None, shape: tuple[int, ...]) -> Factors:
    """The factors in the shape of the module's weight; a linear layer and a 1 x 1 convolution stand for each other."""
    rank = len(down) if down.ndim else 0
    if not rank or down.size != rank * math.prod(shape[1:]) or up.size != rank * shape[0] or len(up) != shape[0]:
        raise BadInput(f"{stem[:100]!r} is {down.shape} and {up.shape}, the model's {shape}", "it is for another model")
    if alpha is not None and alpha.size != 1:
        raise BadInput(f"the alpha of {stem[:100]!r} is not a number")
    scale = 1.0 if alpha is None else float(alpha.reshape(())) / rank
    return Factors(down.reshape(rank, *shape[1:]), up.reshape(shape[0], rank), scale)


def _about(tables: Sequence[Table], modules: Mapping[str, tuple[int, ...]]) -> About:
    bases = (table.metadata.get("ss_sd_model_name", "") for table in tables)
    base = next((text for text in bases if text.isprintable() and 0 < len(text) <= 200), "")
    sdxl = any(path.startswith("text_encoder_2.") for path in modules)
    return About(method="imported", base=base, family="sdxl" if sdxl else "sd")
