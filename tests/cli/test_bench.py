"""``uicgpu bench``: predictions without measuring, wrong names, results as JSON and as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.cli.main import call


def test_an_estimate_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", "--estimate", "--users", "5000", "--json", "--out", str(tmp_path / "e.json")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["work"]["users"] == 5000
    assert "predicted" in told["status"]
    assert json.loads((tmp_path / "e.json").read_text()) == told


def test_an_estimate_for_people_is_one_figure_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", "--estimate"]) == 0
    assert "hardware.H100.encode.predicted_seconds:" in capsys.readouterr().out


def test_an_unknown_benchmark_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", "encoder"]) == 2
    assert "there are: encode" in capsys.readouterr().err


def test_a_benchmark_is_run_with_the_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}

    def measured(name, *, count, rounds, say):
        seen.update(name=name, count=count, rounds=rounds)
        return {"figure": 1}

    monkeypatch.setattr("uicgpu.bench.run_benchmark", measured)
    out = tmp_path / "r.json"
    assert call(["bench", "encode", "--rounds", "2", "--texts", "30", "--out", str(out), "-q"]) == 0
    assert seen == {"name": "encode", "count": 30, "rounds": 2}
    assert json.loads(out.read_text()) == {"figure": 1}
    assert call(["bench", "encode", "--out", str(tmp_path / "r.txt")]) == 2
