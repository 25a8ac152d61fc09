"""Exact search for the largest inner products on the CPU, by the product's own kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError, MissingExtraError
from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.largest_products import largest_products

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


def top_k(queries: NDArray[Any], points: NDArray[Any], k: int, threads: int) -> Found:
    """See :meth:`uicgpu.backends.interface.Backend.top_k`.

    Raises
    ------
    InputError
        For k below 1, another number of columns, or NaN or infinity in either array.
    """
    q, x = check_search(queries, points, k, threads)
    if len(q.x) == 0 or len(x.x) == 0:
        return no_answers(len(q.x), k)
    return largest_products(x, q, k, lambda part, parts: run_in_order(part, parts, threads))


def no_answers(queries: int, k: int) -> Found:
    """Return what is found among no points."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def check_search(queries: NDArray[Any], points: NDArray[Any], k: int, threads: int) -> tuple[Points, Points]:
    """Return both arrays as contiguous float32 with their squared norms, or raise InputError."""
    if k < 1:
        raise InputError(f"top_k needs k of at least 1, got {k}")
    if queries.shape[1] != points.shape[1]:
        raise InputError(f"queries have {queries.shape[1]} columns, points have {points.shape[1]}")
    q, x = (Points(array, lambda part, parts: run_in_order(part, parts, threads)) for array in (queries, points))
    for name, checked in (("queries", q), ("points", x)):
        bad = ~np.isfinite(checked.squares)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(f"row {row} of {name} holds NaN or infinity", fix="remove such rows")
    return q, x


def load_faiss() -> Any:
    """Import FAISS, or raise MissingExtraError. ``run_in_order`` holds its OpenMP pool at one thread per worker."""
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("nearest-neighbour search needs FAISS", fix='pip install "uicgpu[cpu]"') from error
    return faiss
