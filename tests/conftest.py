"""What every test shares: real data when it is there, and a machine that is not touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One BLAS thread, as the command line sets it: results must not depend on the machine's cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data sets: ``$UICGPU_TEST_DATA``, else ``../shared/data``; skips when there is none."""
    named = os.environ.get("UICGPU_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data here: set UICGPU_TEST_DATA to a folder with the data sets")
    return folder
