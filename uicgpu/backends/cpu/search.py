"""Exact search for the largest inner products: FAISS proposes, the canonical dot product ranks.

FAISS adds up in an order of its own and leaves the order of equal scores open. So more than ``k`` candidates are taken,
as many as it needs until the last one lies below the k-th by more than the rounding error of a float32 product; the
candidates are scored again by :func:`uicgpu.kernels.dot.dot` and sorted by descending score, then ascending row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError, MissingExtraError
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.dot import dot, squared_norms

QUERIES = 1024
"""Queries per block. FAISS takes products of matrices only from queries x columns of about 128,000 on; below that it is
ten times slower per query."""
MARGIN = 8
"""Candidates beyond k in the first attempt."""

CANDIDATES = 1 << 21
"""Candidates held at once: 24 MB of scores and rows per thread."""

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
Search = Callable[[NDArray[np.float32], int], Found]


def top_k(queries: NDArray[Any], points: NDArray[Any], k: int, threads: int) -> Found:
    """See :meth:`uicgpu.backends.interface.Backend.top_k`.

    Raises
    ------
    InputError
        For k below 1, another number of columns, or NaN or infinity in either array.
    """
    q, x = check_search(queries, points, k)
    scores = np.full((len(q), k), -np.inf, np.float32)
    rows = np.full((len(q), k), -1, np.int64)
    if len(q) == 0 or len(x) == 0:
        return scores, rows
    faiss = load_faiss()
    index = faiss.IndexFlatIP(x.shape[1])
    index.add(x)
    largest = float(np.sqrt(squared_norms(x).max()))

    def search_block(part: tuple[int, int]) -> None:
        block = slice(*part)
        scores[block], rows[block] = refine(q[block], x, k, largest, index.search)

    run_in_order(search_block, [(s, min(s + QUERIES, len(q))) for s in range(0, len(q), QUERIES)], threads)
    return scores, rows


def load_faiss() -> Any:
    """Import FAISS, or raise MissingExtraError. ``run_in_order`` holds its OpenMP pool at one thread per worker."""
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("nearest-neighbour search needs FAISS", fix='pip install "uicgpu[cpu]"') from error
    return faiss


def refine(q: NDArray[np.float32], x: NDArray[np.float32], k: int, largest: float, search: Search) -> Found:
    """Return the k best rows of ``x`` per query, decided by the canonical dot product.

    Parameters
    ----------
    q, x
        Queries [n, d] and points [m, d], float32, contiguous, finite, m >= 1.
    largest
        The largest norm of a point.
    search
        ``search(queries, count)`` returns scores and rows of the ``count`` best points by float32 products.
    """
    n, d = q.shape
    scores = np.full((n, k), -np.inf, np.float32)
    rows = np.full((n, k), -1, np.int64)
    shown = min(k, len(x))
    norms = np.sqrt(squared_norms(q))
    # twice the bound d u |q||x| of a float32 dot product, which also covers rounding the canonical score to float32
    error = (d + 2) * 2.0**-23 * norms * largest
    zero = norms == 0
    scores[zero, :shown], rows[zero, :shown] = 0, np.arange(shown)
    pending, count = np.flatnonzero(~zero), min(k + MARGIN, len(x))
    while pending.size:
        unsure = []
        step = max(1, CANDIDATES // count)
        for start in range(0, len(pending), step):
            part = pending[start : start + step]
            bounds, found = search(q[part], count)
            exact = _score(q[part], x, found)
            order = np.lexsort((found, -exact), axis=-1)[:, :shown]
            scores[part, :shown] = np.take_along_axis(exact, order, axis=1)
            rows[part, :shown] = np.take_along_axis(found, order, axis=1)
            if count < len(x):
                unsure.append(part[bounds[:, -1] + error[part] >= scores[part, shown - 1]])
        pending = np.concatenate(unsure) if unsure else pending[:0]
        count = min(4 * count, len(x))
    return scores, rows


@compiled
def _score(q: Any, x: Any, found: Any) -> Any:
    out = np.empty(found.shape, np.float32)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            out[i, j] = dot(q[i], x[found[i, j]])
    return out


def check_search(
    queries: NDArray[Any], points: NDArray[Any], k: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both arrays as contiguous float32 [n, d], or raise InputError."""
    q = np.ascontiguousarray(queries, dtype=np.float32)
    x = np.ascontiguousarray(points, dtype=np.float32)
    if k < 1:
        raise InputError(f"top_k needs k of at least 1, got {k}")
    if q.shape[1] != x.shape[1]:
        raise InputError(f"queries have {q.shape[1]} columns, points have {x.shape[1]}")
    for name, array in (("queries", q), ("points", x)):
        bad = ~np.isfinite(squared_norms(array))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(f"row {row} of {name} holds NaN or infinity", fix="remove such rows")
    return q, x
