"""EASE: the best linear item-to-item model with a closed form, and the same model looking at recent history first."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import add_dense_rows
from uicgpu.recommend.strongest import strongest_dense

DUAL_BELOW = 0.7
"""The dual form is used when there are fewer users than this share of the items."""
ROWS_PER_CHUNK = 256
PRIMAL_BYTES = 20
"""Per entry of items x items: Gram and inverse in float64, weights in float32."""
BUDGET_SHARE = 0.85
"""Of the memory budget; the rest is for the events and for the tables of the other arms, which are there at once."""


class Ease:
    """``score = x B`` with ``B`` minimising ``|X - X B|^2 + |D^.5 B|^2`` under a zero diagonal.

    ``D = penalty + dropout / (1 - dropout) * n_i``; the solution is ``B_ij = -P_ij / P_jj`` with
    ``P = (X^T X + D)^-1`` (Steck, "Embarrassingly shallow autoencoders", 2019; the dropout term: Steck, "Autoencoders
    that don't overfit towards the identity", 2020). With fewer users than items the inverse is taken over users:
    ``P = D^-1 - D^-1 X^T (X D^-1 X^T + I)^-1 X D^-1``.

    The model holds items x items numbers. Where that exceeds the memory budget it covers the most frequent items only
    (:attr:`head`); the arm then has no opinion on the others.

    Parameters
    ----------
    penalty
        Ridge term; grows with the number of users.
    dropout
        0 to below 1: penalty in proportion to an item's popularity.
    most_items
        Upper limit of the head beside the memory budget; ``None`` for no other limit.
    form
        ``auto`` takes the cheaper one; both give the same model.
    """

    name: ClassVar[str] = "ease"
    judges_unknown: ClassVar[bool] = False
    head: NDArray[np.int32]
    """int32 [head], learned: the items covered, ascending."""
    position: NDArray[np.int32]
    """int32 [items], learned: place of the item in the head, -1 outside."""
    weights: NDArray[np.float32]
    """float32 [head, head], learned: row = history item, column = target."""
    diagonal: NDArray[np.float64]
    """float64 [head], learned: ``P_jj``; with the weights it gives ``P`` back (``P_ij = -B_ij P_jj``)."""
    ridge: NDArray[np.float64]
    """float64 [head], learned: the diagonal of ``D``."""

    def __init__(
        self,
        penalty: float = 200.0,
        dropout: float = 0.0,
        most_items: int | None = None,
        form: Literal["auto", "primal", "dual"] = "auto",
    ) -> None:
        self.penalty = penalty
        self.dropout = dropout
        self.most_items = most_items
        self.form = form
        self._folded: NDArray[np.float64] | None = None

    def fit(self, part: TrainingPart) -> Self:
        """Solve for ``B``; float64 inside."""
        pairs = part.interactions
        users = np.flatnonzero(pairs.user_counts)
        known = int(part.known.sum())
        dual, fits = self._plan(users.size, known, part.backend.memory)
        self.head = _most_frequent(part.item_counts, min(fits, known, self.most_items or known))
        self.position = np.full(part.events.n_items, -1, np.int32)
        self.position[self.head] = np.arange(self.head.size, dtype=np.int32)
        matrix = pairs.matrix()[users][:, self.head].astype(np.float64).tocsr()
        counts = part.item_counts[self.head].astype(np.float64)
        self.ridge = self.penalty + self.dropout / (1.0 - self.dropout) * counts
        # One part: map holds BLAS at one thread, so that sums do not depend on the machine.
        self.weights, self.diagonal = part.backend.map(
            lambda solve: solve(matrix, self.ridge, part), [_solve_dual if dual else _solve_primal]
        )[0]
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return ``x B`` for the binary history, float32 [b, items]; 0 outside the head."""
        return self.score_weighted(block, block.ones)

    def score_weighted(self, block: UserBlock, entries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``x B`` for a weighted history."""
        out: NDArray[np.float32] = add_dense_rows(
            block.offsets, block.items, entries, self.position, self.weights, self.position.size
        )
        return out

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        return self.strongest_weighted(block, block.ones, rows, items, number)

    def strongest_weighted(
        self,
        block: UserBlock,
        entries: NDArray[np.float32],
        rows: NDArray[np.int64],
        items: NDArray[np.int32],
        number: int,
    ) -> NDArray[np.int64]:
        """The same for a weighted history."""
        out: NDArray[np.int64] = strongest_dense(
            block.offsets, block.items, entries, self.position, self.weights, rows, items, number
        )
        return out

    def folded(self, part: TrainingPart) -> NDArray[np.float64]:
        """``P E`` for the centred text vectors E of the head, float64 [head, dim]; worked out once."""
        if self._folded is None:
            scaled = self.diagonal[:, None] * part.directions[self.head].astype(np.float64)

            def fold(start: int) -> NDArray[np.float64]:
                rows = slice(start, start + ROWS_PER_CHUNK)
                return np.asarray(scaled[rows] - self.weights[rows].astype(np.float64) @ scaled, np.float64)

            self._folded = np.concatenate(part.backend.map(fold, range(0, self.head.size, ROWS_PER_CHUNK)))
        return self._folded

    def _plan(self, users: int, items: int, memory: int) -> tuple[bool, int]:
        """Whether to solve over users, and how many items fit into memory."""
        memory = int(BUDGET_SHARE * memory)
        dual_bytes = 16 * users**2 + 16 * users * items + 4 * items**2
        dual = users < DUAL_BELOW * items and dual_bytes <= memory
        if self.form != "auto":
            dual = self.form == "dual"
        return dual, items if dual else int((memory / PRIMAL_BYTES) ** 0.5)


class RecentEase:
    """EASE's weights, with a history that counts the last events most: ``x_i = .5 ^ (steps back / half_life)``.

    Parameters
    ----------
    ease
        A fitted model; its weights are shared.
    half_life
        Steps after which an event weighs half.
    unit
        What a step is: an ``event``, or a ``basket`` (all events of one moment).
    """

    name: ClassVar[str] = "ease_recent"
    judges_unknown: ClassVar[bool] = False

    def __init__(self, ease: Ease, half_life: float = 20.0, unit: Literal["event", "basket"] = "event") -> None:
        self.ease = ease
        self.half_life = half_life
        self.unit = unit

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return ``x B`` for the recency-weighted history, float32 [b, items]."""
        return self.ease.score_weighted(block, self._entries(block))

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        return self.ease.strongest_weighted(block, self._entries(block), rows, items, number)

    def _entries(self, block: UserBlock) -> NDArray[np.float32]:
        return recent_entries(block, self.unit, self.half_life)


def recent_entries(block: UserBlock, unit: Literal["event", "basket"], half_life: float) -> NDArray[np.float32]:
    """Weight of each entry of the block's histories, ``.5 ^ (steps back / half_life)``, float32 [entries]."""
    events_back, baskets_back = block.part.steps_back
    steps = (events_back if unit == "event" else baskets_back)[block.rows]
    return np.exp2(-steps.astype(np.float64) / half_life).astype(np.float32)


def _most_frequent(counts: NDArray[np.int64], number: int) -> NDArray[np.int32]:
    order = np.lexsort((np.arange(counts.size), -counts))[:number]
    return np.sort(order).astype(np.int32)


Solved = tuple[NDArray[np.float32], NDArray[np.float64]]


def _solve_primal(matrix: sparse.csr_array, diagonal: NDArray[np.float64], part: TrainingPart) -> Solved:
    ones = np.ones(matrix.nnz, np.float32)
    gram = part.backend.gram(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), ones, diagonal.size)
    gram[np.diag_indices_from(gram)] += diagonal
    inverse = part.backend.invert_positive_definite(gram)
    del gram
    scale = -1.0 / np.diagonal(inverse)
    weights = np.empty(inverse.shape, np.float32)
    for start in range(0, diagonal.size, ROWS_PER_CHUNK):
        weights[start : start + ROWS_PER_CHUNK] = inverse[start : start + ROWS_PER_CHUNK] * scale
    np.fill_diagonal(weights, 0)
    return weights, np.diagonal(inverse).copy()


def _solve_dual(matrix: sparse.csr_array, diagonal: NDArray[np.float64], part: TrainingPart) -> Solved:
    scaled = matrix @ sparse.diags_array(1.0 / diagonal, format="csr")
    kernel = (scaled @ matrix.T).toarray()
    kernel[np.diag_indices_from(kernel)] += 1.0
    folded = np.ascontiguousarray((scaled.T.tocsr() @ part.backend.invert_positive_definite(kernel)).T)
    by_item = matrix.T.tocsr()
    own = np.zeros(diagonal.size, np.float64)
    weights = np.empty((diagonal.size, diagonal.size), np.float32)
    for start in range(0, diagonal.size, ROWS_PER_CHUNK):
        rows = by_item[start : start + ROWS_PER_CHUNK] @ folded
        chunk = np.arange(rows.shape[0])
        own[start : start + chunk.size] = rows[chunk, start + chunk]
        weights[start : start + ROWS_PER_CHUNK] = rows / diagonal[start : start + chunk.size, None]
    weights *= (diagonal / (1.0 - own)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights, (1.0 - own) / diagonal
