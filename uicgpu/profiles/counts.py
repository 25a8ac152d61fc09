"""How much of each item does each cluster hold, and how many of its users hold it?

Every function walks over users in blocks of whole users whose bounds depend on the data alone. Nothing is users x items
dense; sums are float64 in the order of users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.events.interactions import Interactions

PAIRS_PER_BLOCK = 1 << 21
"""Interactions per block (about 100 MB of working set)."""


@dataclass(frozen=True)
class Groups:
    """Users by cluster; the users without a cluster (-1) form one more group at the end.

    Attributes
    ----------
    codes
        int64 [users], group of each user.
    labels
        Cluster id of each group: ``0 … k - 1`` and, if any user has it, ``-1``.
    sizes
        int64 [groups], users per group.
    """

    codes: NDArray[np.int64]
    labels: tuple[int, ...]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def group_users(labels: NDArray[np.int32], clusters: int | None = None) -> Groups:
    """Return the groups of ``labels`` (int32 [users], -1 = no cluster); ``clusters`` fixes k for unused ids."""
    labels = np.asarray(labels)
    largest = int(labels.max()) + 1 if labels.size else 0
    k = max(largest, clusters or 0)
    codes = np.where(labels < 0, k, labels).astype(np.int64)
    ids = (*range(k), -1) if bool((labels < 0).any()) else tuple(range(k))
    return Groups(codes, ids, np.bincount(codes, minlength=len(ids))[: len(ids)].astype(np.int64))


def even_weights(interactions: Interactions) -> NDArray[np.float64]:
    """Weight of each pair such that every user weighs 1 in total: ``log1p(w) / sum of the user's log1p(w)``.

    One user has one vote, so a wholesaler with thousands of rows does not decide what a cluster is about.
    """
    damped = np.log1p(interactions.weights.astype(np.float64))
    users = np.repeat(np.arange(interactions.n_users), np.diff(interactions.offsets))
    totals = np.bincount(users, weights=damped, minlength=interactions.n_users)
    return damped / np.where(totals > 0, totals, 1.0)[users] if damped.size else damped


def user_blocks(interactions: Interactions, pairs: int = PAIRS_PER_BLOCK) -> Iterator[tuple[int, int]]:
    """Yield ``(first user, last user + 1)`` of blocks with about ``pairs`` interactions each."""
    first = 0
    while first < interactions.n_users:
        target = interactions.offsets[first] + pairs
        last = int(np.searchsorted(interactions.offsets, target, side="right")) - 1
        last = min(max(last, first + 1), interactions.n_users)
        yield first, last
        first = last


def group_items(
    groups: Groups, interactions: Interactions, values: NDArray[np.float64] | None = None
) -> sparse.csr_array:
    """Sum ``values`` (float64 [pairs]; ones if None, that is: distinct users) into a sparse groups x items matrix."""
    shape = (len(groups), interactions.n_items)
    total = sparse.csr_array(shape, dtype=np.float64)
    for first, last in user_blocks(interactions):
        start, end = int(interactions.offsets[first]), int(interactions.offsets[last])
        owners = np.repeat(groups.codes[first:last], np.diff(interactions.offsets[first : last + 1]))
        data = np.ones(end - start) if values is None else values[start:end]
        total = total + sparse.coo_array((data, (owners, interactions.items[start:end])), shape=shape).tocsr()
    total.sum_duplicates()
    return total


def users_holding(groups: Groups, interactions: Interactions, marks: sparse.csr_array) -> NDArray[np.int64]:
    """Count the users of each group who hold at least one item with each mark.

    Parameters
    ----------
    marks
        Sparse items x marks matrix (terms, categories); any stored non-zero counts.

    Returns
    -------
    int64 [groups, marks]
    """
    held = np.zeros((len(groups), marks.shape[1]), np.int64)
    present = sparse.csr_array((np.ones(marks.nnz, np.float32), marks.indices, marks.indptr), shape=marks.shape)
    for first, last in user_blocks(interactions, PAIRS_PER_BLOCK // 8):
        start, end = int(interactions.offsets[first]), int(interactions.offsets[last])
        block = sparse.csr_array(
            (
                np.ones(end - start, np.float32),
                interactions.items[start:end],
                interactions.offsets[first : last + 1] - start,
            ),
            shape=(last - first, interactions.n_items),
        )
        touched = (block @ present).tocoo()
        np.add.at(held, (groups.codes[first:last][touched.row], touched.col), 1)
    return held
