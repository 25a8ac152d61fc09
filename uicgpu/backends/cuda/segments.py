"""Weighted sums per segment on a GPU: no float atomics, so a run can be repeated bit by bit.

Segments are cut into pieces of at most 256 entries (:mod:`uicgpu.kernels.segment_reduce.pieces`), each summed in the
order of its entries in float64; the pieces of a segment are then summed in the same way. Every sum has a fixed order
that depends on the segments' lengths alone, and a segment of one piece has the bits of the CPU. Where Triton can use
the device, its kernel sums a piece per program; without Triton, CuPy adds the ``p``-th entry of every piece at step
``p``. The result is the same.

Not executed on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cuda.arrays import from_torch, to_device, to_float32, to_host, to_torch
from uicgpu.backends.probe import library_failure
from uicgpu.kernels.segment_reduce.cpu import check_segments, cut_segments
from uicgpu.kernels.segment_reduce.pieces import PIECE, cut_pieces


def segment_sum(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: Any, memory: int, number: int
) -> tuple[NDArray[np.float64], str]:
    """Return the sums and the engine that ran: ``triton`` or ``cupy``.

    See :meth:`uicgpu.backends.interface.Backend.segment_sum`.
    """
    engine = "cupy" if library_failure("triton", number) else "triton"
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    check_segments(offsets, indices, weights, vectors.shape[0])
    x = to_float32(vectors)
    d = x.shape[1]
    out = np.zeros((len(offsets) - 1, d), np.float64)
    # partial sums and the gathered step are at most one float64 row per entry or segment, each held twice
    entries = max(PIECE, memory // (48 * d))
    for first, last in cut_segments(offsets, entries):
        for low in range(first, last, entries):
            high = min(low + entries, last)
            start, stop = int(offsets[low]), int(offsets[high])
            rows = to_device(np.ascontiguousarray(indices[start:stop]))
            factors = to_device(np.ascontiguousarray(weights[start:stop], dtype=np.float32))
            inner = offsets[low : high + 1] - start
            if engine == "triton":
                sums = _sum_by_kernel(inner, rows, factors, x, number)
            else:
                sums = _sum_pieces(inner, rows, factors, x)
            out[low:high] = to_host(sums)
    return out, engine


def _sum_by_kernel(offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any, number: int) -> Any:
    import torch

    from uicgpu.kernels.segment_reduce import cuda as kernel

    with torch.cuda.device(number):
        return from_torch(kernel.segment_sum(offsets, to_torch(rows), to_torch(weights), to_torch(x)))


def _sum_pieces(offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any) -> Any:
    """Return the sums of segments given by host offsets and device entries."""
    import cupy

    starts, lengths, of_segment = cut_pieces(offsets)
    pieces = np.diff(of_segment)
    # longest first: the pieces that still have an entry at a step are then a prefix
    order = np.argsort(-lengths, kind="stable")
    sums = cupy.zeros((len(order), x.shape[1]), cupy.float64)
    begin = to_device(starts[order])
    active = len(order) - np.searchsorted(np.sort(lengths), np.arange(1, int(lengths.max(initial=0)) + 1))
    for step, count in enumerate(active.tolist()):
        entry = begin[:count] + step
        sums[:count] += weights[entry].astype(cupy.float64)[:, None] * x[rows[entry]].astype(cupy.float64)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    sums = sums[to_device(back)]
    if (pieces <= 1).all():
        result = cupy.zeros((len(pieces), x.shape[1]), cupy.float64)
        result[to_device(np.flatnonzero(pieces))] = sums
        return result
    everything = cupy.arange(len(order))
    return _sum_pieces(of_segment, everything, cupy.ones(len(order), cupy.float32), sums)


def repeated_sum(
    points: Any, weights: NDArray[np.float32], count: int, once: Callable[..., NDArray[np.float64]]
) -> Callable[[NDArray[np.int32]], NDArray[np.float64]]:
    """See :meth:`uicgpu.backends.interface.Backend.repeated_sum`; every call is a ``segment_sum`` of its own."""

    def sums(labels: NDArray[np.int32]) -> NDArray[np.float64]:
        order = np.argsort(labels, kind="stable").astype(np.int32)
        order = order[np.searchsorted(labels[order], 0) :]
        counts = np.bincount(labels[order], minlength=count)
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return once(offsets, order, weights[order], points)

    return sums
