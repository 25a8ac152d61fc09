"""Which interests does a user have? A few of the user's own items that stand for the rest: medoids.

One vector for a user who cooks and climbs lies between cooking and climbing, where nobody is. Medoids stay where items
are, and each can be named: it is an item.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import NO_TIME, Interactions
from uicgpu.kernels.compilation import compiled
from uicgpu.vocabulary import Column

MOST_INTERESTS: Final = 5
MOST_ITEMS: Final = 48
"""Items of a user that are looked at: the weightiest. Work per user grows with their square."""
LEAST_GAIN: Final = 0.08
"""A further interest must cover at least this part of the user's weight anew."""
ROUNDS: Final = 3
USERS_PER_PART: Final = 4096

INTERESTS_SCHEMA: Final = {
    Column.USER_CODE: pl.Int32,
    Column.RANK: pl.Int32,
    Column.ITEM_CODE: pl.Int32,
    "importance": pl.Float32,
    Column.LAST_TIME: pl.Int64,
}


@dataclass(frozen=True)
class UserInterests:
    """Interests of users in CSR order: by user, then importance, ties by item.

    Attributes
    ----------
    offsets
        int64 [users + 1].
    items
        int32 [interests], the medoid: a row of the item vectors.
    importance
        float32 [interests], part of the user's weight that the medoid stands for; at most 1 in total (items that are
        like none of the medoids stand for themselves).
    last_times
        int64 [interests], latest time of an item that the medoid stands for, microseconds, ``NO_TIME`` where unknown.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    importance: NDArray[np.float32]
    last_times: NDArray[np.int64]

    def frame(self) -> pl.DataFrame:
        """As a table: ``user``, ``rank`` (from 1), ``item``, ``importance``, ``last_time`` (null where unknown)."""
        counts = np.diff(self.offsets)
        users = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
        ranks = (np.arange(self.items.size) - self.offsets[users] + 1).astype(np.int32)
        columns = (users, ranks, self.items, self.importance, self.last_times)
        frame = pl.DataFrame(dict(zip(INTERESTS_SCHEMA, columns, strict=True)), schema=INTERESTS_SCHEMA)
        known = pl.col(Column.LAST_TIME) != NO_TIME
        return frame.with_columns(pl.when(known).then(pl.col(Column.LAST_TIME)).alias(Column.LAST_TIME))


def find_interests(
    interactions: Interactions,
    item_vectors: NDArray[np.float32],
    item_weights: NDArray[np.float64],
    backend: Backend,
    *,
    most: int = MOST_INTERESTS,
    advance: Callable[[int], None] | None = None,
) -> UserInterests:
    """Find up to ``most`` medoids of each user's items.

    An item weighs ``log(1 + w_ui) * item_weights[i]``. Medoids are added one by one, each the item that covers most of
    the weight anew (facility location: an item is covered by its cosine to the nearest medoid, if positive), until a
    further one adds less than ``LEAST_GAIN`` of the weight; then up to three rounds of reassignment and new medoids
    follow. Ties go to the lowest item. Users are worked on in fixed parts; memory is bounded by ``MOST_ITEMS`` squared
    per thread and by what is returned.

    Parameters
    ----------
    item_vectors
        float32 [items, dim], centred and of unit length (:meth:`InterestPooler.centred`); zero rows are left out.
    item_weights
        float64 [items], for example the pooler's idf.

    References
    ----------
    A. Pal et al., "PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest", KDD 2020
    (medoids with importance for each user; there by Ward's method).
    """
    if item_vectors.ndim != 2 or item_vectors.shape[0] < interactions.n_items or not 1 <= most <= 64:
        raise InputError(
            f"item_vectors have shape {item_vectors.shape} for {interactions.n_items} items, most is {most}",
            fix="pass the vectors of this run, and most from 1 to 64",
        )
    vectors = np.ascontiguousarray(item_vectors, np.float32)
    weights = np.log1p(interactions.weights.astype(np.float64)) * item_weights[interactions.items]
    n_users = interactions.n_users

    def work(first: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        last = min(first + USERS_PER_PART, n_users)
        counts = np.zeros(last - first, np.int32)
        items = np.zeros((last - first, most), np.int32)
        importance = np.zeros((last - first, most), np.float32)
        times = np.full((last - first, most), NO_TIME, np.int64)
        _medoids(
            interactions.offsets[first : last + 1],
            interactions.items,
            weights,
            interactions.last_times,
            vectors,
            MOST_ITEMS,
            LEAST_GAIN,
            counts,
            items,
            importance,
            times,
        )
        kept = np.arange(most) < counts[:, None]
        if advance:
            advance(last - first)
        return counts, items[kept], importance[kept], times[kept]

    parts = list(backend.map(work, range(0, n_users, USERS_PER_PART)))
    if not parts:
        empty = np.empty(0, np.int64)
        return UserInterests(np.zeros(1, np.int64), empty.astype(np.int32), empty.astype(np.float32), empty)
    counts, items, importance, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return UserInterests(offsets, items, importance, times)


@compiled
def _medoids(
    offsets: NDArray[np.int64],
    all_items: NDArray[np.int32],
    all_weights: NDArray[np.float64],
    all_times: NDArray[np.int64],
    vectors: NDArray[np.float32],
    most_items: int,
    least_gain: float,
    counts: NDArray[np.int32],
    items: NDArray[np.int32],
    importance: NDArray[np.float32],
    times: NDArray[np.int64],
) -> None:
    """Fill one row per user of the last four arrays."""
    for user in range(offsets.size - 1):
        start, end = offsets[user], offsets[user + 1]
        # The weightiest items, then in the order of items: a stable sort settles ties by the lowest item.
        order = np.argsort(-all_weights[start:end], kind="mergesort")[:most_items] + start
        order.sort()
        chosen = _usable(order, all_items, all_weights, vectors)
        if chosen.size == 0:
            continue
        near = _cosines(all_items[chosen], vectors)
        weight = all_weights[chosen]
        whole = 0.0
        for value in weight:
            whole += value
        medoids = _cover(near, weight, items.shape[1], least_gain * whole)
        owner = _settle(near, weight, medoids)
        part = np.zeros(medoids.size)
        latest = np.full(medoids.size, np.iinfo(np.int64).min)
        for a in range(chosen.size):
            if near[a, medoids[owner[a]]] > 0:
                part[owner[a]] += weight[a]
                latest[owner[a]] = max(latest[owner[a]], all_times[chosen[a]])
        # Medoids by ascending item first: the stable sort by importance then settles ties by the lowest item.
        by_item = np.argsort(medoids, kind="mergesort")
        ranked = by_item[np.argsort(-part[by_item], kind="mergesort")]
        counts[user] = medoids.size
        for place in range(medoids.size):
            items[user, place] = all_items[chosen[medoids[ranked[place]]]]
            importance[user, place] = part[ranked[place]] / whole
            times[user, place] = latest[ranked[place]]


@compiled
def _usable(
    order: NDArray[np.int64],
    all_items: NDArray[np.int32],
    all_weights: NDArray[np.float64],
    vectors: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Entries with a weight and a vector."""
    kept = np.zeros(order.size, np.bool_)
    for place in range(order.size):
        if all_weights[order[place]] > 0:
            kept[place] = np.any(vectors[all_items[order[place]]] != 0)
    return order[kept]


@compiled
def _cosines(items: NDArray[np.int32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of unit rows in float64, negative ones as 0."""
    n = items.size
    near = np.ones((n, n))
    for a in range(n):
        for b in range(a):
            total = 0.0
            for d in range(vectors.shape[1]):
                total += np.float64(vectors[items[a], d]) * np.float64(vectors[items[b], d])
            near[a, b] = near[b, a] = max(total, 0.0)
    return near


@compiled
def _cover(near: NDArray[np.float64], weight: NDArray[np.float64], most: int, least: float) -> NDArray[np.int64]:
    """Greedy facility location: each medoid is the item that covers most anew."""
    n = weight.size
    covered = np.zeros(n)
    medoids = np.empty(min(most, n), np.int64)
    found = 0
    while found < medoids.size:
        best, gain = -1, 0.0
        for c in range(n):
            added = 0.0
            for a in range(n):
                added += weight[a] * max(near[a, c] - covered[a], 0.0)
            if added > gain:
                best, gain = c, added
        if best < 0 or (found > 0 and gain < least):
            break
        medoids[found] = best
        found += 1
        for a in range(n):
            covered[a] = max(covered[a], near[a, best])
    return medoids[:found]


@compiled
def _settle(near: NDArray[np.float64], weight: NDArray[np.float64], medoids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rounds of k-medoids; moves ``medoids`` in place and returns the medoid of each item."""
    owner = np.zeros(weight.size, np.int64)
    for turn in range(ROUNDS + 1):
        for a in range(weight.size):
            owner[a] = 0
            for m in range(1, medoids.size):
                if near[a, medoids[m]] > near[a, medoids[owner[a]]]:
                    owner[a] = m
        if turn == ROUNDS:
            break
        moved = False
        for m in range(medoids.size):
            members = np.flatnonzero(owner == m)
            best, nearest = int(medoids[m]), -1.0
            for candidate in members:
                total = 0.0
                for member in members:
                    total += weight[member] * near[member, candidate]
                if total > nearest:
                    best, nearest = int(candidate), total
            if best != medoids[m]:
                medoids[m] = best
                moved = True
        if not moved:
            break
    return owner
