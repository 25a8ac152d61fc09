"""A run is a pure function of inputs, settings and seed: same bytes, whatever the threads, row order or kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from uicgpu.cli.main import call
from uicgpu.runs.folder import sha256_file

OPTIONS = ["--model", "minilm", "--label-column", "group", "-k", "4", "--bootstrap", "200"]


def hashes(run: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every artefact; the manifest holds seconds and is left out."""
    found = {
        str(path.relative_to(run)): sha256_file(path)
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in {"manifest.json", ".lock", *without} and "scratch" not in path.parts
    }
    return found


def stages_that_ran(run: Path) -> dict[str, Any]:
    stages: dict[str, Any] = json.loads((run / "manifest.json").read_text())["stages"]
    return stages


def test_a_second_run_does_nothing(finished: Path, generated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert call(["run", *generated.options(), *OPTIONS, "--out", str(finished)]) == 0
    assert "nothing to do" in capsys.readouterr().err
    changed = {path.name for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed <= {"manifest.json", ".lock"}


def test_bytes_depend_neither_on_threads_nor_on_row_order(finished: Path, generate_shop: Any, tmp_path: Path) -> None:
    shuffled = generate_shop(tmp_path / "shop", shuffled=True)
    out = tmp_path / "run"
    assert call(["run", *shuffled.options(), *OPTIONS, "--threads", "1", "--out", str(out), "--quiet"]) == 0
    # The report and the manifest name the hashes of the input files, and those do differ between the two orders.
    expected = hashes(finished, without=("report.html",))
    assert hashes(out, without=("report.html",)) == expected


def test_a_changed_setting_recomputes_only_what_depends_on_it(generated: Any, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["run", *generated.options(), *OPTIONS, "--out", str(out), "--quiet"]
    assert call(arguments) == 0
    assert hashes(out) == hashes(finished)
    before = stages_that_ran(out)
    assert call([*arguments, "--top", "5"]) == 0
    after = stages_that_ran(out)
    rerun = {name for name in after if after[name] != before[name]}
    assert {"recommend", "report"} <= rerun
    assert rerun.isdisjoint({"clean", "items", "encode", "interests", "cluster", "profiles"})


def _kill_somewhere(arguments: list[str], seconds: float) -> bool:
    """Start a run, kill it after ``seconds``; tell whether it was still running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uicgpu", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    time.sleep(seconds)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


@pytest.mark.parametrize("kills", [pytest.param(3, id="3"), pytest.param(20, id="20", marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing(kills: int, generated: Any, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["run", *generated.options(), *OPTIONS, "--out", str(out), "--quiet"]
    chance = random.Random(11)
    for _ in range(kills):
        done_before = {name for name, entry in _stages(out).items() if entry["status"] == "done"}
        _kill_somewhere(arguments, chance.uniform(0.3, 6.0))
        done_after = {name for name, entry in _stages(out).items() if entry["status"] == "done"}
        assert done_before <= done_after
    assert call(arguments) == 0
    assert hashes(out) == hashes(finished)


def _stages(run: Path) -> dict[str, Any]:
    manifest = run / "manifest.json"
    return json.loads(manifest.read_text())["stages"] if manifest.exists() else {}


def test_two_runs_on_one_folder_do_not_mix(generated: Any, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from uicgpu.runs.folder import RunFolder

    with RunFolder(finished).lock():
        assert call(["run", *generated.options(), *OPTIONS, "--out", str(finished), "--quiet"]) == 1
    assert "another process" in capsys.readouterr().err


def test_interrupt_is_exit_code_130_and_resumable(generated: Any, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["run", *generated.options(), *OPTIONS, "--out", str(out), "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "uicgpu", *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while _stages(out).get("clean", {}).get("status") != "done" and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert call(arguments) == 0
    assert hashes(out) == hashes(finished)
