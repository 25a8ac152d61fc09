"""Dense and sparse linear algebra on the CPU: float64, one BLAS thread, fixed blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from uicgpu.backends.workers import one_blas_thread, run_in_order
from uicgpu.errors import InputError, OutOfResourcesError, UicError
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.segment_reduce.cpu import cut_segments

ROWS = 4096
"""Rows per block of the second moment."""
CHUNKS = 64
"""At most so many partial second moments are held, whatever the number of rows."""


def gram(
    offsets: NDArray[np.int64],
    indices: NDArray[Any],
    values: NDArray[Any],
    columns: int,
    threads: int,
    memory: int,
) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.gram`.

    Each row of the result is summed over the rows of the matrix in order, by one thread, so the result does not depend
    on threads. Beside the result (``8 * columns**2`` bytes) it needs about 30 bytes per stored entry.

    Raises
    ------
    OutOfResourcesError
        When the result does not fit into ``memory``.
    InputError
        For a column outside ``columns``.
    """
    check_gram(offsets, indices, columns, memory)
    stored = np.ascontiguousarray(values, dtype=np.float32)
    columns_of = np.ascontiguousarray(indices, dtype=np.int32)
    rows_of = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    by_column = np.argsort(columns_of, kind="stable")
    starts = np.zeros(columns + 1, np.int64)
    np.cumsum(np.bincount(columns_of, minlength=columns), out=starts[1:])
    rows_by_column, values_by_column = rows_of[by_column], stored[by_column]
    del rows_of, by_column
    out = np.zeros((columns, columns))

    def fill(part: tuple[int, int]) -> None:
        _gram_rows(
            part[0], starts[part[0] : part[1] + 1], rows_by_column, values_by_column, offsets, columns_of, stored, out
        )

    run_in_order(fill, cut_segments(starts, 1 << 14), threads)
    return out


def check_gram(offsets: NDArray[np.int64], indices: NDArray[Any], columns: int, memory: int) -> None:
    """Raise unless the CSR matrix is sound and its Gram matrix fits into ``memory`` bytes."""
    if 8 * columns**2 > memory:
        raise OutOfResourcesError(
            f"a {columns} x {columns} float64 matrix needs {8 * columns**2 / 2**30:.1f} GiB, allowed are "
            f"{memory / 2**30:.1f} GiB",
            fix="raise --memory, or use fewer items",
        )
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or int(offsets[-1]) != len(indices):
        raise InputError(f"row offsets must ascend from 0 to the number of entries, {len(indices)}")
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= columns):
        raise InputError(f"a column lies outside 0..{columns - 1}: {int(indices.min())} to {int(indices.max())}")


@compiled
def _gram_rows(
    first: int, starts: Any, rows: Any, row_values: Any, offsets: Any, columns: Any, values: Any, out: Any
) -> None:
    for c in range(starts.shape[0] - 1):
        line = out[first + c]
        for entry in range(starts[c], starts[c + 1]):
            row = rows[entry]
            weight = np.float64(row_values[entry])
            for other in range(offsets[row], offsets[row + 1]):
                line[columns[other]] += weight * np.float64(values[other])


def invert_positive_definite(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """See :meth:`uicgpu.backends.interface.Backend.invert_positive_definite`; needs one copy of the matrix.

    Raises
    ------
    UicError
        When the matrix is not positive definite or not finite.
    """
    with one_blas_thread():
        factor, failed = linalg.lapack.dpotrf(np.array(matrix, np.float64, order="F"), lower=1, overwrite_a=1)
        if failed or not np.isfinite(factor.diagonal()).all():
            raise not_positive_definite(len(matrix))
        inverse, _ = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    # potri leaves the upper triangle as it was; seen in C order, the filled one is the upper triangle
    result: NDArray[np.float64] = inverse.T
    _mirror(result)
    return result


def not_positive_definite(size: int) -> UicError:
    """Return the error of a matrix that Cholesky refuses."""
    return UicError(f"a {size} x {size} matrix is not positive definite", fix="raise the regularisation")


@compiled
def _mirror(matrix: Any) -> None:
    n = matrix.shape[0]
    for block in range(0, n, 64):
        for i in range(n):
            for j in range(max(block, i + 1), min(block + 64, n)):
                matrix[j, i] = matrix[i, j]


def principal_axes(
    points: NDArray[Any], components: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """See :meth:`uicgpu.backends.interface.Backend.principal_axes`.

    Eigenvectors of the d x d covariance matrix, in float64, summed over fixed chunks of rows.

    Raises
    ------
    InputError
        For no point, more components than columns, or NaN or infinity.
    """
    n, d = points.shape
    check_axes(n, d, components)
    chunk = -(-n // (CHUNKS * ROWS)) * ROWS
    chunks = [(start, min(start + chunk, n)) for start in range(0, n, chunk)]

    def total(part: tuple[int, int]) -> NDArray[np.float64]:
        out = np.zeros(d)
        for start in range(part[0], part[1], ROWS):
            out += points[start : min(start + ROWS, part[1])].sum(axis=0, dtype=np.float64)
        return out

    mean = np.sum(run_in_order(total, chunks, threads), axis=0) / n
    if not np.isfinite(mean).all():
        raise InputError("points hold NaN or infinity", fix="remove such rows")

    def moment(part: tuple[int, int]) -> NDArray[np.float64]:
        out = np.zeros((d, d))
        for start in range(part[0], part[1], ROWS):
            centred = points[start : min(start + ROWS, part[1])] - mean
            out += centred.T @ centred
        return out

    covariance = np.zeros((d, d))
    for part in run_in_order(moment, chunks, threads):
        covariance += part
    with one_blas_thread():
        values, vectors = np.linalg.eigh(covariance / n)
    return order_axes(mean, values, vectors, components)


def check_axes(n: int, d: int, components: int) -> None:
    """Raise InputError unless 1 <= components <= d and there is a point."""
    if not 1 <= components <= d or n == 0:
        raise InputError(f"{components} principal axes of {n} points with {d} columns", fix="ask for 1 to d axes")


def order_axes(
    mean: NDArray[np.float64], values: NDArray[np.float64], vectors: NDArray[np.float64], components: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Turn ascending eigenpairs into mean, axes (the largest absolute entry is positive) and shares of the variance."""
    values = np.maximum(values[::-1], 0)
    axes = vectors.T[::-1][:components]
    peaks = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = np.where(peaks < 0, -axes, axes)
    share = values[:components] / (values.sum() or 1.0)
    return mean.astype(np.float32), np.ascontiguousarray(axes, np.float32), share.astype(np.float32)
