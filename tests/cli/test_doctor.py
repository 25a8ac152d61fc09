"""``uicgpu doctor`` asks the GPU in another process, and tells what each library there says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from uicgpu.backends.probe import Probe, probe_device
from uicgpu.cli.main import call


@pytest.fixture
def cupy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a CuPy of these lines before everything else, for child processes alone."""

    def write(lines: str) -> None:
        (tmp_path / "cupy.py").write_text(lines)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
        monkeypatch.setitem(sys.modules, "cupy", None)  # this process must not even import it
        probe_device.cache_clear()

    yield write
    probe_device.cache_clear()


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert call(["doctor", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_driver_that_aborts_does_not_end_the_doctor(cupy, capsys: pytest.CaptureFixture[str]) -> None:
    cupy("import os, sys\nsys.stderr.write('stub driver\\n')\nsys.stderr.flush()\nos.abort()\n")
    seen = told(capsys)
    assert seen["backend"] == "cpu (cpu)"
    assert "a GPU library ended the probe (signal 6): stub driver" in str(seen["because"])


def test_cuda_with_such_a_driver_is_exit_code_4(cupy, capsys: pytest.CaptureFixture[str]) -> None:
    cupy("import os\nos.abort()\n")
    assert call(["doctor", "--device", "cuda"]) == 4
    assert "signal 6" in capsys.readouterr().err


def test_cpu_starts_no_other_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("uicgpu.backends.probe.probe_in_child", lambda number: pytest.fail("probed"))
    assert told(capsys, "--device", "cpu")["because"] == "The CPU was asked for."


def test_every_library_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = Probe(False, "no driver", 1, libraries={"torch": "ok", "faiss": "this FAISS is a CPU build"})
    asked = []
    monkeypatch.setattr("uicgpu.backends.probe.probe_in_child", lambda number: asked.append(number) or found)
    seen = told(capsys, "--device", "auto")
    assert seen["GPU in torch"] == "ok" and seen["GPU in faiss"] == "this FAISS is a CPU build"
    assert asked == [0]
