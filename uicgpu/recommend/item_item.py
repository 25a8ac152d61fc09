"""Items that the same users chose: co-occurrence with an exponent against popularity."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import add_sparse_rows, strongest_sparse

LONGEST_HISTORY = 1000
"""Items of one user that count for co-occurrence, the latest first: the work grows with the square of a history."""
ITEMS_PER_PART = 256


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
        offsets, items = _latest(part)
        n_items = part.events.n_items
        by_user = sparse.csr_array((np.ones(items.size, np.float32), items, offsets), shape=(offsets.size - 1, n_items))
        by_item = by_user.tocsc()
        scale = np.maximum(part.item_counts, 1).astype(np.float64) ** -self.exponent
        keep = min(self.neighbours, max(n_items - 1, 1))
        item_offsets, item_users = by_item.indptr.astype(np.int64), by_item.indices.astype(np.int32)

        def find(start: int) -> tuple[Any, Any]:
            stop = min(start + ITEMS_PER_PART, n_items)
            return _nearest_items(start, stop, item_offsets, item_users, offsets, items, scale, keep)  # type: ignore[no-any-return]

        found = part.backend.map(find, range(0, n_items, ITEMS_PER_PART))
        near = np.concatenate([near for near, _ in found]) if found else np.empty((0, keep), np.int32)
        values = np.concatenate([values for _, values in found]) if found else np.empty((0, keep), np.float32)
        kept = near >= 0
        targets = np.repeat(np.arange(n_items, dtype=np.int32), kept.sum(axis=1))
        table = sparse.coo_array((values[kept], (near[kept], targets)), shape=(n_items, n_items)).tocsr()
        table.sort_indices()
        self.weights = table
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
        table = self.weights
        out: NDArray[np.int64] = strongest_sparse(
            block.offsets, block.items, block.ones, table.indptr, table.indices, table.data, rows, items, number
        )
        return out


def _latest(part: TrainingPart) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Histories cut to the latest ``LONGEST_HISTORY`` items, in CSR order."""
    pairs = part.interactions
    if part.interactions.user_counts.max(initial=0) <= LONGEST_HISTORY:
        return pairs.offsets, pairs.items
    users = pairs.users
    order = np.lexsort((pairs.items, -pairs.last_times.astype(np.float64), users))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size) - pairs.offsets[users[order]]
    kept = place < LONGEST_HISTORY
    offsets = np.zeros(pairs.n_users + 1, np.int64)
    np.cumsum(np.bincount(users[kept], minlength=pairs.n_users), out=offsets[1:])
    return offsets, pairs.items[kept]


@compiled
def _nearest_items(
    first: int,
    last: int,
    item_offsets: Any,
    item_users: Any,
    user_offsets: Any,
    user_items: Any,
    scale: Any,
    keep: int,
) -> Any:
    """For targets ``first .. last - 1``: the ``keep`` items with the largest weights, ids ascending, padded with -1."""
    near = np.full((last - first, keep), -1, np.int32)
    values = np.zeros((last - first, keep), np.float32)
    counts = np.zeros(scale.size, np.int64)
    touched = np.empty(scale.size, np.int32)
    position = np.empty(scale.size, np.int32)
    ties = np.empty(scale.size, np.int32)
    chosen = np.empty(max(keep, scale.size), np.int32)
    weights = np.empty(scale.size, np.float64)
    for target in range(first, last):
        number = 0
        for place in range(item_offsets[target], item_offsets[target + 1]):
            user = item_users[place]
            for entry in range(user_offsets[user], user_offsets[user + 1]):
                item = user_items[entry]
                if item == target:
                    continue
                if counts[item] == 0:
                    touched[number] = item
                    number += 1
                counts[item] += 1
        for place in range(number):
            item = touched[place]
            weights[place] = counts[item] * scale[item] * scale[target]
            counts[item] = 0
        held = 0
        if number <= keep:
            chosen[:number] = touched[:number]
            held = number
        else:
            least = np.partition(weights[:number], number - keep)[number - keep]
            equal = 0
            for place in range(number):
                if weights[place] > least:
                    chosen[held] = touched[place]
                    held += 1
                elif weights[place] == least:
                    ties[equal] = touched[place]
                    equal += 1
            chosen[held:keep] = np.sort(ties[:equal])[: keep - held]
            held = keep
        for place, item in enumerate(np.sort(chosen[:held])):
            near[target - first, place] = item
        for place in range(number):
            position[touched[place]] = place
        for place in range(held):
            values[target - first, place] = weights[position[near[target - first, place]]]
    return near, values
