"""Pooling on the CPU: float32 vectors per segment, in one pass over the entries.

The sum has one order. A segment is cut into pieces of ``PIECE`` entries and a piece into groups of ``GROUP``; the
products of a group are float32 and added as a tree in float32, groups are added to their piece and pieces to their
segment in float64. A last group is filled with weights of 0. So the error of a sum is below ``4 * 2^-24`` of the sum of
its absolute products however long the segment is, and eight of nine conversions and additions in float64 are spared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.dot import dot
from uicgpu.kernels.segment_reduce.cpu import Run, check_segments, cut_segments
from uicgpu.kernels.segment_reduce.groups import GROUP, add_group
from uicgpu.kernels.segment_reduce.pieces import PIECE

AHEAD: Final = 16
"""How many entries before its use a row is asked for; 32 gained nothing more."""
RESIDUE: Final = 1e-6
"""A sum shorter than this part of its weights is what rounding left of vectors that cancel out."""


def segment_pool(
    offsets: NDArray[np.int64],
    indices: NDArray[Any],
    weights: NDArray[Any],
    vectors: NDArray[Any],
    unit: bool,
    run: Run | None = None,
) -> NDArray[np.float32]:
    """Return the weighted sum per segment, or its direction, float32 [segments, d].

    Parameters
    ----------
    offsets
        int64 [segments + 1], ascending from 0 to the number of entries.
    indices
        int [entries] rows of ``vectors``.
    weights
        [entries], used as float32; 0 or more where ``unit`` is asked for.
    vectors
        [rows, d] finite numbers, used as float32; of length 1 at most where ``unit`` is asked for.
    unit
        Scale every sum to length 1. A sum shorter than ``RESIDUE`` times its weights becomes zero.
    run
        Applies a function to every part, see :func:`uicgpu.kernels.segment_reduce.cpu.segment_sum`.

    Raises
    ------
    InputError
        For offsets that do not ascend, or entries that the arrays do not hold.
    """
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    x = np.ascontiguousarray(vectors, dtype=np.float32)
    rows = np.ascontiguousarray(indices)
    w = np.ascontiguousarray(weights, dtype=np.float32)
    check_segments(offsets, rows, w, len(x))
    out = np.empty((len(offsets) - 1, x.shape[1]), np.float32)
    _in_parts(offsets, run, lambda part, own: _pool(part, rows, w, x, unit, own), out)
    return out


def scale_to_unit(
    offsets: NDArray[np.int64], weights: NDArray[np.float32], sums: NDArray[np.float32], run: Run | None = None
) -> None:
    """Scale sums that were taken elsewhere to length 1, in place and as :func:`segment_pool` does."""
    _in_parts(offsets, run, lambda part, own: _scale(part, weights, own), sums)


def _in_parts(
    offsets: NDArray[np.int64],
    run: Run | None,
    function: Callable[[NDArray[np.int64], NDArray[np.float32]], None],
    out: NDArray[np.float32],
) -> None:
    def apply(part: tuple[int, int]) -> None:
        function(offsets[part[0] : part[1] + 1], out[part[0] : part[1]])

    parts = cut_segments(offsets)
    if run is None:
        for part in parts:
            apply(part)
    else:
        run(apply, parts)


@compiled
def _pool(offsets: Any, rows: Any, weights: Any, x: Any, unit: Any, out: Any) -> None:
    d, last = x.shape[1], max(0, rows.shape[0] - GROUP)
    total, part = np.empty(d, np.float64), np.empty(d, np.float64)
    few_rows, few_weights = np.zeros(GROUP, rows.dtype), np.zeros(GROUP, np.float32)
    for segment in range(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        total[:] = 0.0
        single = stop - start <= PIECE
        piece = total if single else part
        for first in range(start, stop, PIECE):
            piece_stop = min(first + PIECE, stop)
            piece[:] = 0.0
            for entry in range(first, piece_stop, GROUP):
                later = min(entry + AHEAD, last)
                coming = rows[later : later + GROUP] if rows.shape[0] >= GROUP else few_rows
                if entry + GROUP <= piece_stop:
                    add_group(rows[entry : entry + GROUP], weights[entry : entry + GROUP], x, coming, piece)
                else:
                    few_rows[:] = rows[entry]
                    few_weights[:] = 0.0
                    for e in range(entry, piece_stop):
                        few_rows[e - entry] = rows[e]
                        few_weights[e - entry] = weights[e]
                    add_group(few_rows, few_weights, x, coming, piece)
            if not single:
                for j in range(d):
                    total[j] += piece[j]
        for j in range(d):
            out[segment, j] = total[j]
    if unit:
        _scale(offsets, weights, out)


@compiled
def _scale(offsets: Any, weights: Any, sums: Any) -> None:
    for segment in range(offsets.shape[0] - 1):
        weight = 0.0
        for entry in range(offsets[segment], offsets[segment + 1]):
            weight += np.float64(weights[entry])
        row = sums[segment]
        length = np.sqrt(dot(row, row))
        factor = 1.0 / length if length > RESIDUE * weight else 0.0
        for j in range(row.shape[0]):
            row[j] = np.float64(row[j]) * factor
