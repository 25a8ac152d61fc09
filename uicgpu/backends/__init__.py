"""One door to the device: :func:`choose_backend` probes once and returns the CPU or the CUDA twin.

The twins :mod:`uicgpu.backends.cpu` and :mod:`uicgpu.backends.cuda` have the same files and functions. Every operation
is declared in :mod:`uicgpu.backends.interface`. The CUDA twin is contract-tested against the recorded signatures of the
RAPIDS libraries; it was not executed on a GPU.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from uicgpu.backends.interface import Assignment, Backend
from uicgpu.errors import MissingDeviceError, SettingsError

if TYPE_CHECKING:
    from uicgpu.backends.probe import Probe

__all__ = ["Assignment", "Backend", "choose_backend"]

DEFAULT_MEMORY = 4 * 2**30
"""Budget of one operation's working set, bytes, when the caller names none."""


def choose_backend(
    device: str = "auto", threads: int | None = None, memory: int | None = None, probe: Probe | None = None
) -> Backend:
    """Return the backend for ``device``.

    Parameters
    ----------
    device
        ``cpu`` imports no GPU library. ``cuda`` or ``cuda:N`` needs a device that passes the probe. ``auto`` takes the
        GPU if the probe passes, else the CPU; ``reason`` of the result says why in one sentence.
    threads
        Host threads; default: those this process may use.
    memory
        Budget in bytes for one operation's working set; default 4 GiB.
    probe
        What is known of the device already; default: it is probed in this process.

    Raises
    ------
    MissingDeviceError
        ``cuda`` was asked for and no device answers.
    SettingsError
        Any other device name, or a number below 1.
    """
    kind, colon, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and (kind != "cuda" or not number.isdecimal())):
        raise SettingsError(f"unknown device {device!r}", fix="use auto, cpu, cuda or cuda:N")
    threads = len(os.sched_getaffinity(0)) if threads is None else threads
    memory = DEFAULT_MEMORY if memory is None else memory
    if threads < 1 or memory < 1:
        raise SettingsError(f"threads and memory must be 1 or more: got {threads} and {memory}")
    if kind == "cpu":
        return _cpu("The CPU was asked for.", threads, memory)
    from uicgpu.backends.probe import INSTALL_GPU, probe_device

    probe = probe or probe_device(int(number or 0))
    if probe.available:
        from uicgpu.backends.cuda import CudaBackend

        return CudaBackend(probe, threads, memory)
    if kind == "cuda":
        raise MissingDeviceError(
            f"no usable GPU for device {device!r}: {probe.reason}",
            fix=f"{INSTALL_GPU} (needs an NVIDIA driver 580 or newer), or use device cpu",
        )
    return _cpu(f"No GPU is usable ({probe.reason}), so the CPU is used.", threads, memory)


def _cpu(reason: str, threads: int, memory: int) -> Backend:
    from uicgpu.backends.cpu import CpuBackend

    return CpuBackend(reason, threads, memory)
