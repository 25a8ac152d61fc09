"""Settings: precedence, sources, and errors that suggest the right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from uicgpu.errors import SettingsError
from uicgpu.settings import Settings, resolve_settings


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("top = 1\nseed = 1\nhalf-life = 30\n[cluster]\nk = 7\n[kind_weights]\nview = 1\nbuy = 4\n")
    resolved = resolve_settings(
        {"top": "3", "noise": None}, file, {"UICGPU_TOP": "2", "UICGPU_SEED": "2", "UICGPU_TEST_DATA": "x", "HOME": "y"}
    )
    settings = resolved.settings
    assert (settings.top, settings.seed, settings.half_life, settings.k, settings.noise) == (3, 2, 30.0, 7, "assign")
    assert settings.kind_weights == {"view": 1.0, "buy": 4.0}
    sources = [resolved.sources[name] for name in ("top", "seed", "half_life", "noise")]
    assert sources == ["flag", "environment", "file", "default"]


def test_an_unknown_key_names_the_nearest_right_one(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("halflife = 3\n")
    with pytest.raises(SettingsError, match="halflife") as caught:
        resolve_settings({}, file, {})
    assert "half_life" in (caught.value.fix or "")
    assert str(file) in (caught.value.where or "")


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ({"half_life": "0"}, "--half-life"),
        ({"kind_weights": "view"}, "--kind-weights"),
        ({"kind_weights": "view=-1"}, "--kind-weights"),
        ({"k": "many"}, "--k"),
        ({"memory": "8 apples"}, "--memory"),
        ({"device": "tpu"}, "--device"),
        ({"item_pattern": "("}, "--item-pattern"),
        ({"split": "loo"}, "--split"),
    ],
)
def test_an_impossible_value_is_exit_code_2_and_names_the_option(flags: dict[str, str], place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_settings(flags, environment={})
    assert place in (caught.value.where or "")
    assert caught.value.exit_code == 2


def test_a_wrong_environment_value_names_the_variable() -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_settings({}, environment={"UICGPU_TOP": "0"})
    assert "UICGPU_TOP" in (caught.value.where or "")


@pytest.mark.parametrize("content", ["top = ", b"\xff\xfe\x00"])
def test_an_unreadable_file_is_a_clear_error(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match="TOML"):
        resolve_settings({}, file, {})
    with pytest.raises(SettingsError, match="not found"):
        resolve_settings({}, tmp_path / "other.toml", {})


def test_settings_survive_a_round_trip() -> None:
    settings = resolve_settings(
        {"events": ("a.csv",), "kind_weights": "view=1", "k": "auto", "memory": "1GiB"}, environment={}
    ).settings
    assert Settings(**settings.model_dump(mode="json")) == settings


def test_every_setting_is_described() -> None:
    missing = [name for name, field in Settings.model_fields.items() if not field.description]
    assert missing == []
