"""What lists are like apart from being right: how much of the catalogue, how obvious, how varied, how even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.events.interactions import Interactions

USERS_PER_CHUNK: Final = 1024


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


def calibration(
    lists: NDArray[np.int32],
    history: Interactions,
    users: NDArray[np.int32],
    categories: Sequence[tuple[str, ...]],
) -> tuple[float | None, int]:
    """Mean Jensen-Shannon divergence (base 2, 0 to 1) between the categories of history and list; and users left out.

    An item's weight is spread evenly over its categories. Both mixes are smoothed by 1 % of the other's mean; users
    without a category in the history or in the list are left out (calibrated recommendations, Steck, 2018).

    Parameters
    ----------
    lists
        int32 [users, K]; row r belongs to ``users[r]``.
    """
    names = {name: code for code, name in enumerate(sorted({name for own in categories for name in own}))}
    lengths = np.array([len(own) for own in categories], np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    codes = np.array([names[name] for own in categories for name in own], np.int32)
    spread = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
    table = sparse.csr_array((spread, codes, offsets), shape=(len(categories), max(len(names), 1)))
    total, counted = 0.0, 0
    for start in range(0, users.size, USERS_PER_CHUNK):
        rows = slice(start, start + USERS_PER_CHUNK)
        own = (history.matrix()[users[rows]] @ table).toarray()
        shown = lists[rows]
        place, column = np.nonzero(shown >= 0)
        ones = (np.ones(place.size), (place, shown[place, column]))
        given = (sparse.coo_array(ones, shape=(shown.shape[0], len(categories))).tocsr() @ table).toarray()
        there = (own.sum(axis=1) > 0) & (given.sum(axis=1) > 0)
        p = own[there] / own[there].sum(axis=1, keepdims=True)
        q = given[there] / given[there].sum(axis=1, keepdims=True)
        p, q = 0.99 * p + 0.01 * q, 0.99 * q + 0.01 * p
        middle = (p + q) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
        total += float((terms.sum(axis=1) / 2).sum())
        counted += int(there.sum())
    return (total / counted if counted else None), int(users.size - counted)
