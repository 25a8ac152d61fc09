"""Weighted sums per segment on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.segment_reduce import cpu as kernel


def segment_sum(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: NDArray[Any], threads: int
) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.segment_sum`."""
    return kernel.segment_sum(
        offsets, indices, weights, vectors, run=lambda part, parts: run_in_order(part, parts, threads)
    )
