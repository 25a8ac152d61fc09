"""What users with similar histories chose: neighbours by the events themselves instead of by texts."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.randomness import generator
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.neighbours import MOST_REFERENCES, UserNeighbours


class EventNeighbours(UserNeighbours):
    """The nearest users by cosine of their histories vote with weight ``max(cos, 0) ** power``.

    A history is a row of ones, each item weighing ``log(1 + users / n_i) ** idf``. The search is exact: every user who
    shares an item is looked at (user-based collaborative filtering; the weighting follows Breese et al., 1998).

    Parameters
    ----------
    neighbours, power, seed
        As for :class:`UserNeighbours`.
    idf
        0: all items count the same; 1: rare items count more.
    """

    name: ClassVar[str] = "user_neighbours_events"

    def __init__(self, neighbours: int = 60, power: float = 1.0, idf: float = 0.0, seed: int = 0) -> None:
        super().__init__(neighbours, power, seed)
        self.idf = idf

    def fit(self, part: TrainingPart) -> Self:
        """Keep the histories by item."""
        pairs = part.interactions
        counts = part.item_counts
        active = np.flatnonzero(pairs.user_counts).astype(np.int32)
        users = max(active.size, 1)
        self.importance = np.where(counts > 0, np.log1p(users / np.maximum(counts, 1)) ** self.idf, 0.0)
        if active.size > MOST_REFERENCES:
            active = np.sort(generator(self.seed, "references").choice(active, MOST_REFERENCES, replace=False))
        self.references = active
        self.part = part
        table = pairs.matrix()[active].tocsc()
        table.sort_indices()
        self._offsets, self._rows = table.indptr.astype(np.int64), table.indices.astype(np.int32)
        squares = np.zeros(pairs.n_users, np.float64)
        np.add.at(squares, pairs.users, self.importance[pairs.items] ** 2)
        self._norms = np.maximum(np.sqrt(squares[active]), 1e-12)
        return self

    def nearest(self, block: UserBlock) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the nearest users, int32 [b, neighbours] (-1 = none), and the weights of their votes, float32."""
        wanted = min(self.neighbours, self.references.size)
        own = np.full(len(block), -1, np.int64)
        if block.part is self.part:
            place = np.searchsorted(self.references, block.users)
            there = place < self.references.size
            there[there] = self.references[place[there]] == block.users[there]
            own[there] = place[there]
        rows, cosines = _nearest(
            block.offsets, block.items, self.importance, self._offsets, self._rows, self._norms, own, wanted
        )
        users = np.where(rows >= 0, self.references[np.maximum(rows, 0)] if wanted else 0, -1).astype(np.int32)
        weights = np.where(rows >= 0, np.maximum(cosines, 0), 0) ** self.power
        return users, weights.astype(np.float32)


@compiled
def _nearest(
    offsets: Any, items: Any, importance: Any, item_offsets: Any, item_rows: Any, norms: Any, own: Any, wanted: int
) -> Any:
    """The ``wanted`` rows with the largest positive cosine, best first, ties by lower row."""
    found = np.full((offsets.size - 1, wanted), -1, np.int64)
    values = np.zeros((offsets.size - 1, wanted), np.float64)
    products = np.zeros(norms.size, np.float64)
    touched = np.empty(norms.size, np.int64)
    for user in range(offsets.size - 1):
        number = 0
        length = 0.0
        for entry in range(offsets[user], offsets[user + 1]):
            weight = importance[items[entry]] ** 2
            length += weight
            for place in range(item_offsets[items[entry]], item_offsets[items[entry] + 1]):
                row = item_rows[place]
                if products[row] == 0.0 and weight > 0:
                    touched[number] = row
                    number += 1
                products[row] += weight
        length = max(np.sqrt(length), 1e-12)
        held = 0
        for place in range(number):
            row = touched[place]
            cosine = products[row] / (norms[row] * length)
            products[row] = 0.0
            if row == own[user] or wanted == 0:
                continue
            if held == wanted:
                last = values[user, wanted - 1]
                if cosine < last or (cosine == last and row > found[user, wanted - 1]):
                    continue
            where = min(held, wanted - 1)
            while where > 0 and (
                values[user, where - 1] < cosine or (values[user, where - 1] == cosine and found[user, where - 1] > row)
            ):
                values[user, where] = values[user, where - 1]
                found[user, where] = found[user, where - 1]
                where -= 1
            values[user, where] = cosine
            found[user, where] = row
            held = min(held + 1, wanted)
    return found, values
