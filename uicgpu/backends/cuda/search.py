"""Exact search for the largest inner products on a GPU: FAISS proposes, the canonical dot product ranks on the host.

FAISS adds up in an order of its own and leaves the order of equal scores open. So more than ``k`` candidates are taken,
as many as it needs until the last one lies below the k-th by more than the rounding error of a float32 product; the
candidates are scored again by :func:`uicgpu.kernels.dot.dot` and sorted by descending score, then ascending row. What
needs more candidates than FAISS gives is searched on the host.

Not executed on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu import search as host
from uicgpu.backends.cpu.search import Found
from uicgpu.backends.probe import need_library
from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.dot import dot

MOST_CANDIDATES = 2048
"""FAISS on a GPU returns at most so many neighbours."""
MARGIN = 8
"""Candidates beyond k in the first attempt."""
QUERIES = 16384
"""Queries per call."""
CANDIDATES = 1 << 21
"""Candidates held at once: 24 MB of scores and rows."""

Search = Callable[[NDArray[np.float32], int], Found]


def top_k(queries: NDArray[Any], points: NDArray[Any], k: int, number: int, threads: int, memory: int) -> Found:
    """See :meth:`uicgpu.backends.interface.Backend.top_k`; FAISS cuts points and queries to fit into ``memory``."""
    q, x = host.check_search(queries, points, k, threads)
    scores, rows = host.no_answers(len(q.x), k)
    if len(q.x) == 0 or len(x.x) == 0:
        return scores, rows
    need_library("faiss", number)
    faiss = host.load_faiss()
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(min(memory // 4, 512 * 2**20))

    def search(part: NDArray[np.float32], count: int) -> Found:
        found: Found = faiss.knn_gpu(
            resources,
            np.ascontiguousarray(part),
            x.x,
            count,
            metric=faiss.METRIC_INNER_PRODUCT,  # its default is the Euclidean distance
            device=number,
            vectorsMemoryLimit=memory // 2,
            queriesMemoryLimit=memory // 4,
        )
        return found

    unsure = []
    for start in range(0, len(q.x), QUERIES):
        block = slice(start, start + QUERIES)
        scores[block], rows[block], open_ = refine(q.x[block], q.squares[block], x, k, search)
        unsure.append(start + open_)
    left = np.concatenate(unsure)
    if left.size:
        scores[left], rows[left] = host.top_k(q.x[left], x.x, k, threads)
    return scores, rows


def refine(
    q: NDArray[np.float32], squares: NDArray[np.float64], x: Points, k: int, search: Search
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the k best points per query, decided by the canonical dot product, and the queries that stay undecided.

    Parameters
    ----------
    q, squares
        Queries, float32 [n, d], contiguous, finite, and their squared norms.
    search
        ``search(queries, count)`` returns scores and rows of the ``count`` best points by float32 products.
    """
    n, d = q.shape
    scores, rows = host.no_answers(n, k)
    shown = min(k, len(x.x))
    norms = np.sqrt(squares)
    # twice the bound d u |q||x| of a float32 dot product, which also covers rounding the canonical score to float32
    error = (d + 2) * 2.0**-23 * norms * x.longest
    zero = norms == 0
    scores[zero, :shown], rows[zero, :shown] = 0, np.arange(shown)
    pending, count = np.flatnonzero(~zero), min(k + MARGIN, len(x.x))
    while pending.size and count <= MOST_CANDIDATES:
        unsure = []
        step = max(1, CANDIDATES // count)
        for start in range(0, len(pending), step):
            part = pending[start : start + step]
            bounds, found = search(q[part], count)
            exact = _score(q[part], x.x, found)
            order = np.lexsort((found, -exact), axis=-1)[:, :shown]
            scores[part, :shown] = np.take_along_axis(exact, order, axis=1)
            rows[part, :shown] = np.take_along_axis(found, order, axis=1)
            if count < len(x.x):
                unsure.append(part[bounds[:, -1] + error[part] >= scores[part, shown - 1]])
        pending = np.concatenate(unsure) if unsure else pending[:0]
        count = min(4 * count, len(x.x))
    return scores, rows, pending


@compiled
def _score(q: Any, x: Any, found: Any) -> Any:
    out = np.empty(found.shape, np.float32)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            out[i, j] = dot(q[i], x[found[i, j]])
    return out
