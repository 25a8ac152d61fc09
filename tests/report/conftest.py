"""A realistic run folder, made once per session."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a fake run folder; equal options give the same folder."""
    write = _load("uicgpu_fake_run", Path(__file__).with_name("fake_run.py")).write_fake_run
    made: dict[str, Path] = {}

    def make(**options: object) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = write(tmp_path_factory.mktemp("run"), **options)
        return made[key]

    return make


def _load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
