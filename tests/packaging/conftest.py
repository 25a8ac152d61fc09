"""The project folder as the packaging tests see it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the tests do not run inside the project folder")
    return ROOT


@pytest.fixture(scope="session")
def sources(root: Path) -> list[Path]:
    """Every source file of the product, each once (not through the links in ``uicgpu/``)."""
    links = {root / "uicgpu" / "kernels", root / "uicgpu" / "bench"}
    files = [file for room in ("uicgpu", "kernels", "bench") for file in sorted((root / room).rglob("*.py"))]
    return [file for file in files if not links & set(file.parents)]
