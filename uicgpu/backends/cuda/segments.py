"""Weighted sums per segment on a GPU: no float atomics, so a run can be repeated bit by bit.

Segments are cut into pieces of at most 256 entries (:mod:`uicgpu.kernels.segment_reduce.pieces`), each summed in the
order of its entries in float64; the pieces of a segment are then summed in the same way. Every sum has a fixed order
that depends on the segments' lengths alone, and a segment of one piece has the bits of the CPU. Where Triton can use
the device, its kernel sums a piece per program; without Triton, CuPy adds the ``p``-th entry of every piece at step
``p``. The result is the same. Pooling takes groups of eight entries for entries and adds the pieces of a segment one by
one, as the CPU does.

Not executed on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cuda.arrays import from_torch, to_device, to_float32, to_host, to_torch
from uicgpu.backends.probe import library_failure
from uicgpu.kernels.segment_reduce.cpu import check_segments, cut_segments
from uicgpu.kernels.segment_reduce.groups import GROUP
from uicgpu.kernels.segment_reduce.pieces import PIECE, cut_pieces

Sums = Callable[[NDArray[np.int64], Any, Any, Any], Any]


def segment_sum(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: Any, memory: int, number: int
) -> tuple[NDArray[np.float64], str]:
    """Return the sums and the engine that ran: ``triton`` or ``cupy``.

    See :meth:`uicgpu.backends.interface.Backend.segment_sum`.
    """
    engine = "cupy" if library_failure("triton", number) else "triton"
    out = np.zeros((len(offsets) - 1, vectors.shape[1]), np.float64)
    # partial sums and the gathered step are at most one float64 row per entry or segment, each held twice
    entries = max(PIECE, memory // (48 * vectors.shape[1]))
    sums: Sums = partial(_sum_by_kernel, number) if engine == "triton" else _sum_pieces
    _in_chunks(offsets, indices, weights, to_float32(vectors), entries, sums, out)
    return out, engine


def segment_pool(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: Any, memory: int, number: int
) -> tuple[NDArray[np.float32], str]:
    """Return the sums of :meth:`uicgpu.backends.interface.Backend.segment_pool` without scaling, and the engine."""
    engine = "cupy" if library_failure("triton", number) else "triton"
    out = np.zeros((len(offsets) - 1, vectors.shape[1]), np.float32)
    # beside the partial sums, a group's products are held as up to four float32 rows per piece
    entries = max(PIECE, memory // (64 * vectors.shape[1]))
    sums: Sums = partial(_pool_by_kernel, number) if engine == "triton" else _pool_pieces
    _in_chunks(offsets, indices, weights, to_float32(vectors), entries, sums, out)
    return out, engine


def _in_chunks(
    offsets: NDArray[np.int64],
    indices: NDArray[Any],
    weights: NDArray[Any],
    x: Any,
    entries: int,
    sums: Sums,
    out: NDArray[Any],
) -> None:
    """Fill ``out`` with the sums of whole segments, about ``entries`` entries or segments at a time."""
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    check_segments(offsets, indices, weights, x.shape[0])
    for first, last in cut_segments(offsets, entries):
        for low in range(first, last, entries):
            high = min(low + entries, last)
            start, stop = int(offsets[low]), int(offsets[high])
            rows = to_device(np.ascontiguousarray(indices[start:stop]))
            factors = to_device(np.ascontiguousarray(weights[start:stop], dtype=np.float32))
            out[low:high] = to_host(sums(offsets[low : high + 1] - start, rows, factors, x))


def _sum_by_kernel(number: int, offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any) -> Any:
    import torch

    from uicgpu.kernels.segment_reduce import cuda as kernel

    with torch.cuda.device(number):
        return from_torch(kernel.segment_sum(offsets, to_torch(rows), to_torch(weights), to_torch(x)))


def _pool_by_kernel(number: int, offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any) -> Any:
    import torch

    from uicgpu.kernels.segment_reduce import cuda as kernel

    with torch.cuda.device(number):
        return from_torch(kernel.segment_pool(offsets, to_torch(rows), to_torch(weights), to_torch(x)))


def _sum_pieces(offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any) -> Any:
    """Return the sums of segments given by host offsets and device entries."""
    import cupy

    starts, lengths, of_segment = cut_pieces(offsets)
    pieces = np.diff(of_segment)

    def add(active: int, entry: Any, _stop: Any, sums: Any) -> None:
        sums[:active] += weights[entry].astype(cupy.float64)[:, None] * x[rows[entry]].astype(cupy.float64)

    sums = _step_by_step(starts, lengths, 1, x.shape[1], add)
    if (pieces <= 1).all():
        result = cupy.zeros((len(pieces), x.shape[1]), cupy.float64)
        result[to_device(np.flatnonzero(pieces))] = sums
        return result
    everything = cupy.arange(len(starts))
    return _sum_pieces(of_segment, everything, cupy.ones(len(starts), cupy.float32), sums)


def _pool_pieces(offsets: NDArray[np.int64], rows: Any, weights: Any, x: Any) -> Any:
    """Return the pooled sums of segments, float32, given by host offsets and device entries."""
    import cupy

    starts, lengths, of_segment = cut_pieces(offsets)

    def products(first: Any, place: int, stop: Any) -> Any:
        there = first + place < stop
        entry = cupy.where(there, first + place, first)
        return cupy.where(there, weights[entry], cupy.float32(0))[:, None] * x[rows[entry]]

    def tree(first: Any, place: int, width: int, stop: Any) -> Any:
        if width == 1:
            return products(first, place, stop)
        half = width // 2
        return tree(first, place, half, stop) + tree(first, place + half, half, stop)

    def add_group(active: int, entry: Any, stop: Any, sums: Any) -> None:
        sums[:active] += tree(entry, 0, GROUP, stop).astype(cupy.float64)

    def add_piece(active: int, entry: Any, _stop: Any, sums: Any) -> None:
        sums[:active] += pooled[entry]

    pooled = _step_by_step(starts, lengths, GROUP, x.shape[1], add_group)
    return _step_by_step(of_segment[:-1], np.diff(of_segment), 1, x.shape[1], add_piece).astype(cupy.float32)


def _step_by_step(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], step: int, d: int, add: Callable[[int, Any, Any, Any], None]
) -> Any:
    """Return float64 [runs, d] sums of runs of entries, ``step`` entries of every run at a time.

    ``add(active, first, stop, sums)`` adds entries ``first`` to ``first + step``, as far as they are below ``stop``, to
    the first ``active`` rows of ``sums``; ``first`` and ``stop`` are device arrays of that length.
    """
    import cupy

    # longest first: the runs that still have an entry are then a prefix
    order = np.argsort(-lengths, kind="stable")
    sums = cupy.zeros((len(order), d), cupy.float64)
    begin, end = to_device(starts[order]), to_device((starts + lengths)[order])
    taken = np.arange(0, int(lengths.max(initial=0)), step)
    active = len(order) - np.searchsorted(np.sort(lengths), taken, side="right")
    for first, count in zip(taken.tolist(), active.tolist(), strict=True):
        add(count, begin[:count] + first, end[:count], sums)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return sums[to_device(back)]


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
