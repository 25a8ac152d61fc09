"""Implicit alternating least squares: users and items as short vectors, by the library ``implicit``."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.randomness import generator
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import tiled_product

ITERATIONS = 12


class ImplicitFactors:
    """``score = user factor . item factor`` (iALS: Hu, Koren and Volinsky, 2008).

    The item factors are the library's; a user's factor is the exact least-squares solution for the history and the item
    factors, so that a history the fit never saw is scored like any other.

    Parameters
    ----------
    factors
        Length of the vectors.
    regularization
        Ridge term.
    alpha
        Weight of a chosen item beside one that was not.
    seed
        Draws the first factors.
    """

    name: ClassVar[str] = "ials"
    judges_unknown: ClassVar[bool] = False
    item_factors: NDArray[np.float32]
    """float32 [items, factors], learned; 0 for items without events."""

    def __init__(self, factors: int = 64, regularization: float = 5.0, alpha: float = 1.0, seed: int = 0) -> None:
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.seed = seed

    def fit(self, part: TrainingPart) -> Self:
        """Alternate 12 times. One BLAS thread; the library's own threads treat rows apart, so bytes do not change."""
        from implicit.cpu.als import AlternatingLeastSquares

        pairs = part.interactions
        known = np.flatnonzero(part.known)
        users = np.flatnonzero(pairs.user_counts)
        matrix = sparse.csr_matrix(pairs.matrix()[users][:, known])
        first = int(generator(self.seed, "ials").integers(2**31))

        def run(threads: int) -> Any:
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=ITERATIONS,
                num_threads=threads,
                random_state=first,
            )
            model.fit(matrix, show_progress=False)
            return model

        self.item_factors = np.zeros((part.events.n_items, self.factors), np.float32)
        # One part: map holds BLAS at one thread.
        self.item_factors[known] = part.backend.map(run, [part.backend.threads])[0].item_factors
        wide = self.item_factors.astype(np.float64)
        self._gram = part.backend.map(lambda table: table.T @ table, [wide])[0]
        return self

    def user_factors(self, block: UserBlock) -> NDArray[np.float32]:
        """Solve ``(Y^T Y + (alpha - 1) Y_u^T Y_u + ridge) x = alpha Y_u^T 1`` per user, float32 [b, factors]."""
        ridge = self._gram + self.regularization * np.eye(self.factors)
        out = np.zeros((len(block), self.factors), np.float32)
        # `implicit` multiplies the entries by alpha: a chosen item has confidence alpha, any other 1.
        for row in range(len(block)):
            own = self.item_factors[block.items[block.offsets[row] : block.offsets[row + 1]]].astype(np.float64)
            if own.size:
                left = ridge + (self.alpha - 1.0) * (own.T @ own)
                out[row] = np.linalg.solve(left, self.alpha * own.sum(axis=0))
        return out

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the products of the factors, float32 [b, items]."""
        return tiled_product(self.user_factors(block), self.item_factors)

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none.

        The score is a sum over the history: ``y_j^T A^-1 alpha y_i`` with the user's own ``A``.
        """
        ridge = self._gram + self.regularization * np.eye(self.factors)
        found = np.full((rows.size, number), -1, np.int64)
        for row in np.unique(rows):
            start, stop = block.offsets[row], block.offsets[row + 1]
            own = self.item_factors[block.items[start:stop]].astype(np.float64)
            asked = np.flatnonzero(rows == row)
            left = ridge + (self.alpha - 1.0) * (own.T @ own)
            shares = own @ np.linalg.solve(left, self.item_factors[items[asked]].astype(np.float64).T)
            order = np.argsort(-shares, axis=0, kind="stable")[:number].T
            best = np.take_along_axis(shares.T, order, axis=1)
            found[asked, : order.shape[1]] = np.where(best > 0, order + start, -1)
        return found
