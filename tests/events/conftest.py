"""Shared by the tests of this room: a CPU backend and a short way to clean a piece of text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Backend
from uicgpu.events.clean import CleanEvents, clean_events
from uicgpu.settings import Settings


@pytest.fixture(scope="session")
def backend() -> Backend:
    return choose_backend("cpu", threads=1)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes as a file and return its path."""

    def write_file(content: str | bytes, name: str = "events.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write_file


@pytest.fixture
def clean(write: Callable[..., Path], backend: Backend, tmp_path: Path) -> Callable[..., CleanEvents]:
    """Write a file and clean it; settings are keywords, ``notes`` collects what was reported."""

    def clean_text(
        content: str | bytes, name: str = "events.csv", notes: list[str] | None = None, **settings: Any
    ) -> CleanEvents:
        path = write(content, name)
        said = notes if notes is not None else []
        return clean_events(Settings(events=[str(path)], **settings), backend, tmp_path / "scratch", said.append)

    return clean_text
