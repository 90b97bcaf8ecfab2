"""Settings and profiles: TOML, environment and flags, read once into one frozen `Settings`.

Later wins: the defaults here, then the TOML file, then `LIMNER_*` variables, then flags. A profile
names the models that play each role; `--model` takes a profile, a local folder or a hub id.
Sessions lie in `data` unless `database_url` (SQLAlchemy) and `blobs_url` (fsspec) say otherwise; a database's password
is a secret, and so is a server's `token`. HF_HOME and HF_HUB_OFFLINE are honoured by huggingface_hub itself.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from limner.types import BadInput

PREFIX = "LIMNER_"
_PROFILES = Path(__file__).parent / "profiles"
Given = tuple[object, str]  # a value and where it came from, for messages
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _size(value: object) -> object:
    """Take "512x384" apart; anything else is left to pydantic."""
    match = re.fullmatch(r"(\d+)x(\d+)", value) if isinstance(value, str) else None
    if isinstance(value, str) and match is None:
        raise ValueError("should be WIDTHxHEIGHT in pixels, such as 512x384")
    return (match[1], match[2]) if match else value


def _names(value: object) -> object:
    """Take "a, b" apart, as variables have lists."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _auto(value: object) -> object:
    return None if value == "auto" else value


Side = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_size)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Guidance = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Threshold = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(_Frozen):
    """Everything that can be set. Each field is a TOML key, a `LIMNER_*` variable and mostly a flag.

    `None` means «decide for me»: by the profile, then by the model, then by the machine.
    """

    model: str = "embedded"
    scorer: str | None = None
    llm: str = "rules"
    llm_timeout: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60.0
    count: Annotated[int, Field(ge=1, le=10_000)] | None = None
    text_guidance: Guidance | None = None
    image_guidance: Guidance | None = None
    rounds: Annotated[int, Field(ge=1, le=100)] = 4
    threshold: Annotated[Threshold | None, BeforeValidator(_auto)] = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    steps: Steps | None = None
    guidance: Guidance | None = None
    negative_prompt: Annotated[str, Field(max_length=4000)] | None = None
    size: Size | None = None
    baseline: bool = False
    metadata: bool = True
    out: Path | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    workers: Annotated[int, Field(ge=1)] = 1
    cache: Path = Field(default_factory=lambda: platformdirs.user_cache_path("limner"))
    ask: Literal["never", "needed", "often"] = "needed"
    mode: Literal["rewrite", "edit", "auto"] = "auto"
    writer: str | None = None
    database_url: SecretStr | None = None
    blobs_url: str | None = None
    data: Path = Field(default_factory=lambda: platformdirs.user_data_path("limner"))
    term_program: str = ""
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8417
    allow_host: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    token: SecretStr | None = None
    tokens_file: Path | None = None
    queue: Annotated[int, Field(ge=1, le=10_000)] = 64


class TextToImageRole(_Frozen):
    """Which model draws, and what it is asked for when nobody says otherwise.

    `rivals` are styles that rule each other out, each by its names: whoever names one is guided away from the others.
    """

    source: str
    steps: Steps | None = None
    guidance: Guidance | None = None
    size: Size | None = None
    rivals: tuple[Names, ...] = ()


class ScorerRole(_Frozen):
    """Which model scores; without a `threshold` the scorer's own calibration decides."""

    source: str
    threshold: Threshold | None = None


class DetectorRole(_Frozen):
    """Which model finds what words name; without a `threshold` (0 to 1) its own counts."""

    source: str
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class SourceRole(_Frozen):
    """Which model plays a role that has nothing to set."""

    source: str


class TasteRole(_Frozen):
    """Which CLIP scores pictures for DiffChat's tables: its tokenizer and preprocessing may come from `processor`, and
    `head` (a file, a folder or a hub id) reads its features."""

    source: str
    processor: str = ""
    head: str = ""


class EditorRole(_Frozen):
    """Which model edits by instruction, and with which scales (s_T and s_I) when nobody says otherwise."""

    source: str
    steps: Steps | None = None
    text_guidance: Guidance | None = None
    image_guidance: Guidance | None = None
    size: Size | None = None


