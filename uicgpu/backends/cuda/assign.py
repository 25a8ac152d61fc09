"""Nearest and second-nearest centroid on a GPU: a product bounds the scores, a float64 sum decides.

The same rule as on the CPU (:mod:`uicgpu.kernels.assign.cpu`): a centroid whose approximate score is below the
second-best by more than twice the rounding error of the product is out; the others are scored again in float64, each
by the same sum, so equal centroids tie exactly and the lowest id wins. Where Triton can use the device, its kernel
proposes in half precision, and only points whose second and third score are too close for that go through CuPy's
float32 product; without Triton all of them do. The result is the same.

Not executed on a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cuda.arrays import from_torch, to_float32, to_host, to_torch
from uicgpu.backends.interface import Assignment
from uicgpu.backends.probe import library_failure
from uicgpu.kernels.assign.cpu import check_centroids


def assign(points: Any, centroids: Any, memory: int, number: int) -> tuple[Assignment, str]:
    """Return the assignment and who proposed: ``triton`` or ``cupy``; points on the host are moved in chunks.

    See :meth:`uicgpu.backends.interface.Backend.assign`.
    """
    import cupy

    engine = "cupy" if library_failure("triton", number) else "triton"

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
        if engine == "triton":
            row, column = _half_candidates(x, c, half_norms, largest, number)
        else:
            row, column = _candidates(x, c, half, largest)
        value = _scores(x, doubles, row, column, memory) - half_norms[column]
        # by row, then descending score, then ascending centroid
        order = cupy.lexsort(cupy.stack([column.astype(cupy.float64), -value, row.astype(cupy.float64)]))
        row, column, value = row[order], column[order], value[order]
        first = cupy.searchsorted(row, cupy.arange(x.shape[0]))
        second = first + (1 if k > 1 else 0)
        part = slice(start, start + x.shape[0])
        labels[part] = to_host(cupy.where(good, column[first], -1).astype(cupy.int32))
        scores[part] = to_host(cupy.where(good, value[first], -cupy.inf).astype(cupy.float32))
        second_labels[part] = to_host(cupy.where(good, column[second], -1).astype(cupy.int32))
        if k > 1:
            second_scores[part] = to_host(cupy.where(good, value[second], -cupy.inf).astype(cupy.float32))
    return Assignment(labels, scores, second_labels, second_scores), engine


def repeated_assign(points: Any, once: Callable[[Any, Any], Assignment]) -> Callable[[Any], NDArray[np.int32]]:
    """See :meth:`uicgpu.backends.interface.Backend.repeated_assign`; every call is an assignment of its own."""
    return lambda centroids: once(points, centroids).labels


def _candidates(x: Any, c: Any, half: Any, largest: Any) -> tuple[Any, Any]:
    """Return rows and centroids that can be first or second, by a float32 product."""
    import cupy

    # CUPY_TF32=1 lets cuBLAS round the factors to 11 bits
    unit = 2.0**-10 if os.environ.get("CUPY_TF32") == "1" else 2.0**-23
    products = x @ c.T - half
    norms = _norms(x)
    error = (x.shape[1] + 2) * unit * (norms * largest + largest * largest)
    if c.shape[0] > 1:
        bound = cupy.partition(products, c.shape[0] - 2, axis=1)[:, -2]
    else:
        bound = products[:, 0]
    out = products < (bound.astype(cupy.float64) - 2 * error)[:, None]
    row, column = cupy.nonzero(~out)
    return row, column


def _half_candidates(x: Any, c: Any, half_norms: Any, largest: Any, number: int) -> tuple[Any, Any]:
    """Return rows and centroids that can be first or second, by the kernel in float16 where that is certain.

    Points and centroids are scaled by one power of two to norms of at most 1. Rounding to float16 then moves an entry
    by at most ``2^-11`` of itself, or ``2^-25`` where the result is subnormal. With ``a = 2^-11 |x| + sqrt(d) 2^-25``
    for a point and ``b`` likewise for the longest centroid, a product is off by at most ``a (|c| + b) + |x| b``, and by
    its float32 accumulation. Where the second score leads the third by twice that, the first two are the true ones, in
    one order or the other.
    """
    import cupy
    import torch

    from uicgpu.kernels.assign.cuda import nearest_three

    d = x.shape[1]
    norms = _norms(x)
    scale = cupy.exp2(-cupy.ceil(cupy.log2(cupy.maximum(cupy.maximum(norms.max(), largest), 1e-300))))
    single = scale.astype(cupy.float32)
    with torch.cuda.device(number):
        found = nearest_three(
            to_torch((x * single).astype(cupy.float16)),
            to_torch((c * single).astype(cupy.float16)),
            to_torch((half_norms * scale * scale).astype(cupy.float32)),
        )
        first, second, second_score, third_score = (from_torch(found[place]) for place in (0, 2, 3, 4))
    norms, longest = norms * scale, largest * scale
    tiny = d**0.5 * 2.0**-25
    a, b = norms * 2.0**-11 + tiny, longest * 2.0**-11 + tiny
    products = (norms + a) * (longest + b)
    error = a * (longest + b) + norms * b + (d + 4) * 2.0**-23 * (products + longest * longest)
    certain = second_score.astype(cupy.float64) - third_score.astype(cupy.float64) > 2 * error
    sure, unsure = cupy.nonzero(certain)[0], cupy.nonzero(~certain)[0]
    row, column = [sure, sure], [first[sure].astype(cupy.int64), second[sure].astype(cupy.int64)]
    if unsure.shape[0]:
        place, nearest = _candidates(x[unsure], c, half_norms.astype(cupy.float32), largest)
        row, column = [*row, unsure[place]], [*column, nearest]
    return cupy.concatenate(row), cupy.concatenate(column)


def _norms(x: Any) -> Any:
    import cupy

    doubles = x.astype(cupy.float64)
    return cupy.sqrt((doubles * doubles).sum(axis=1))


def _scores(x: Any, doubles: Any, row: Any, column: Any, memory: int) -> Any:
    """Return the dot product of each candidate pair, summed in float64."""
    import cupy

    step = max(1, memory // (24 * x.shape[1]))
    out = cupy.empty(row.shape[0], cupy.float64)
    for start in range(0, row.shape[0], step):
        part = slice(start, start + step)
        out[part] = (x[row[part]].astype(cupy.float64) * doubles[column[part]]).sum(axis=1)
    return out
