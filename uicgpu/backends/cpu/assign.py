"""Nearest and second-nearest centroid on the CPU."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from uicgpu.backends.interface import Assignment
from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.assign import cpu as kernel


def assign(points: NDArray[Any], centroids: NDArray[Any], threads: int) -> Assignment:
    """See :meth:`uicgpu.backends.interface.Backend.assign`; points may have any dtype and strides."""
    return Assignment(*kernel.assign(points, centroids, run=lambda tile, parts: run_in_order(tile, parts, threads)))
