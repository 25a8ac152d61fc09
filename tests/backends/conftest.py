"""Backends to test: the float64 reference, the CPU, and the CUDA twin on doubles of the GPU libraries."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from uicgpu.backends import choose_backend, probe
from uicgpu.backends.reference import ReferenceBackend


def _load_doubles():
    folder = Path(__file__).parent / "doubles"
    spec = importlib.util.spec_from_file_location(
        "gpu_doubles", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_doubles"] = module
    spec.loader.exec_module(module)


_load_doubles()


@pytest.fixture(autouse=True)
def fresh_probe():
    """Forget what the probe found before and after each test."""
    for cached in (probe.probe_device, probe.library_failure):
        cached.cache_clear()
    yield
    for cached in (probe.probe_device, probe.library_failure):
        cached.cache_clear()


@pytest.fixture(params=["26.06", "26.10"])
def gpu(request, monkeypatch):
    """A pretended device with the libraries of one RAPIDS version."""
    from gpu_doubles.libraries import install

    return install(monkeypatch, request.param)


@pytest.fixture(params=["reference", "cpu", "cpu-1-thread", "cuda-26.06", "cuda-26.10", "cuda-26.10-triton"])
def backend(request, monkeypatch):
    """Every implementation of the operations."""
    if request.param == "reference":
        return ReferenceBackend()
    if request.param.startswith("cpu"):
        return choose_backend("cpu", threads=1 if request.param.endswith("thread") else 2)
    from gpu_doubles.libraries import install

    _, version, *triton = request.param.split("-")
    install(monkeypatch, version, triton=bool(triton))
    return choose_backend("cuda", threads=2)
