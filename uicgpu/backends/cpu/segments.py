"""Weighted sums per segment on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.segment_reduce import cpu as kernel
from uicgpu.kernels.segment_reduce import pool
from uicgpu.kernels.segment_reduce.repeated import RepeatedSum


def segment_sum(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: NDArray[Any], threads: int
) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.segment_sum`."""
    return kernel.segment_sum(
        offsets, indices, weights, vectors, run=lambda part, parts: run_in_order(part, parts, threads)
    )


def segment_pool(
    offsets: NDArray[np.int64],
    indices: NDArray[Any],
    weights: NDArray[Any],
    vectors: NDArray[Any],
    unit: bool,
    threads: int,
) -> NDArray[np.float32]:
    """See :meth:`uicgpu.backends.interface.Backend.segment_pool`."""
    return pool.segment_pool(
        offsets, indices, weights, vectors, unit, run=lambda part, parts: run_in_order(part, parts, threads)
    )


def repeated_sum(
    points: NDArray[Any], weights: NDArray[np.float32], count: int, threads: int
) -> Callable[[NDArray[np.int32]], NDArray[np.float64]]:
    """See :meth:`uicgpu.backends.interface.Backend.repeated_sum`."""
    return RepeatedSum(points, weights, count, run=lambda part, parts: run_in_order(part, parts, threads))
