"""Items whose text is close to the user's interests: the one arm that can judge an item nobody chose yet."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import tiled_product
from uicgpu.recommend.strongest import strongest_cosine


class TextSimilarity:
    """Cosine of the centred item vector and the user's interest vector.

    Without the centring all texts point the same way; and even with it this arm alone is weaker than popularity on most
    data. It serves items and users that no other arm reaches, and helps a blend where titles carry identity.
    """

    name: ClassVar[str] = "text"
    judges_unknown: ClassVar[bool] = True
    directions: NDArray[np.float32]
    """float32 [items, dim], learned: centred unit item vectors, zero where there is no text."""

    def fit(self, part: TrainingPart) -> Self:
        """Centre the item vectors on the items of the part."""
        self.directions = part.directions
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the cosines, float32 [b, items]; 0 for items or users without a vector."""
        return tiled_product(block.part.user_vectors[block.users], self.directions)

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries closest in text, int64 [pairs, number], -1 = none."""
        out: NDArray[np.int64] = strongest_cosine(block.offsets, block.items, self.directions, rows, items, number)
        return out
