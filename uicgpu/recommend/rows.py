"""Loops over one user's row of scores: products, z-scores, best items.

Every loop treats a row on its own, in float64 where sums decide, so that a user's result depends neither on the other
users of the block nor on the number of threads. The loops release the interpreter lock: blocks run on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import one_blas_thread
from uicgpu.errors import UicError
from uicgpu.kernels.compilation import compiled

SMALLEST_DEVIATION = 1e-9
TILE = 64
"""Rows per matrix product; products are padded to it, so that a row's sum does not depend on the block's size."""


@compiled
def add_sparse_rows(
    offsets: Any, indices: Any, weights: Any, table_offsets: Any, table_columns: Any, table_values: Any, columns: int
) -> Any:
    """Product of two CSR matrices, dense float32 [rows, columns]: row r = sum of weight x table row."""
    rows = offsets.size - 1
    out = np.empty((rows, columns), np.float32)
    total = np.empty(columns, np.float64)
    for row in range(rows):
        total[:] = 0.0
        for entry in range(offsets[row], offsets[row + 1]):
            weight = np.float64(weights[entry])
            source = indices[entry]
            for place in range(table_offsets[source], table_offsets[source + 1]):
                total[table_columns[place]] += weight * table_values[place]
        for column in range(columns):
            out[row, column] = total[column]
    return out


@compiled
def add_dense_rows(offsets: Any, indices: Any, weights: Any, position: Any, table: Any, columns: int) -> Any:
    """Sum of weight x table row over a CSR row's entries, float32 [rows, columns].

    ``position[item]`` is the item's row and column in the square ``table``, -1 where it has none; such entries add
    nothing and such columns stay 0.
    """
    rows = offsets.size - 1
    size = table.shape[0]
    out = np.zeros((rows, columns), np.float32)
    total = np.empty(size, np.float64)
    for row in range(rows):
        total[:] = 0.0
        for entry in range(offsets[row], offsets[row + 1]):
            source = position[indices[entry]]
            if source < 0:
                continue
            weight = np.float64(weights[entry])
            line = table[source]
            for column in range(size):
                total[column] += weight * line[column]
        for column in range(columns):
            if position[column] >= 0:
                out[row, column] = total[position[column]]
    return out


@compiled
def add_weighted(total: Any, scores: Any, weights: Any) -> None:
    """Add ``weights[row] * scores[row]`` to float64 ``total``, in place and without a table in between."""
    for row in range(total.shape[0]):
        weight = np.float64(weights[row])
        if weight != 0.0:
            for column in range(total.shape[1]):
                total[row, column] += weight * scores[row, column]


@compiled
def exclude(scores: Any, offsets: Any, items: Any, allowed: Any, keep_seen: bool) -> None:
    """Set to minus infinity, in place, what is no candidate: items not allowed, and seen ones unless ``keep_seen``.

    ``allowed`` is bool [1 or rows, columns].
    """
    for row in range(scores.shape[0]):
        permitted = allowed[row if allowed.shape[0] > 1 else 0]
        for item in range(scores.shape[1]):
            if not permitted[item]:
                scores[row, item] = -np.inf
        if not keep_seen:
            for entry in range(offsets[row], offsets[row + 1]):
                scores[row, items[entry]] = -np.inf


@compiled
def standardise(scores: Any, offsets: Any, items: Any, known: Any, judges_unknown: bool, keep_seen: bool) -> None:
    """Turn scores into z-scores per row, in place: mean and deviation over the known items that the row has not seen.

    An unknown item gets its z-score if the arm ``judges_unknown`` items, else 0: no evidence, so the mean.
    """
    columns = scores.shape[1]
    counted = np.empty(columns, np.bool_)
    for row in range(scores.shape[0]):
        counted[:] = known
        if not keep_seen:
            for entry in range(offsets[row], offsets[row + 1]):
                counted[items[entry]] = False
        number = 0
        total = 0.0
        for item in range(columns):
            if counted[item]:
                number += 1
                total += scores[row, item]
        mean = total / max(number, 1)
        squares = 0.0
        for item in range(columns):
            if counted[item]:
                squares += (scores[row, item] - mean) ** 2
        deviation = max(np.sqrt(squares / max(number, 1)), SMALLEST_DEVIATION)
        for item in range(columns):
            if known[item] or judges_unknown:
                scores[row, item] = (scores[row, item] - mean) / deviation
            else:
                scores[row, item] = 0.0


@compiled
def best_items(scores: Any, top: int) -> Any:
    """Indices of the ``top`` largest finite scores per row, best first, ties by lower index; int32, padded with -1."""
    rows, columns = scores.shape
    best = np.full((rows, top), -1, np.int32)
    values = np.empty(top, scores.dtype)
    for row in range(rows):
        held = 0
        for item in range(columns):
            score = scores[row, item]
            if score == -np.inf or (held == top and not score > values[top - 1]):
                continue
            place = min(held, top - 1)
            while place > 0 and values[place - 1] < score:
                values[place] = values[place - 1]
                best[row, place] = best[row, place - 1]
                place -= 1
            values[place] = score
            best[row, place] = item
            held = min(held + 1, top)
    return best


def tiled_product(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """``rows @ columns.T`` in tiles of 64 padded rows, float32 [rows, columns]."""
    out = np.empty((rows.shape[0], columns.shape[0]), np.float32)
    tile = np.zeros((TILE, rows.shape[1]), np.float32)
    with one_blas_thread():
        for start in range(0, rows.shape[0], TILE):
            part = rows[start : start + TILE]
            tile[: part.shape[0]] = part
            tile[part.shape[0] :] = 0
            out[start : start + part.shape[0]] = (tile @ columns.T)[: part.shape[0]]
    return out


def check_finite(scores: NDArray[np.float32], arm: str) -> NDArray[np.float32]:
    """Return ``scores``; raise if the arm produced NaN or an infinite score."""
    if not np.isfinite(scores).all():
        raise UicError(f"the arm {arm!r} produced a score that is not a number or infinite", where="recommend")
    return scores
