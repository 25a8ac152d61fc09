"""The two loops behind the ranking metrics: which items of a list were held out, and every metric from those hits.

Both treat a user on its own and add in float64 from the first rank to the last, so that a user's value depends neither
on the other users nor on the cut-offs that are asked for beside it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from uicgpu.kernels.compilation import compiled

KINDS: Final = ("ndcg", "recall", "precision", "hit_rate", "mrr", "map")
"""Rows of what :func:`measure` returns."""


@compiled
def mark_hits(lists: Any, offsets: Any, items: Any) -> Any:
    """Whether each item of each list is among the row's held-out items, bool [users, K].

    Parameters
    ----------
    lists
        int32 [users, K], best first, -1 for "no item".
    offsets, items
        Row r's held-out items are ``items[offsets[r]:offsets[r + 1]]``, ascending.
    """
    rows, width = lists.shape
    found = np.zeros((rows, width), np.bool_)
    for row in range(rows):
        first, last = offsets[row], offsets[row + 1]
        # One bit per item modulo 64: most items that were not held out are refused without a search.
        sketch = np.uint64(0)
        for entry in range(first, last):
            sketch |= np.uint64(1) << np.uint64(items[entry] & 63)
        for rank in range(width):
            item = lists[row, rank]
            if item < 0 or not (sketch >> np.uint64(item & 63)) & np.uint64(1):
                continue
            low, high = first, last
            while low < high:
                middle = (low + high) // 2
                if items[middle] < item:
                    low = middle + 1
                else:
                    high = middle
            found[row, rank] = low < last and items[low] == item
    return found


@compiled
def measure(hits: Any, sizes: Any, cuts: Any, discounts: Any) -> Any:
    """All metrics at all cut-offs in one pass, float64 [6, cuts, users]; rows are :data:`KINDS`.

    Parameters
    ----------
    hits
        bool [users, K]; a list shorter than a cut-off has misses behind its end.
    sizes
        int64 [users], held-out items per user, at least 1.
    cuts
        int64 [cuts], ascending.
    discounts
        float64 [largest cut], 1 / log2(rank + 1).
    """
    rows, width = hits.shape
    out = np.empty((6, cuts.size, rows), np.float64)
    # Best attainable gain for 0, 1, 2, … held-out items.
    ideal = np.zeros(cuts[-1] + 1, np.float64)
    for rank in range(cuts[-1]):
        ideal[rank + 1] = ideal[rank] + discounts[rank]
    for row in range(rows):
        number, first, rank = 0, 0, 0
        gain, precisions = 0.0, 0.0
        for column in range(cuts.size):
            k = cuts[column]
            while rank < min(k, width):
                if hits[row, rank]:
                    number += 1
                    if number == 1:
                        first = rank + 1
                    gain += discounts[rank]
                    precisions += number / (rank + 1.0)
                rank += 1
            attainable = min(k, sizes[row])
            out[0, column, row] = gain / ideal[attainable]
            out[1, column, row] = number / sizes[row]
            out[2, column, row] = number / k
            out[3, column, row] = 1.0 if number else 0.0
            out[4, column, row] = 1.0 / first if number else 0.0
            out[5, column, row] = precisions / attainable
    return out
