"""Reports of fake runs, and a browser to look at them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from uicgpu.bench import chromium
from uicgpu.report import build_report
from uicgpu.report.picture import find_browser


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser() -> ModuleType:
    """The module that drives Chromium; skips where none is installed."""
    if find_browser() is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return chromium


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Build a report and return its file URL."""
    folder = Path(__file__).parents[1] / "report"
    write = _load("uicgpu_fake_run", folder / "fake_run.py").write_fake_run

    def make(**options: object) -> str:
        run = write(tmp_path_factory.mktemp("run"), **options)
        path = run / "report.html"
        path.write_text(build_report(run), encoding="utf-8")
        return path.as_uri()

    return make


@pytest.fixture(scope="session")
def payloads() -> tuple[str, ...]:
    """Texts that would run a script or load something if they were not escaped."""
    import json

    path = Path(__file__).parents[1] / "report" / "payloads.json"
    return tuple(json.loads(path.read_text(encoding="utf-8")))
