"""Nearest and second-nearest centroid on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Assignment
from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.assign import cpu as kernel
from uicgpu.kernels.assign.screened import RepeatedAssign


def assign(points: NDArray[Any], centroids: NDArray[Any], threads: int) -> Assignment:
    """See :meth:`uicgpu.backends.interface.Backend.assign`; points may have any dtype and strides."""
    return Assignment(*kernel.assign(points, centroids, run=lambda tile, parts: run_in_order(tile, parts, threads)))


def repeated_assign(points: NDArray[Any], threads: int, memory: int) -> Callable[[NDArray[Any]], NDArray[np.int32]]:
    """See :meth:`uicgpu.backends.interface.Backend.repeated_assign`."""
    return RepeatedAssign(points, run=lambda tile, parts: run_in_order(tile, parts, threads), memory=memory)
