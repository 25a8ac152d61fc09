"""One tile of products: whatever may be among the best is scored by the canonical dot product and kept in a heap."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from uicgpu.kernels.compilation import compiled, compiled_maximum
from uicgpu.kernels.dot import dot

PIECE: Final = 64
"""Products that are passed over together when the largest of them is too small."""
NOBODY: Final = 2**63 - 1
"""Row of a free place: behind all others among equal scores."""


@compiled_maximum
def _largest(products: Any) -> Any:
    best = np.float32(-np.inf)
    for product in products:
        best = product if product > best else best
    return best


@compiled
def _behind(score: Any, row: Any, other_score: Any, other_row: Any) -> Any:
    """Whether an entry ranks behind another: a lower score, or the same one of a higher row."""
    return score < other_score or (score == other_score and row > other_row)


@compiled
def _replace_last(scores: Any, rows: Any, score: Any, row: Any) -> None:
    """Take an entry into a heap in the place of its last one, which stands at 0."""
    place, count = 0, scores.shape[0]
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and _behind(scores[child + 1], rows[child + 1], scores[child], rows[child]):
            child += 1
        if not _behind(scores[child], rows[child], score, row):
            break
        scores[place], rows[place] = scores[child], rows[child]
        place = child
    scores[place], rows[place] = score, row


@compiled
def scan(products: Any, queries: Any, points: Any, order: Any, errors: Any, scores: Any, rows: Any, limits: Any) -> Any:
    """Take the best points of a tile into the heaps of its queries.

    Parameters
    ----------
    products
        float32 [queries, tile]: not less than the canonical dot product minus the query's error.
    queries, points
        float32 [queries, d] and [all points, d].
    order
        int64 [tile], rows of the tile's points in ``points``.
    errors
        float64 [queries]; infinity where products may have overflowed: nothing is excluded then.
    scores, rows
        float32 and int64 [queries, k], heaps; -infinity and ``NOBODY`` in free places.
    limits
        float32 [queries], what a product must reach; kept up to date.

    Returns
    -------
    Number of points that were scored.
    """
    scored, width = 0, products.shape[1]
    for q in range(products.shape[0]):
        for piece in range(0, width, PIECE):
            last = min(piece + PIECE, width)
            # a limit of NaN or -infinity excludes nothing, and a product may be NaN where it is one
            if limits[q] > -np.inf and _largest(products[q, piece:last]) < limits[q]:
                continue
            for p in range(piece, last):
                if products[q, p] < limits[q]:
                    continue
                scored += 1
                row = order[p]
                score = np.float32(dot(queries[q], points[row]))
                if _behind(scores[q, 0], rows[q, 0], score, row):
                    _replace_last(scores[q], rows[q], score, row)
                    limits[q] = np.float32(scores[q, 0] - errors[q])
    return scored
