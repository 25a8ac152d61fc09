"""What is chosen next: co-occurrence of items in one basket and in consecutive baskets."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.recommend.co_occurrence import LONGEST_HISTORY
from uicgpu.recommend.ease import recent_entries
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import add_sparse_rows
from uicgpu.recommend.strongest import strongest_of_table


class SequentialItems:
    """``score = x W`` with the last baskets counting most, ``x_i = .5 ^ (baskets back / half_life)``.

    A basket is all a user chose at one moment. ``Q_ij`` counts how often j was in the basket after i's, and how often
    both were in one basket; ``W_ij = Q_ij n_i^-.5 n_j^-exponent``. With a short half-life only the last items speak.

    Parameters
    ----------
    half_life
        Baskets after which an event weighs half.
    exponent
        Penalty on popular targets.
    """

    name: ClassVar[str] = "sequential"
    judges_unknown: ClassVar[bool] = False
    weights: sparse.csr_array
    """float32 [items, items], learned: row = earlier item, column = target."""

    def __init__(self, half_life: float = 1.0, exponent: float = 0.5) -> None:
        self.half_life = half_life
        self.exponent = exponent

    def fit(self, part: TrainingPart) -> Self:
        """Count transitions and baskets."""
        counted = part.transitions
        counts = np.maximum(part.item_counts, 1).astype(np.float64)
        rows = np.repeat(np.arange(counts.size), np.diff(counted.indptr))
        values = counted.data * counts[rows] ** -0.5 * counts[counted.indices] ** -self.exponent
        self.weights = sparse.csr_array(
            (values.astype(np.float32), counted.indices, counted.indptr), shape=counted.shape
        )
        return self

    def entries(self, block: UserBlock) -> NDArray[np.float32]:
        """Weights of the histories' entries: the last baskets most."""
        return recent_entries(block, "basket", self.half_life)

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return ``x W``, float32 [b, items]."""
        table = self.weights
        out: NDArray[np.float32] = add_sparse_rows(
            block.offsets, block.items, self.entries(block), table.indptr, table.indices, table.data, table.shape[1]
        )
        return out

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        return strongest_of_table(block, self.entries(block), self.weights, rows, items, number)


def count_transitions(part: TrainingPart) -> sparse.csr_array:
    """Count pairs of items in one basket and in consecutive baskets of a user, float64 CSR without a diagonal.

    Of a history only the last ``LONGEST_HISTORY`` items count: the work grows with the square of a basket.
    """
    pairs = part.interactions
    events_back, baskets_back = part.steps_back
    kept = events_back < LONGEST_HISTORY
    users, items = pairs.users[kept].astype(np.int64), pairs.items[kept]
    # Baskets count backwards; one id more per user keeps the last basket of one from meeting the first of the next.
    back = baskets_back[kept].astype(np.int64)
    width = int(back.max(initial=0)) + 2
    keys, basket = np.unique(users * width + (width - 1 - back), return_inverse=True)
    size = (keys.size, pairs.n_items)
    baskets = sparse.coo_array((np.ones(items.size), (basket, items)), shape=size).tocsr()
    after = np.searchsorted(keys, keys + 1)
    has_next = (after < keys.size) & (keys[np.minimum(after, keys.size - 1)] == keys + 1)
    first = baskets[np.flatnonzero(has_next)]
    second = baskets[after[has_next]]
    counted = (first.T @ second + baskets.T @ baskets).tocoo()
    off = counted.row != counted.col
    table = sparse.coo_array((counted.data[off], (counted.row[off], counted.col[off])), shape=counted.shape).tocsr()
    table.sort_indices()
    return table
