"""Items that the same users chose: co-occurrence with an exponent against popularity."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.recommend.co_occurrence import nearest_items
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import add_sparse_rows
from uicgpu.recommend.strongest import strongest_of_table


class ItemItem:
    """``score(u, j) = sum over the user's items i of W_ij`` with ``W_ij = C_ij / (n_i n_j)^exponent``.

    ``C_ij`` counts the users of both items, ``n_i`` those of item i; exponent .5 is the cosine. Of each target j only
    the ``neighbours`` largest ``W_ij`` are kept, ties by lower item (item-based top-N recommendation, Deshpande and
    Karypis, 2004).

    Parameters
    ----------
    exponent
        0 (raw counts) to .5 (cosine) and above.
    neighbours
        History items kept per target.
    """

    name: ClassVar[str] = "item_item"
    judges_unknown: ClassVar[bool] = False
    weights: sparse.csr_array
    """float32 [items, items], learned: row = history item, column = target."""

    def __init__(self, exponent: float = 0.5, neighbours: int = 200) -> None:
        self.exponent = exponent
        self.neighbours = neighbours

    def fit(self, part: TrainingPart) -> Self:
        """Count co-occurrences target by target; never more than one dense row at a time."""
        scale = np.maximum(part.item_counts, 1).astype(np.float64) ** -self.exponent
        ones = np.ones(part.events.n_users, np.float64)
        self.weights = nearest_items(part, ones, scale, scale, self.neighbours)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the sums of ``W`` over the user's items, float32 [b, items]."""
        table = self.weights
        out: NDArray[np.float32] = add_sparse_rows(
            block.offsets, block.items, block.ones, table.indptr, table.indices, table.data, table.shape[1]
        )
        return out

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        return strongest_of_table(block, block.ones, self.weights, rows, items, number)
