"""Ranking metrics over the full catalogue: what was held out, which of it the list holds, and the numbers.

Every metric is one number per user (float64), so that intervals come from resampling users. With L the list of K items,
T the user's held-out items, and hit_i = 1 where the i-th item of L is in T:

=============  ==========================================================================
``precision``  sum of hits / K, always K, also for a shorter list
``recall``     sum of hits / size of T, not min(K, size of T): the maximum can lie below 1
``hit_rate``   1 if there is a hit
``mrr``        1 / rank of the first hit, 0 without one
``ndcg``       sum of hit_i / log2(i + 1), divided by the same sum for min(K, size of T) hits
``map``        sum of hit_i x precision at i, divided by min(K, size of T)
=============  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.evaluation.hits import KINDS, mark_hits, measure
from uicgpu.events.interactions import EventTable, Interactions, aggregate

CUTS: Final = (10, 20)
METRICS: Final = tuple(f"{kind}@{k}" for k in CUTS for kind in KINDS)
LONGEST_LIST: Final = max(CUTS)
_CUTS: Final = np.array(CUTS, np.int64)


@dataclass(frozen=True)
class Truth:
    """Held-out items of some users, in CSR order.

    Attributes
    ----------
    users
        int32 [users], ascending; each has at least one item.
    offsets, items
        User ``users[r]`` chose ``items[offsets[r]:offsets[r + 1]]``, ascending, without repetition.
    seen_removed
        Held-out pairs that the user had already in the past part: they cannot be recommended and were left out.
    """

    users: NDArray[np.int32]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    seen_removed: int

    def __len__(self) -> int:
        return int(self.users.size)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64 [users], held-out items per user."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Truth:
        """Return some of the users, by ascending row."""
        sizes = self.sizes[rows]
        offsets = np.zeros(rows.size + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        entries = np.repeat(self.offsets[rows] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Truth(self.users[rows], offsets, self.items[entries], self.seen_removed)

    def keep(self, pairs: NDArray[np.bool_]) -> Truth:
        """Return some of the pairs, bool [pairs]; users without any drop out."""
        sizes = np.bincount(np.repeat(np.arange(len(self)), self.sizes)[pairs], minlength=len(self))
        there = sizes > 0
        offsets = np.concatenate(([0], np.cumsum(sizes[there]))).astype(np.int64)
        return Truth(self.users[there], offsets, self.items[pairs], self.seen_removed)

    def only(self, items: NDArray[np.bool_]) -> Truth:
        """Return the pairs whose item is marked, bool [items]."""
        return self.keep(items[self.items])

    def unreachable_share(self, known: NDArray[np.bool_]) -> float | None:
        """Share of the held-out pairs whose item has no event in the past part; they count as misses."""
        return float(1.0 - known[self.items].mean()) if self.items.size else None


def held_out(later: EventTable, past: Interactions, *, keep_seen: bool = False) -> Truth:
    """Distinct later (user, item) pairs; those already in the past are removed unless ``keep_seen``.

    Users whose held-out items were all seen before drop out.
    """
    pairs = aggregate(later)
    users, items = pairs.users, pairs.items
    new = np.ones(items.size, np.bool_)
    if not keep_seen:
        width = np.int64(max(past.n_items, 1))
        new = ~np.isin(users * width + items, past.users * width + past.items)
    users, items = users[new], items[new]
    present, counts = np.unique(users, return_counts=True)
    offsets = np.zeros(present.size + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return Truth(present.astype(np.int32), offsets, items, int((~new).sum()))


def hits_of(lists: NDArray[np.int32], truth: Truth) -> NDArray[np.bool_]:
    """Whether each item of each list is held out, bool [users, K].

    Parameters
    ----------
    lists
        int32 [users, K], best first, -1 for "no item"; row r belongs to ``truth.users[r]``.
    """
    found: NDArray[np.bool_] = mark_hits(lists, truth.offsets, truth.items)
    return found


def ranking_metrics(hits: NDArray[np.bool_], sizes: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Compute :data:`METRICS` per user, all of them in one pass over the hits.

    Parameters
    ----------
    hits
        bool [users, K] with K of at least 20, or shorter where the catalogue is.
    sizes
        int64 [users], held-out items per user, at least 1.
    """
    found: NDArray[np.float64] = measure(hits, sizes, _CUTS, _discounts(LONGEST_LIST))
    return {f"{name}@{k}": found[row, column] for column, k in enumerate(CUTS) for row, name in enumerate(KINDS)}


def ndcg(hits: NDArray[np.bool_], sizes: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Discounted gain over the best that min(K, held-out items) allows, float64 [users]."""
    return _alone("ndcg", hits, sizes, k)


def hit_rate(hits: NDArray[np.bool_], sizes: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """1 if there is a hit, float64 [users]."""
    return _alone("hit_rate", hits, sizes, k)


def _alone(name: str, hits: NDArray[np.bool_], sizes: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    found = measure(hits, sizes, np.array([k], np.int64), _discounts(k))
    return np.asarray(found[KINDS.index(name), 0], np.float64)


def _discounts(k: int) -> NDArray[np.float64]:
    """1 / log2(rank + 1) of ranks 1 to K."""
    return np.asarray(1.0 / np.log2(np.arange(k) + 2.0), np.float64)
