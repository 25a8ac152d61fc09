"""Finished runs to look into, and a key that is not the developer's own."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from uicgpu.report import build_report
from uicgpu.runs.folder import RunFolder


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the key of this test will be."""
    path = tmp_path / "keys" / "pseudonyms.key"
    monkeypatch.setenv("UICGPU_KEY", str(path))
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A finished fake run with its report."""
    source = Path(__file__).parents[1] / "report" / "fake_run.py"
    spec = importlib.util.spec_from_file_location("uicgpu_privacy_fake_run", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["uicgpu_privacy_fake_run"] = module
    spec.loader.exec_module(module)
    made: dict[str, Path] = {}

    def make(**options: object) -> Path:
        key = json.dumps(options, sort_keys=True)
        if key not in made:
            path = module.write_fake_run(tmp_path_factory.mktemp("run") / "run", **options)
            (path / "report.html").write_text(build_report(path), encoding="utf-8")
            folder = RunFolder(path)
            folder.load()
            folder.manifest["stages"]["report"] = {
                "status": "done",
                "facts": {},
                "outputs": {"report.html": folder.describe("report.html")},
            }
            folder.save()
            made[key] = path
        return made[key]

    return make
