"""How much memory a piece of work used, and how large a block may be."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Start a new measurement of the process's peak memory, where the kernel allows it."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        # Containers may forbid it; the peak then covers the whole process, which is an upper bound.
        return


def peak_bytes() -> int:
    """Return the peak resident memory since :func:`reset_peak`, bytes."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
