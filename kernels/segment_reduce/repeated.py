"""The same rows summed per segment again and again while labels change: only rows with a new label are moved.

Sums are whole numbers: every column has a quantum, a power of two fine enough that 2^45 of them make the column's
largest entry (for 100,000 rows; fewer for more rows), and rows are rounded to it. Integer sums are exact, so adding and
subtracting rows in any order, over any number of calls, ends in the same bits; the error of a mean is below half a
quantum. Points with a column whose entries differ so much in size that small ones would feel the quantum are summed in
float64, from nothing at every call.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.prefetch import prefetch_columns
from uicgpu.kernels.segment_reduce.cpu import Run, segment_sum

COLUMNS: Final = 128
"""Columns per part of a parallel run."""
AHEAD: Final = 8
"""How many moved rows before its use a row is asked for."""
MOST_BITS: Final = 50
SMALL: Final = 2.0**20
"""An entry of less than so many quanta is small: rounding moves it by more than 2^-21 of itself."""
FEW: Final = 1e-3
"""Share of a column's entries that may be small (zeros do not count)."""


class RepeatedSum:
    """Callable: ``sums = repeated(labels)``, float64 [segments, d], the weighted sum of the rows of each label.

    Parameters
    ----------
    points
        [n, d] finite numbers, used as float32. Must not change between calls.
    weights
        float32 [n], 0 or more.
    segments
        Labels are 0 to ``segments - 1``; rows with a negative label belong to none.
    run
        Applies a function to every part, for example :meth:`uicgpu.backends.interface.Backend.map`. The result does
        not depend on it.
    """

    def __init__(
        self, points: NDArray[Any], weights: NDArray[np.float32], segments: int, run: Run | None = None
    ) -> None:
        self._x = np.ascontiguousarray(points, dtype=np.float32)
        self._weights = np.ascontiguousarray(weights, dtype=np.float32)
        self._segments = segments
        self._run = run
        n, dim = self._x.shape
        self._labels = np.full(n, -1, np.int32)
        self._sums = np.zeros((segments, dim), np.int64)
        self._quanta = self._choose_quanta()

    def __call__(self, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the sums for ``labels``, int32 [n]."""
        if self._quanta is None:
            return self._anew(labels)
        changed = np.flatnonzero(labels != self._labels)
        scales = 1.0 / self._quanta

        def move(part: tuple[int, int]) -> None:
            _move(self._x, self._weights, changed, self._labels, labels, scales, part[0], part[1], self._sums)

        dim = self._x.shape[1]
        parts = [(start, min(start + COLUMNS, dim)) for start in range(0, dim, COLUMNS)]
        if self._run is None:
            for part in parts:
                move(part)
        else:
            self._run(move, parts)
        self._labels[changed] = labels[changed]
        return self._sums * self._quanta

    def _anew(self, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        order = np.argsort(labels, kind="stable").astype(np.int32)
        order = order[np.searchsorted(labels[order], 0) :]
        counts = np.bincount(labels[order], minlength=self._segments)
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return segment_sum(offsets, order, self._weights[order], self._x, self._run)

    def _choose_quanta(self) -> NDArray[np.float64] | None:
        n, dim = self._x.shape
        largest, small = np.zeros(dim), np.zeros(dim, np.int64)
        _find_largest(self._x, self._weights, largest)
        if not np.isfinite(largest).all():
            return None
        bits = min(MOST_BITS, 62 - int(n).bit_length())
        quanta = np.ldexp(1.0, np.frexp(largest)[1] - bits)
        _count_small(self._x, self._weights, quanta * SMALL, small)
        return None if (small > FEW * n).any() else quanta


@compiled
def _find_largest(x: Any, weights: Any, largest: Any) -> None:
    for i in range(x.shape[0]):
        weight = np.float64(weights[i])
        for j in range(x.shape[1]):
            value = abs(weight * np.float64(x[i, j]))
            largest[j] = value if value > largest[j] else largest[j]


@compiled
def _count_small(x: Any, weights: Any, limits: Any, small: Any) -> None:
    for i in range(x.shape[0]):
        weight = np.float64(weights[i])
        for j in range(x.shape[1]):
            value = abs(weight * np.float64(x[i, j]))
            small[j] += (value > 0.0) & (value < limits[j])


@compiled
def _move(
    x: Any, weights: Any, changed: Any, old: Any, new: Any, scales: Any, first: int, stop: int, sums: Any
) -> None:
    scale = scales[first:stop]
    for entry in range(changed.shape[0]):
        if entry + AHEAD < changed.shape[0]:
            prefetch_columns(x, changed[entry + AHEAD], first, stop)
        i = changed[entry]
        weight = np.float64(weights[i])
        row = x[i, first:stop]
        if old[i] >= 0 and new[i] >= 0:
            source, target = sums[old[i], first:stop], sums[new[i], first:stop]
            for j in range(row.shape[0]):
                value = np.int64(np.rint(weight * np.float64(row[j]) * scale[j]))
                source[j] -= value
                target[j] += value
        elif new[i] >= 0:
            target = sums[new[i], first:stop]
            for j in range(row.shape[0]):
                target[j] += np.int64(np.rint(weight * np.float64(row[j]) * scale[j]))
        else:
            source = sums[old[i], first:stop]
            for j in range(row.shape[0]):
                source[j] -= np.int64(np.rint(weight * np.float64(row[j]) * scale[j]))
