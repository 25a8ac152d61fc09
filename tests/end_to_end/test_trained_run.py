"""``uicgpu run --train``: training is a stage like any other, and a run without it is what it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import uicgpu as uic
from uicgpu.cli.main import call


@pytest.fixture(scope="session")
def arguments(generated, embedded_model: str, vector_cache: Path) -> list[str]:
    given = ["run", *generated.options(), "--model", embedded_model, "-k", "4", "--bootstrap", "100", "--tune", "off"]
    return [*given, "--stability-runs", "0", "--train", "--recipe", "whiten"]


@pytest.fixture(scope="session")
def trained(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "trained"
    assert call([*arguments, "--out", str(out), "--quiet"]) == 0
    return out


def test_the_encoder_of_the_run_is_there_and_said(trained: Path) -> None:
    run = uic.open_run(trained)
    told = run.facts("train")
    assert told["trained"]
    assert told["ships"] in ("frozen", "half-whitened")
    assert run.facts("encode")["model"] == "minilm after behaviour"
    assert json.loads((trained / "stages" / "training.json").read_text())["gate"]["reason"] == told["reason"]
    assert str(trained) not in json.dumps({name: run.facts(name) for name in run.manifest["stages"]})
    assert uic.Encoder(trained / "encoder", device="cpu").encode(["red torch"]).shape == (1, 384)


def test_the_same_command_again_does_nothing(trained: Path, arguments, capsys) -> None:
    assert call([*arguments, "--out", str(trained)]) == 0
    assert "every stage is up to date" in capsys.readouterr().err


def test_a_trained_run_recommends_what_it_stored(trained: Path, capsys) -> None:
    assert call(["recommend", str(trained), "--user", "u017", "--top", "12", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    stored = uic.open_run(trained).recommendations
    mine = [row["item_id"] for row in stored.iter_rows(named=True) if row["user_id"] == "u017"]
    assert [row["item_id"] for row in rows][: len(mine)] == mine


def test_new_users_are_encoded_with_the_trained_encoder(trained: Path, generated, tmp_path: Path) -> None:
    out = tmp_path / "assigned.parquet"
    assert call(["assign", str(trained), "--events", str(generated.events), "--out", str(out), "--quiet"]) == 0
    assert out.is_file()


def test_a_foreign_encoder_is_refused(trained: Path, tmp_path: Path, capsys) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    weights = copy / "encoder" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(bytes(content))
    assert call(["recommend", str(copy), "--user", "u017", "--top", "12"]) == 1
    assert "not the one that this run wrote" in capsys.readouterr().err


def test_without_train_nothing_is_trained(finished: Path) -> None:
    assert uic.open_run(finished).facts("train") == {"trained": False}
    assert not (finished / "encoder").exists()
