"""Weighted sums per segment on a GPU, with CuPy: no float atomics, so a run can be repeated bit by bit.

Segments are cut into pieces of at most 256 entries. Step ``p`` adds the ``p``-th entry of every piece that has one, in
float64; the pieces of a segment are then summed in the same way. Every sum has a fixed order that depends on the
segments' lengths alone. A segment of up to 256 entries is summed in the order of the CPU.

Not executed on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cuda.arrays import to_device, to_float32, to_host
from uicgpu.kernels.segment_reduce.cpu import check_segments, cut_segments

PIECE = 256
"""Entries per piece: so many steps at most per level."""


def segment_sum(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: Any, memory: int
) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.segment_sum`."""
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
            out[low:high] = to_host(_sum_pieces(offsets[low : high + 1] - start, rows, factors, x))
    return out


def _sum_pieces(offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any) -> Any:
    """Return the sums of segments given by host offsets and device entries."""
    import cupy

    counts = np.diff(offsets)
    pieces = -(-counts // PIECE)
    of_segment = np.concatenate([[0], np.cumsum(pieces)])
    inside = np.arange(of_segment[-1]) - np.repeat(of_segment[:-1], pieces)
    starts = np.repeat(offsets[:-1], pieces) + PIECE * inside
    lengths = np.minimum(np.repeat(offsets[1:], pieces) - starts, PIECE)
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
        result = cupy.zeros((len(counts), x.shape[1]), cupy.float64)
        result[to_device(np.flatnonzero(pieces))] = sums
        return result
    everything = cupy.arange(len(order))
    return _sum_pieces(of_segment, everything, cupy.ones(len(order), cupy.float32), sums)
