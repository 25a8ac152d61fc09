"""What users with similar interests chose."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.randomness import generator
from uicgpu.recommend.cells import Cells
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import add_sparse_rows

MOST_REFERENCES = 200_000
"""At most so many users are searched: a seeded sample of the users with an interest vector."""
MOST_EXACT = 50_000
"""Up to so many users every one is compared; beyond, those in the cells around the user's own interests."""


class UserNeighbours:
    """The nearest users by cosine of interest vectors vote for their items with weight ``max(cos, 0) ** power``.

    The search is exact for up to 50,000 users and looks into the closest cells beyond
    (:class:`uicgpu.recommend.cells.Cells`); the user is never its own neighbour.

    Parameters
    ----------
    neighbours
        Users that vote.
    power
        The larger, the more the nearest decide.
    seed
        Draws the sample of users that are searched, where there are too many.
    """

    name: ClassVar[str] = "user_neighbours"
    judges_unknown: ClassVar[bool] = False
    references: NDArray[np.int32]
    """int32 [references], learned: users that are searched, ascending."""
    vectors: NDArray[np.float32]
    """float32 [references, dim], learned: their interest vectors."""

    def __init__(self, neighbours: int = 60, power: float = 4.0, seed: int = 0) -> None:
        self.neighbours = neighbours
        self.power = power
        self.seed = seed

    def fit(self, part: TrainingPart) -> Self:
        """Keep the interest vectors of the users that have one."""
        references = np.flatnonzero(part.user_vectors.any(axis=1)).astype(np.int32)
        if references.size > MOST_REFERENCES:
            chosen = generator(self.seed, "references").choice(references, MOST_REFERENCES, replace=False)
            references = np.sort(chosen)
        self.references = references
        self.vectors = np.ascontiguousarray(part.user_vectors[references])
        self.part = part
        self._cells = Cells(self.vectors, self.seed, part.backend) if references.size > MOST_EXACT else None
        return self

    def nearest(self, block: UserBlock) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the nearest users, int32 [b, neighbours] (-1 = none), and the weights of their votes, float32."""
        if self.references.size == 0:
            return np.empty((len(block), 0), np.int32), np.empty((len(block), 0), np.float32)
        wanted = min(self.neighbours + 1, self.references.size)
        queries = np.ascontiguousarray(block.part.user_vectors[block.users])
        if self._cells:
            cosines, rows = self._cells.search(queries, wanted)
        else:
            cosines, rows = self.part.backend.top_k(queries, self.vectors, wanted)
        users = np.where(rows >= 0, self.references[np.maximum(rows, 0)], -1).astype(np.int32)
        if block.part is self.part:
            users[users == block.users[:, None]] = -1
        weights = np.where(users >= 0, np.maximum(cosines, 0), 0).astype(np.float64) ** self.power
        # Without the user itself at most `neighbours` are left; where it was not found, the last one is dropped.
        extra = ((users >= 0).cumsum(axis=1) > self.neighbours) | (weights <= 0)
        return np.where(extra, -1, users), np.where(extra, 0, weights).astype(np.float32)

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the sums of votes, float32 [b, items]."""
        users, weights = self.nearest(block)
        voting = users >= 0
        offsets = np.zeros(len(block) + 1, np.int64)
        np.cumsum(voting.sum(axis=1), out=offsets[1:])
        pairs = self.part.interactions
        ones = np.ones(len(pairs), np.float32)
        out: NDArray[np.float32] = add_sparse_rows(
            offsets, users[voting], weights[voting], pairs.offsets, pairs.items, ones, pairs.n_items
        )
        return out

    def supporters(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each (row of the block, item): how many of the user's neighbours chose the item, and how many vote."""
        users, _ = self.nearest(block)
        matrix = self.part.interactions.matrix()
        near = users[rows]
        voting = near >= 0
        chose = np.zeros(rows.size, np.int64)
        for column in range(near.shape[1]):
            asked = np.flatnonzero(voting[:, column])
            if asked.size:
                chose[asked] += np.asarray(matrix[near[asked, column], items[asked]]).ravel() > 0
        return chose, voting.sum(axis=1)
