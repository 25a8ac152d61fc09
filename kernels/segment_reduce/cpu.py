"""segment_reduce on the CPU: a Numba loop over the entries of each segment, in order, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.kernels.compilation import compiled

PART_ENTRIES = 1 << 16
"""Entries per part: parts are cut where the running number of entries passes a multiple of this, so they depend on the
data alone and are even in work."""

Run = Callable[[Callable[[tuple[int, int]], None], Iterable[tuple[int, int]]], object]


def segment_sum(
    offsets: NDArray[np.int64],
    indices: NDArray[Any] | None,
    weights: NDArray[Any] | None,
    vectors: NDArray[Any],
    run: Run | None = None,
) -> NDArray[np.float64]:
    """Return the weighted sum per segment (see the package's docstring).

    Parameters
    ----------
    offsets
        int64 [segments + 1], ascending from 0 to the number of entries.
    indices
        int [entries] rows of ``vectors``, or None for the rows in order.
    weights
        [entries], used as float32, or None for 1.
    vectors
        [rows, d], used as float32.
    run
        Applies a function to every part, for example :meth:`uicgpu.backends.interface.Backend.map`. Each segment is
        summed by one part, so the result does not depend on it.

    Raises
    ------
    InputError
        For offsets that do not ascend, or entries that the arrays do not hold.
    """
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    x = np.ascontiguousarray(vectors, dtype=np.float32)
    entries = int(offsets[-1])
    rows = np.arange(entries, dtype=np.int64) if indices is None else np.ascontiguousarray(indices)
    w = np.ones(entries, np.float32) if weights is None else np.ascontiguousarray(weights, dtype=np.float32)
    check_segments(offsets, rows, w, len(x))
    out = np.zeros((len(offsets) - 1, x.shape[1]), np.float64)

    def sum_part(part: tuple[int, int]) -> None:
        _sum_segments(offsets[part[0] : part[1] + 1], rows, w, x, out[part[0] : part[1]])

    parts = cut_segments(offsets)
    if run is None:
        for part in parts:
            sum_part(part)
    else:
        run(sum_part, parts)
    return out


def check_segments(offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], rows: int) -> None:
    """Raise InputError unless offsets ascend from 0 and every entry has a weight and an existing row."""
    entries = int(offsets[-1])
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise InputError("segment offsets must ascend from 0", fix="build them with a cumulative sum of counts")
    if len(indices) != entries or len(weights) != entries:
        raise InputError(f"{entries} entries but {len(indices)} indices and {len(weights)} weights")
    if entries and (int(indices.min()) < 0 or int(indices.max()) >= rows):
        raise InputError(f"an index lies outside the {rows} vectors: {int(indices.min())} to {int(indices.max())}")


def cut_segments(offsets: NDArray[np.int64], entries: int = PART_ENTRIES) -> list[tuple[int, int]]:
    """Cut the segments into ranges of about ``entries`` entries each.

    >>> cut_segments(np.array([0, 3, 5, 9, 10]), entries=5)
    [(0, 2), (2, 4)]
    """
    marks = np.arange(entries, int(offsets[-1]), entries, dtype=np.int64)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(offsets, marks), [len(offsets) - 1]]))
    return [(int(start), int(stop)) for start, stop in pairwise(cuts)]


@compiled
def _sum_segments(offsets: Any, rows: Any, weights: Any, x: Any, out: Any) -> None:
    d = x.shape[1]
    for segment in range(offsets.shape[0] - 1):
        total = out[segment]
        entry = offsets[segment]
        stop = offsets[segment + 1]
        # four entries per pass keep the running sum in a register; the order of additions stays that of the entries
        while entry + 4 <= stop:
            w0, x0 = np.float64(weights[entry]), x[rows[entry]]
            w1, x1 = np.float64(weights[entry + 1]), x[rows[entry + 1]]
            w2, x2 = np.float64(weights[entry + 2]), x[rows[entry + 2]]
            w3, x3 = np.float64(weights[entry + 3]), x[rows[entry + 3]]
            for j in range(d):
                total[j] = (((total[j] + w0 * x0[j]) + w1 * x1[j]) + w2 * x2[j]) + w3 * x3[j]
            entry += 4
        while entry < stop:
            w0, x0 = np.float64(weights[entry]), x[rows[entry]]
            for j in range(d):
                total[j] += w0 * x0[j]
            entry += 1
