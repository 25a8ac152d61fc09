"""What lists are like apart from being right: how much of the catalogue, how obvious, how varied, how even."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def coverage(lists: NDArray[np.int32], known: NDArray[np.bool_]) -> float | None:
    """Distinct recommended items with events / items with events; grows with the number of lists."""
    shown = np.unique(lists[lists >= 0])
    total = int(known.sum())
    return float(known[shown].sum() / total) if total else None


def novelty(lists: NDArray[np.int32], counts: NDArray[np.int64]) -> float | None:
    """Mean of ``-log2 p`` over all recommended items, bits; ``p = (count + 1) / (events + items)``."""
    surprise = -np.log2((counts + 1.0) / (counts.sum() + counts.size))
    shown = lists[lists >= 0]
    return float(surprise[shown].mean()) if shown.size else None


def diversity(lists: NDArray[np.int32], vectors: NDArray[np.float32]) -> tuple[float | None, int]:
    """Mean over lists of the mean ``1 - cosine`` over pairs of items; and how many list entries had no vector.

    Parameters
    ----------
    vectors
        float32 [items, dim], unit length or zero. Lists with fewer than two vectors drop out.
    """
    shown = np.maximum(lists, 0)
    present = (lists >= 0) & (vectors != 0).any(axis=1)[shown]
    number = present.sum(axis=1).astype(np.float64)
    # The sum of all pairs' cosines is (|sum of vectors|^2 - sum of squared lengths) / 2: no pair is formed.
    total = np.zeros((lists.shape[0], vectors.shape[1]), np.float64)
    squares = np.zeros(lists.shape[0], np.float64)
    for column in range(lists.shape[1]):
        rows = vectors[shown[:, column]].astype(np.float64) * present[:, column, None]
        total += rows
        squares += (rows**2).sum(axis=1)
    enough = number >= 2
    missing = int(((lists >= 0) & ~present).sum())
    if not enough.any():
        return None, missing
    cosines = ((total[enough] ** 2).sum(axis=1) - squares[enough]) / (number[enough] * (number[enough] - 1))
    return float(1.0 - cosines.mean()), missing


def gini(lists: NDArray[np.int32], known: NDArray[np.bool_]) -> float | None:
    """Inequality of how often items are recommended, over all items with events: 0 even, near 1 few items."""
    counts = np.sort(np.bincount(lists[lists >= 0], minlength=known.size)[known]).astype(np.float64)
    if not counts.sum():
        return None
    places = np.arange(1.0, counts.size + 1.0)
    return float(((2 * places - counts.size - 1) * counts).sum() / (counts.size * counts.sum()))
