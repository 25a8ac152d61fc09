"""What several files of kernel tests share."""

import importlib.util
import sys
from pathlib import Path

import pytest

from uicgpu.kernels.assign import screened


def _load_checks():
    spec = importlib.util.spec_from_file_location("screened_checks", Path(__file__).parent / "screened_checks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["screened_checks"] = module
    spec.loader.exec_module(module)


_load_checks()


@pytest.fixture(params=["remembered", "grouped"])
def way(request, monkeypatch):
    """Both ways to keep bounds in screened assignment, whatever the number of centroids."""
    monkeypatch.setattr(screened, "MOST_REMEMBERED", 10**6 if request.param == "remembered" else 0)
    return request.param