class LearningRole(_Frozen):
    """How concepts are learned on a profile's model when nobody says otherwise; see `train.concept.options`."""

    steps: Annotated[int, Field(ge=1)] | None = None
    rate: Rate | None = None
    adapter_rate: Rate | None = None
    whole_rate: Rate | None = None
    decoder: Literal["full", "light"] | None = None


class Profile(_Frozen):
    """The models of each role under one name; the embedded ones look and edit where a profile does not say."""

    name: str
    description: str = ""
    text_to_image: TextToImageRole
    scorer: ScorerRole
    detector: DetectorRole = DetectorRole(source="embedded:detector")
    segmenter: SourceRole = SourceRole(source="embedded:segmenter")
    captioner: SourceRole = SourceRole(source="embedded:captioner")
    editor: EditorRole = EditorRole(source="embedded:editor")
    learning: LearningRole = LearningRole()
    aesthetic: TasteRole | None = None
    preference: TasteRole | None = None
    hps: TasteRole | None = None


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Merge file, environment and flags (flags of value None were not given) into one Settings.

    `file` is LIMNER_CONFIG or the user's `limner/config.toml` unless named; only a named one must exist.
    Raises BadInput that names the key, where it came from and what would do.
    """
    variables = dict(os.environ if environment is None else environment)
    named = file or (Path(variables["LIMNER_CONFIG"]) if variables.get("LIMNER_CONFIG") else None)
    path = named or platformdirs.user_config_path("limner") / "config.toml"
    given = _from_file(path) if named or path.is_file() else {}
    given |= _from_environment(variables)
    given |= {key: (value, "--" + key.replace("_", "-")) for key, value in (flags or {}).items() if value is not None}
    try:
        return Settings.model_validate({key: value for key, (value, _) in given.items()})
    except ValidationError as error:
        raise _explain(error, Settings, {key: origin for key, (_, origin) in given.items()}) from None


def profile_names() -> list[str]:
    """The profiles that exist, the user's own after the built-in ones."""
    return list(_profile_files())


def load_profile(name: str, scorer: str | None = None) -> Profile:
    """The profile for `--model NAME`: a profile's name, a local folder, or a hub id.

    A folder or hub id draws; all other roles are sd15's, unless `scorer` names another source.
    Raises BadInput for a name that is none of the three, and for a malformed profile.
    """
    files = _profile_files()
    if name in files:
        profile = _read_profile(name, files[name])
    elif Path(name).expanduser().is_dir() or _HUB_ID.fullmatch(name):
        source = TextToImageRole(source=str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name)
        others = _read_profile("sd15", files["sd15"])
        profile = others.model_copy(update={"name": name, "description": "", "text_to_image": source})
    else:
        raise BadInput(f"unknown model {name!r}", f"profiles: {', '.join(files)}; or a local folder, or owner/name")
    return profile if scorer is None else profile.model_copy(update={"scorer": ScorerRole(source=scorer)})


def _profile_files() -> dict[str, Path]:
    folders = [_PROFILES, platformdirs.user_config_path("limner") / "profiles"]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def _read_profile(name: str, path: Path) -> Profile:
    try:
        return Profile.model_validate({"name": name, **_read_toml(path)})
    except ValidationError as error:
        raise _explain(error, Profile, {}, str(path)) from None


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}") from None


def _from_file(path: Path) -> dict[str, Given]:
    return {key: (value, f"{path}: {key}") for key, value in _read_toml(path).items()}


def _from_environment(variables: Mapping[str, str]) -> dict[str, Given]:
    ours = (name for name in variables if name.startswith(PREFIX) and name != "LIMNER_CONFIG")
    shared = [name for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TERM_PROGRAM") if variables.get(name)]
    found = {name.lower(): name for name in shared} | {name.removeprefix(PREFIX).lower(): name for name in ours}
    return {key: (variables[name], name) for key, name in found.items()}


def _explain(error: ValidationError, model: type[BaseModel], origins: Mapping[str, str], file: str = "") -> BadInput:
    """The first of pydantic's complaints as one line; the value of a secret is never repeated."""
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    origin = origins.get(str(first["loc"][0]), f"{file}: {key}")
    if first["type"] == "extra_forbidden":
        return BadInput(f"{origin} is not a setting", f"settings: {', '.join(model.model_fields)}")
    shown = "" if "api_key" in key or key in ("database_url", "token") else f", not {first['input']!r}"
    reason = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return BadInput(f"{origin} {reason}{shown}")
