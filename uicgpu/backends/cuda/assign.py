"""Nearest and second-nearest centroid on a GPU, with CuPy: a product bounds the scores, a float64 sum decides.

The same rule as on the CPU (:mod:`uicgpu.kernels.assign.cpu`): a centroid whose float32 score is below the second-best
by more than twice the rounding error of the product is out; the others are scored again in float64, each by the same
sum, so equal centroids tie exactly and the lowest id wins.

Not executed on a GPU.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from uicgpu.backends.cuda.arrays import to_float32, to_host
from uicgpu.backends.interface import Assignment
from uicgpu.kernels.assign.cpu import check_centroids


def assign(points: Any, centroids: Any, memory: int) -> Assignment:
    """See :meth:`uicgpu.backends.interface.Backend.assign`; points on the host are moved in chunks."""
    import cupy

    n, d = points.shape
    c = to_float32(centroids)
    k = c.shape[0]
    check_centroids(points.shape, c.shape, bool(cupy.isfinite(c).all().get()))
    doubles = c.astype(cupy.float64)
    half_norms = (doubles * doubles).sum(axis=1) / 2
    half = half_norms.astype(cupy.float32)
    largest = cupy.sqrt(2 * half_norms.max())
    # per row: products, their mask and sorted copies (about 16 bytes a product), candidates in float64 (about 24 d)
    rows = max(1, memory // (16 * k + 48 * d + 64))
    labels, second_labels = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    scores, second_scores = np.full(n, -np.inf, np.float32), np.full(n, -np.inf, np.float32)
    for start in range(0, n, rows):
        x = to_float32(points[start : start + rows])
        good = cupy.isfinite(x).all(axis=1)
        x = cupy.where(good[:, None], x, cupy.float32(0))
        row, column = _candidates(x, c, half, largest)
        value = _scores(x, doubles, row, column, memory) - half_norms[column]
        # by row, then descending score, then ascending centroid
        order = cupy.lexsort(cupy.stack([column.astype(cupy.float64), -value, row.astype(cupy.float64)]))
        column, value = column[order], value[order]
        first = cupy.searchsorted(row, cupy.arange(x.shape[0]))  # rows ascend, so their order did not change
        second = first + (1 if k > 1 else 0)
        part = slice(start, start + x.shape[0])
        labels[part] = to_host(cupy.where(good, column[first], -1).astype(cupy.int32))
        scores[part] = to_host(cupy.where(good, value[first], -cupy.inf).astype(cupy.float32))
        second_labels[part] = to_host(cupy.where(good, column[second], -1).astype(cupy.int32))
        if k > 1:
            second_scores[part] = to_host(cupy.where(good, value[second], -cupy.inf).astype(cupy.float32))
    return Assignment(labels, scores, second_labels, second_scores)


def _candidates(x: Any, c: Any, half: Any, largest: Any) -> tuple[Any, Any]:
    """Return rows (ascending) and centroids that can be first or second."""
    import cupy

    # CUPY_TF32=1 lets cuBLAS round the factors to 11 bits
    unit = 2.0**-10 if os.environ.get("CUPY_TF32") == "1" else 2.0**-23
    products = x @ c.T - half
    doubles = x.astype(cupy.float64)
    norms = cupy.sqrt((doubles * doubles).sum(axis=1))
    error = (x.shape[1] + 2) * unit * (norms * largest + largest * largest)
    if c.shape[0] > 1:
        bound = cupy.partition(products, c.shape[0] - 2, axis=1)[:, -2]
    else:
        bound = products[:, 0]
    out = products < (bound.astype(cupy.float64) - 2 * error)[:, None]
    row, column = cupy.nonzero(~out)
    return row, column


def _scores(x: Any, doubles: Any, row: Any, column: Any, memory: int) -> Any:
    """Return the dot product of each candidate pair, summed in float64."""
    import cupy

    step = max(1, memory // (24 * x.shape[1]))
    out = cupy.empty(row.shape[0], cupy.float64)
    for start in range(0, row.shape[0], step):
        part = slice(start, start + step)
        out[part] = (x[row[part]].astype(cupy.float64) * doubles[column[part]]).sum(axis=1)
    return out
