"""Smoothing a history over the graph of users and items: neighbours one step away, and the graph's slow waves."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from uicgpu.randomness import generator
from uicgpu.recommend.co_occurrence import nearest_items
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.item_item import ItemItem
from uicgpu.recommend.rows import tiled_product

STEP_NEIGHBOURS = 1000
"""History items kept per target in the one-step part; the paper keeps all of them, which is items x items numbers."""


class GraphFilter(ItemItem):
    """GF-CF: ``score = x Y^T Y + strength (x n^-.5) V V^T n^.5`` with ``Y = n_u^-.5 X n_i^-.5``.

    ``V`` holds the right singular vectors of ``Y`` for its ``factors`` largest singular values: an ideal low-pass
    filter (Shen et al., "How powerful is graph convolution for recommendation?", 2021).

    Parameters
    ----------
    factors
        Singular vectors; at most the smaller side of the matrix less one.
    strength
        Weight of the low-pass part beside the one-step part.
    """

    name: ClassVar[str] = "graph_filter"
    vectors: NDArray[np.float64]
    """float64 [items, factors], learned; 0 for items without events."""

    def __init__(self, factors: int = 128, strength: float = 1.0) -> None:
        self.factors, self.strength = factors, strength

    def fit(self, part: TrainingPart) -> Self:
        """Count the steps, and decompose the normalised matrix on one BLAS thread from a fixed start."""
        users = np.maximum(part.interactions.user_counts, 1).astype(np.float64)
        self._root = np.sqrt(np.maximum(part.item_counts, 1).astype(np.float64))
        self.weights = nearest_items(part, 1.0 / users, 1.0 / self._root, 1.0 / self._root, STEP_NEIGHBOURS)
        rows = np.repeat(1.0 / np.sqrt(users), part.interactions.user_counts)
        normal = part.interactions.matrix().astype(np.float64)
        normal.data[:] = rows / self._root[normal.indices]
        # One part: map holds BLAS at one thread, so that the vectors do not depend on the machine.
        self.vectors = part.backend.map(lambda table: _slow_waves(table, self.factors), [normal])[0]
        self._columns = np.ascontiguousarray(self.vectors * self._root[:, None]).astype(np.float32)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the sum of both parts, float32 [b, items]."""
        history = sparse.csr_array((block.ones, block.items, block.offsets), shape=(len(block), self._root.size))
        waves = (history.astype(np.float64) @ (self.vectors / self._root[:, None])).astype(np.float32)
        one_step = super().score(block)
        return one_step + np.float32(self.strength) * tiled_product(waves, self._columns)

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        found = np.full((rows.size, number), -1, np.int64)
        left = self.strength * self.vectors / self._root[:, None]
        by_target = self.weights.tocsc()
        for pair, (row, item) in enumerate(zip(rows, items, strict=True)):
            start, stop = block.offsets[row], block.offsets[row + 1]
            history = block.items[start:stop]
            step = np.zeros(self._root.size, np.float64)
            own = slice(by_target.indptr[item], by_target.indptr[item + 1])
            step[by_target.indices[own]] = by_target.data[own]
            shares = step[history] + left[history] @ self._columns[item]
            best = np.argsort(-shares, kind="stable")[:number]
            found[pair, : best.size] = np.where(shares[best] > 0, best + start, -1)
        return found


def _slow_waves(normal: sparse.csr_array, factors: int) -> NDArray[np.float64]:
    """Right singular vectors of the largest singular values, largest first, float64 [columns, factors at most]."""
    number = min(factors, min(normal.shape) - 1)
    if number < 1 or not normal.nnz:
        return np.zeros((normal.shape[1], 1), np.float64)
    start = generator(0, "graph_filter").normal(size=min(normal.shape))
    vectors = svds(normal, number, v0=start, return_singular_vectors="vh")[2]
    return np.ascontiguousarray(vectors[::-1].T)
