"""Settings merge in one order, and every bad value is told in one line with where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from limner.config import Settings, TextToImageRole, load_profile, load_settings, profile_names
from limner.types import BadInput


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tests must not read the developer's own configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "limner"


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "limner.toml"
    file.write_text("count = 2\nsteps = 2\nrounds = 2")
    settings = load_settings(
        {"count": 4, "steps": None}, file=file, environment={"LIMNER_COUNT": "3", "LIMNER_STEPS": "3"}
    )
    assert (settings.count, settings.steps, settings.rounds) == (4, 3, 2)


def test_users_file_is_read_without_being_named(own_home: Path) -> None:
    own_home.mkdir(parents=True)
    (own_home / "config.toml").write_text('size = "512x384"')
    assert load_settings(environment={}).size == (512, 384)


def test_config_file_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("threshold = 'auto'\nguidance = 0.0")
    settings = load_settings(environment={"LIMNER_CONFIG": str(file)})
    assert settings.threshold is None
    assert settings.guidance == 0.0


def test_openai_variables_are_honoured_and_the_key_stays_secret() -> None:
    settings = load_settings(environment={"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert settings.openai_base_url == "http://127.0.0.1:1/v1"
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-1"
    assert "sk-1" not in repr(settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().count = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"guidance": float("nan")}, "--guidance should be a finite number"),
        ({"guidance": -1.0}, "--guidance should be greater"),
        ({"count": 0}, "--count should be greater than or equal to 1, not 0"),
        ({"count": -3}, "--count should be"),
        ({"rounds": 0}, "--rounds should be"),
        ({"steps": 0}, "--steps should be"),
        ({"size": "0x8"}, "--size should be"),
        ({"size": "30x8"}, "--size should be a multiple of 8"),
        ({"size": "big"}, "--size should be WIDTHxHEIGHT"),
        ({"seed": -1}, "--seed should be"),
        ({"threshold": "high"}, "--threshold should be a valid number"),
        ({"threshold": "nan"}, "--threshold should be a finite number"),
        ({"colour": 1}, "--colour is not a setting"),
    ],
)
def test_bad_flag(flags: dict[str, object], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        load_settings(flags, environment={})


def test_unknown_variable_lists_what_exists() -> None:
    with pytest.raises(BadInput, match="LIMNER_MODLE is not a setting.*settings: model, ") as caught:
        load_settings(environment={"LIMNER_MODLE": "sd15"})
    assert caught.value.exit_code == 2


def test_bad_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("count = ")
    with pytest.raises(BadInput, match=r"bad\.toml is not TOML"):
        load_settings(file=file, environment={})
    file.write_text("conut = 3")
    with pytest.raises(BadInput, match=r"bad\.toml: conut is not a setting"):
        load_settings(file=file, environment={})
    with pytest.raises(BadInput, match="cannot read .*absent"):
        load_settings(file=tmp_path / "absent.toml", environment={})


def test_built_in_profiles_load() -> None:
    assert {"embedded", "sd15", "sdxl"} <= set(profile_names())
    assert load_profile("sd15").scorer.threshold == 0.2
    assert load_profile("sdxl").text_to_image.size == (1024, 1024)
    assert load_profile("embedded").text_to_image.source == "embedded:stable-diffusion"
    assert load_profile("sd15").editor.source == "timbrooks/instruct-pix2pix"


def test_users_own_profile_comes_beside_the_built_in_ones(own_home: Path) -> None:
    (own_home / "profiles").mkdir(parents=True)
    mine = own_home / "profiles" / "mine.toml"
    mine.write_text('[text_to_image]\nsource = "a/b"\n[scorer]\nsource = "c/d"')
    assert load_profile("mine").scorer.source == "c/d"
    assert load_profile("mine").detector.source == "embedded:detector"
    mine.write_text('[text_to_image]\nsource = "a/b"\nsteps = 0\n[scorer]\nsource = "c/d"')
    with pytest.raises(BadInput, match=r"mine\.toml: text_to_image\.steps should be"):
        load_profile("mine")


def test_model_may_be_a_folder_or_a_hub_id(tmp_path: Path) -> None:
    assert load_profile(str(tmp_path)).text_to_image.source == str(tmp_path)
    profile = load_profile("owner/name", scorer="own/clip")
    assert (profile.text_to_image.source, profile.scorer.source) == ("owner/name", "own/clip")


def test_unknown_profile_lists_what_exists() -> None:
    with pytest.raises(BadInput, match=r"unknown model 'sd16' \(profiles: embedded, sd15, sdxl"):
        load_profile("sd16")


@pytest.mark.parametrize("rivals", [((),), (("flat style", ""),)])
def test_a_rival_has_names(rivals: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        TextToImageRole(source="embedded:stable-diffusion", rivals=rivals)
