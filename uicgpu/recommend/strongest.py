"""Which entries of a history add most to an item? Loops over (row of a block, item) pairs; what they name are reasons.

Only positive contributions count, the largest come first, and equal ones stay in the order of the history (ties by
lower item). Every loop returns int64 [pairs, number], -1 where there are fewer. Their heads are alike and written out:
a compiled generator of the entries in their place made the dense loop ten times slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.inputs import UserBlock


def strongest_of_table(
    block: UserBlock,
    weights: NDArray[np.float32],
    table: sparse.csr_array,
    rows: NDArray[np.int64],
    items: NDArray[np.int32],
    number: int,
) -> NDArray[np.int64]:
    """Entries that add most where an entry adds its weight times ``table[entry's item, item]``.

    Parameters
    ----------
    weights
        float32, one per entry of the block.
    table
        CSR [items, items], row = history item, columns ascending.
    rows, items
        The pairs.
    """
    out: NDArray[np.int64] = _strongest_sparse(
        block.offsets, block.items, weights, table.indptr, table.indices, table.data, rows, items, number
    )
    return out


@compiled
def strongest_dense(
    offsets: Any, items: Any, weights: Any, position: Any, table: Any, pair_rows: Any, pair_items: Any, number: int
) -> Any:
    """The same for a dense table: ``table`` and ``position`` as in :func:`uicgpu.recommend.rows.add_dense_rows`."""
    found = np.full((pair_rows.size, number), -1, np.int64)
    values = np.empty(number, np.float64)
    for pair in range(pair_rows.size):
        values[:] = 0.0
        column = position[pair_items[pair]]
        if column < 0:
            continue
        for entry in range(offsets[pair_rows[pair]], offsets[pair_rows[pair] + 1]):
            source = position[items[entry]]
            if source >= 0:
                keep_largest(found[pair], values, entry, weights[entry] * np.float64(table[source, column]))
    return found


@compiled
def strongest_cosine(offsets: Any, items: Any, directions: Any, pair_rows: Any, pair_items: Any, number: int) -> Any:
    """The same for texts: the entries whose text is closest to the item's."""
    found = np.full((pair_rows.size, number), -1, np.int64)
    values = np.empty(number, np.float64)
    for pair in range(pair_rows.size):
        values[:] = 0.0
        target = directions[pair_items[pair]]
        for entry in range(offsets[pair_rows[pair]], offsets[pair_rows[pair] + 1]):
            cosine = 0.0
            other = directions[items[entry]]
            for axis in range(target.size):
                cosine += np.float64(target[axis]) * other[axis]
            keep_largest(found[pair], values, entry, cosine)
    return found


@compiled
def _strongest_sparse(
    offsets: Any,
    items: Any,
    weights: Any,
    table_offsets: Any,
    table_columns: Any,
    table_values: Any,
    pair_rows: Any,
    pair_items: Any,
    number: int,
) -> Any:
    found = np.full((pair_rows.size, number), -1, np.int64)
    values = np.empty(number, np.float64)
    for pair in range(pair_rows.size):
        values[:] = 0.0
        for entry in range(offsets[pair_rows[pair]], offsets[pair_rows[pair] + 1]):
            first, last = table_offsets[items[entry]], table_offsets[items[entry] + 1]
            place = first + np.searchsorted(table_columns[first:last], pair_items[pair])
            if place < last and table_columns[place] == pair_items[pair]:
                keep_largest(found[pair], values, entry, weights[entry] * np.float64(table_values[place]))
    return found


@compiled
def keep_largest(found: Any, values: Any, entry: int, value: float) -> None:
    """Put ``entry`` in its place among the largest ``values`` so far, in place; an equal value stays behind."""
    if value <= values[-1]:
        return
    place = values.size - 1
    while place > 0 and values[place - 1] < value:
        values[place] = values[place - 1]
        found[place] = found[place - 1]
        place -= 1
    values[place] = value
    found[place] = entry
