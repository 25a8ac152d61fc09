"""Items whose text is close to single items of the history: sequels, seasons, variants of what was chosen before."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.strongest import strongest_of_table


class ClosestTexts:
    """``score_j`` = mean of the ``closest`` largest cosines between j's text and the texts of the user's items.

    Only cosines to j's ``neighbours`` most similar items with events count, so that a history costs its length times
    the items that have it as a neighbour, and no matrix of users x items x texts is ever made. A mean vector blurs a
    user of many tastes; single items keep what titles say of a series. The arm is weak alone; beside others it is
    worth a weight where titles carry identity. It judges items without events as well: their texts have neighbours
    like any other.

    Parameters
    ----------
    closest
        Cosines that count; a history with fewer close items is filled up with 0.
    neighbours
        Similar texts per item that are looked at; an item further away from all of the history scores 0.
    """

    name: ClassVar[str] = "text_closest"
    judges_unknown: ClassVar[bool] = True
    weights: sparse.csr_array
    """float32 [items, items], learned: cosines above 0, row = history item, column = target."""

    def __init__(self, closest: int = 3, neighbours: int = 100) -> None:
        self.closest, self.neighbours = closest, neighbours

    def fit(self, part: TrainingPart) -> Self:
        """Look up similar texts."""
        self.weights = part.closest_texts(self.neighbours)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the means, float32 [b, items]; 0 where no item of the history is close."""
        table = self.weights
        out: NDArray[np.float32] = _mean_of_closest(
            block.offsets, block.items, table.indptr, table.indices, table.data, table.shape[1], self.closest
        )
        return out

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries closest in text, int64 [pairs, number], -1 = none."""
        return strongest_of_table(block, block.ones, self.weights, rows, items, number)


@compiled
def _mean_of_closest(
    offsets: Any, items: Any, table_offsets: Any, table_columns: Any, table_values: Any, columns: int, closest: int
) -> Any:
    """Per row and column the sum of the ``closest`` largest table values of the row's entries, over ``closest``."""
    rows = offsets.size - 1
    out = np.zeros((rows, columns), np.float32)
    best = np.zeros((columns, closest), np.float32)
    for row in range(rows):
        for entry in range(offsets[row], offsets[row + 1]):
            source = items[entry]
            for place in range(table_offsets[source], table_offsets[source + 1]):
                value = table_values[place]
                kept = best[table_columns[place]]
                if value <= kept[closest - 1]:
                    continue
                where = closest - 1
                while where > 0 and kept[where - 1] < value:
                    kept[where] = kept[where - 1]
                    where -= 1
                kept[where] = value
        for column in range(columns):
            if best[column, 0] > 0:
                total = 0.0
                for place in range(closest):
                    total += best[column, place]
                    best[column, place] = 0.0
                out[row, column] = total / closest
    return out
