"""Dense and sparse linear algebra on a GPU, with CuPy in float64.

Not executed on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu.linear_algebra import check_axes, check_gram, not_positive_definite, order_axes
from uicgpu.backends.cuda.arrays import to_device, to_float32, to_host
from uicgpu.errors import InputError


def gram(
    offsets: NDArray[np.int64], indices: NDArray[Any], values: NDArray[Any], columns: int, memory: int
) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.gram`.

    Rows are laid out densely in blocks that fit into ``memory`` and multiplied. A column must not repeat in a row.
    """
    import cupy

    check_gram(offsets, indices, columns, memory)
    rows_of = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    if len(np.unique(rows_of * columns + indices)) != len(indices):
        raise InputError("a column repeats in a row of the matrix", fix="sum such entries first")
    out = cupy.zeros((columns, columns), cupy.float64)
    step = max(1, memory // max(8 * columns, 1))
    for start in range(0, len(offsets) - 1, step):
        stop = min(start + step, len(offsets) - 1)
        entries = slice(int(offsets[start]), int(offsets[stop]))
        block = cupy.zeros((stop - start, columns), cupy.float64)
        place = to_device(rows_of[entries] - start), to_device(indices[entries].astype(np.int64))
        block[place] = to_device(values[entries].astype(np.float32).astype(np.float64))
        out += block.T @ block
    return to_host(out)


def invert_positive_definite(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.invert_positive_definite`; needs four such matrices."""
    import cupy
    from cupyx.scipy.linalg import solve_triangular

    source = to_device(np.asarray(matrix, dtype=np.float64))
    try:
        factor = cupy.linalg.cholesky(source)
    except np.linalg.LinAlgError as error:
        raise not_positive_definite(len(matrix)) from error
    # CuPy does not raise by default: a failed factorisation shows as NaN
    if not bool(cupy.isfinite(factor).all().get()):
        raise not_positive_definite(len(matrix))
    half = solve_triangular(factor, cupy.eye(len(matrix), dtype=cupy.float64), lower=True)
    inverse = half.T @ half
    return to_host((inverse + inverse.T) / 2)


def principal_axes(
    points: Any, components: int, memory: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """See :meth:`uicgpu.backends.interface.Backend.principal_axes`; the d x d eigenproblem is solved on the host."""
    import cupy

    n, d = points.shape
    check_axes(n, d, components)
    step = max(1, memory // (24 * d))
    mean = cupy.zeros(d, cupy.float64)
    for start in range(0, n, step):
        mean += to_float32(points[start : start + step]).astype(cupy.float64).sum(axis=0)
    mean /= n
    if not bool(cupy.isfinite(mean).all().get()):
        raise InputError("points hold NaN or infinity", fix="remove such rows")
    covariance = cupy.zeros((d, d), cupy.float64)
    for start in range(0, n, step):
        centred = to_float32(points[start : start + step]).astype(cupy.float64) - mean
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(to_host(covariance / n))
    return order_axes(to_host(mean), values, vectors, components)
