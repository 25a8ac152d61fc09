"""How speeds are measured here: arms in turn, the same work in each, medians, and the machine beside the figures.

On a shared machine wall-clock ratios can be off by a factor of two. So the first figure is the processor time of this
process at one thread, the arms take turns (A B C A B C …) so that a slow minute hits all of them, and a round whose
turn was disturbed only moves a median.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Literal

from uicgpu.runs.folder import write_json
from uicgpu.version import __version__

FLAGS_THAT_MATTER = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "sentence-transformers", "onnxruntime", "onnx", "openvino")
Clock = Literal["processor", "wall"]
REST = 0.1
"""Seconds before a turn whose wall time is taken: threads of OpenMP keep their core busy for a while after their last
task, and would slow down whoever comes next."""
IDLE = 1.6
"""Load average, this process included, below which wall time is worth taking."""


@dataclass(frozen=True)
class Arm:
    """One way of doing the work.

    Attributes
    ----------
    name
        As it stands in the result.
    run
        Does all of the work once; what it returns is kept.
    warm_up
        Does a little of it, unmeasured, before the first round.
    """

    name: str
    run: Callable[[], Any]
    warm_up: Callable[[], object] = lambda: None


def take_turns(
    arms: list[Arm], rounds: int, threads: int, clock: Clock, say: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Run the arms in turn, ``rounds`` times.

    Parameters
    ----------
    threads
        Threads of torch while an arm runs.
    clock
        ``processor``: seconds that this process computed, all threads together. ``wall``: seconds that passed.

    Returns
    -------
    seconds
        Per round, of each arm.
    results
        What each arm returned last.
    """
    results: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    now = time.process_time if clock == "processor" else time.perf_counter
    with torch_threads(threads):
        for arm in arms:
            arm.warm_up()
        for number in range(rounds):
            for arm in arms:
                if clock == "wall":
                    time.sleep(REST)
                start = now()
                results[arm.name] = arm.run()
                seconds[arm.name].append(now() - start)
            say(f"{clock} time, {threads} thread(s): round {number + 1} of {rounds}")
    return seconds, results


def summary(seconds: Mapping[str, list[float]], reference: str) -> dict[str, dict[str, float]]:
    """Return per arm its median, extremes, and how many times slower than ``reference`` it is.

    The ratio is the median of the ratios of single rounds: what happens to the machine in a round hits both arms.
    """
    told = {}
    for name, values in seconds.items():
        ratios = [value / other for value, other in zip(values, seconds[reference], strict=True)]
        told[name] = {
            "median_seconds": round(median(values), 4),
            "least_seconds": round(min(values), 4),
            "most_seconds": round(max(values), 4),
            "times_reference": round(median(ratios), 4),
        }
    return told


def is_idle() -> bool:
    """Whether wall time is worth taking; to be asked before the first arm, which is a load itself."""
    return os.getloadavg()[0] < IDLE


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use ``threads`` threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, Any]:
    """Return what a reader needs to place the figures: processor, flags, load, versions."""
    lines = _lines("/proc/cpuinfo")
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    versions = {"uicgpu": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS_THAT_MATTER if flag in flags],
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "versions": versions,
    }


def forget_peak() -> None:
    """Let :func:`peak_bytes` tell of what follows only, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """The most memory that this process held since its start, or since :func:`forget_peak`."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result file, atomically and with sorted keys."""
    write_json(path, dict(result))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
