"""Whether a GPU answers: decided by touching the device, never by whether an import works.

The RAPIDS wheels import on a machine without a GPU, and each library fails there with an exception class of its own, so
everything but KeyboardInterrupt and SystemExit is caught. An abort of the process cannot be caught: calls that may
abort come only after the device has computed something, and :func:`probe_in_child` asks in another process.

Not executed on a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache

import numpy as np

from uicgpu.errors import MissingExtraError

MIN_CAPABILITY = (7, 5)
"""Turing: the oldest architecture of the CUDA 13 wheels."""
TRITON_CAPABILITY = (8, 0)
"""Ampere: for Turing, Triton 3.9 compiles our kernels without tensor cores and spills."""
INSTALL_GPU = 'pip install "uicgpu[gpu]" -c requirements/gpu-cu13.txt'
"""The exact install line, with the constraints file of the proven pin set."""


@dataclass(frozen=True)
class Probe:
    """What the probe of one device found.

    Attributes
    ----------
    available
        The device computed a small array and the result came back right.
    reason
        Why it is available or not, in one line.
    name, compute_capability, memory_bytes, driver
        The device's own words; None when it does not answer. ``driver`` is the CUDA version the driver supports.
    """

    available: bool
    reason: str
    number: int = 0
    name: str | None = None
    compute_capability: tuple[int, int] | None = None
    memory_bytes: int | None = None
    driver: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    """Per library: ``"ok"`` or why it cannot use the device. Filled by :func:`probe_libraries`."""


@cache
def probe_device(number: int = 0) -> Probe:
    """Probe device ``number`` through CuPy; the answer is kept for the life of the process."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Probe(False, "CUDA_VISIBLE_DEVICES hides every GPU", number)
    facts: dict[str, object] = {}
    reason = _reason(lambda: _touch(number, facts))
    if reason:
        return Probe(False, reason, number, **facts)  # type: ignore[arg-type]  # the facts found before it failed
    return Probe(True, f"{facts['name']} answers", number, **facts)  # type: ignore[arg-type]


def _touch(number: int, facts: dict[str, object]) -> None:
    import cupy

    if not cupy.cuda.is_available():
        raise NoDeviceError("CuPy finds no CUDA device (no driver, or a driver without a GPU)")
    count = cupy.cuda.runtime.getDeviceCount()
    if number >= count:
        raise NoDeviceError(f"there is no GPU {number}: CUDA counts {count}")
    properties = cupy.cuda.runtime.getDeviceProperties(number)
    capability = (int(properties["major"]), int(properties["minor"]))
    version = int(cupy.cuda.runtime.driverGetVersion())
    facts.update(
        name=properties["name"].decode(),
        compute_capability=capability,
        memory_bytes=int(properties["totalGlobalMem"]),
        driver=f"{version // 1000}.{version % 1000 // 10}",
    )
    if capability < MIN_CAPABILITY:
        raise NoDeviceError(f"{facts['name']} has compute capability {capability[0]}.{capability[1]}, 7.5 is needed")
    with cupy.cuda.Device(number):
        host = np.arange(1000, dtype=np.float32)
        result = cupy.asarray(host) * 2 + 1
        cupy.cuda.Stream.null.synchronize()
        if not np.array_equal(cupy.asnumpy(result), host * 2 + 1):
            raise NoDeviceError(f"{facts['name']} returned a wrong result for 2 x + 1")


class NoDeviceError(Exception):
    """The device does not answer; never leaves this module."""


def _reason(step: Callable[[], None]) -> str:
    """Run a step; return "" or the class and first line of what it raised."""
    try:
        step()
    except (KeyboardInterrupt, SystemExit):
        raise
    except NoDeviceError as error:
        return str(error)
    except BaseException as error:  # these libraries share no exception class
        first = (str(error).strip() or "no message").splitlines()[0]
        return f"{type(error).__name__}: {first}"
    return ""


@cache
def library_failure(library: str, number: int = 0) -> str:
    """Return "" if ``library`` (torch, triton, faiss, rmm, polars, cuml) can use the device, else why not; kept.

    Only for a device that passed :func:`probe_device`: FAISS aborts the process on some broken drivers.
    """
    probe = probe_device(number)
    return _reason(lambda: _CHECKS[library](number)) if probe.available else probe.reason


def _check_torch(number: int) -> None:
    import torch

    if not torch.cuda.is_available():
        raise NoDeviceError("this PyTorch sees no GPU (a CPU build?)")
    if number >= torch.cuda.device_count():
        raise NoDeviceError(f"PyTorch sees no GPU {number}")


def _check_triton(number: int) -> None:
    import triton  # noqa: F401

    _check_torch(number)
    capability = probe_device(number).compute_capability or (0, 0)
    if capability < TRITON_CAPABILITY:
        raise NoDeviceError(f"compute capability {capability[0]}.{capability[1]}, 8.0 is needed")


def _check_faiss(number: int) -> None:
    import faiss

    if not hasattr(faiss, "StandardGpuResources"):
        raise NoDeviceError("this FAISS is a CPU build")
    if number >= faiss.get_num_gpus():
        raise NoDeviceError(f"FAISS sees no GPU {number}")


def _check_rmm(number: int) -> None:
    import rmm.mr

    rmm.mr.get_current_device_resource()


def _check_polars(number: int) -> None:
    import polars as pl

    engine = pl.GPUEngine(device=number, raise_on_fail=True, executor="in-memory")
    if pl.LazyFrame({"x": [1, 2]}).select(pl.col("x").sum()).collect(engine=engine).item() != 3:
        raise NoDeviceError("the cuDF engine returned a wrong sum")


def _check_cuml(number: int) -> None:
    import cuml.cluster  # noqa: F401  its device is CuPy's, which has answered


_CHECKS: dict[str, Callable[[int], None]] = {
    "torch": _check_torch,
    "triton": _check_triton,
    "faiss": _check_faiss,
    "rmm": _check_rmm,
    "polars": _check_polars,
    "cuml": _check_cuml,
}


def need_library(library: str, number: int) -> None:
    """Raise MissingExtraError unless ``library`` can use the device."""
    failure = library_failure(library, number)
    if failure:
        raise MissingExtraError(f"{library} cannot use the GPU: {failure}", fix=INSTALL_GPU)


def probe_libraries(number: int = 0) -> Probe:
    """Probe the device and then every library; takes some seconds for the imports."""
    probe = probe_device(number)
    libraries = {name: library_failure(name, number) or "ok" for name in _CHECKS} if probe.available else {}
    return Probe(**{**asdict(probe), "libraries": libraries})


def probe_in_child(number: int = 0, timeout: float = 300) -> Probe:
    """Run :func:`probe_libraries` in a child process, which survives a library that aborts.

    Parameters
    ----------
    timeout
        Seconds to wait.
    """
    command = [sys.executable, "-c", _CHILD, str(number)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return Probe(False, f"the probe did not answer within {timeout:.0f} s", number)
    lines = child.stdout.strip().splitlines()
    if child.returncode < 0 or not lines:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        ended = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
        return Probe(False, f"a GPU library ended the probe ({ended}): {last}", number)
    facts = json.loads(lines[-1])
    capability = facts.pop("compute_capability")
    return Probe(**facts, compute_capability=tuple(capability) if capability else None)


def knows_bf16() -> bool:
    """Tell whether the GPU computes in bfloat16."""
    import torch

    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported())


_CHILD = """
import dataclasses, json, sys
from uicgpu.backends.probe import probe_libraries
sys.stdout.write(json.dumps(dataclasses.asdict(probe_libraries(int(sys.argv[1])))) + "\\n")
"""
