"""EASE that sees texts as further users: each axis of the text vectors is a row that "chose" items to a degree."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.ease import Ease
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import tiled_product
from uicgpu.recommend.strongest import keep_largest


class TextRowsEase:
    """EASE on the matrix of events with the rows ``strength^.5 E^T`` below it; histories are scored as before.

    ``E`` [items, dim] are the centred text vectors; the rows enter the Gram matrix only (side information as further
    rows: Jeunen, Van Balen and Goethals, "Closed-form models for collaborative filtering with side-information", 2020).
    Nothing is inverted anew: with ``P = (X^T X + D)^-1`` of the fitted EASE and ``F = P E``

        ``P' = (X^T X + D + strength E E^T)^-1 = P - F (I / strength + E^T F)^-1 F^T``

    (Woodbury), so that ``score_j = -(x P')_j / P'_jj`` costs ``dim`` products per item more than EASE.

    Parameters
    ----------
    ease
        A fitted model; ``P`` and ``D`` are its own.
    strength
        Weight of the text rows beside the users' rows.
    """

    name: ClassVar[str] = "ease_text_rows"
    judges_unknown: ClassVar[bool] = False
    folded: NDArray[np.float64]
    """float64 [head, dim], learned: ``F``."""
    pulled: NDArray[np.float64]
    """float64 [dim, head], learned: ``(I / strength + E^T F)^-1 F^T``."""
    diagonal: NDArray[np.float64]
    """float64 [head], learned: ``P'_jj``."""

    def __init__(self, ease: Ease, strength: float = 100.0) -> None:
        self.ease = ease
        self.strength = strength

    def fit(self, part: TrainingPart) -> Self:
        """Fold the texts of EASE's head into its inverse."""
        ease = self.ease
        self.folded = ease.folded(part)
        texts = part.directions[ease.head].astype(np.float64)
        # One part: map holds BLAS at one thread, so that sums do not depend on the machine.
        self.pulled = part.backend.map(lambda rows: _pull(rows, self.folded, self.strength), [texts])[0]
        self.diagonal = ease.diagonal - np.einsum("jd,dj->j", self.folded, self.pulled)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return ``x B`` for the items that are not in the history, float32 [b, items]; 0 outside the head."""
        ease = self.ease
        out = ease.score(block)
        places = ease.position[block.items]
        inside = places >= 0
        rows = np.repeat(np.arange(len(block)), block.lengths)[inside]
        shape = (len(block), ease.head.size)
        history = sparse.coo_array((np.ones(rows.size), (rows, places[inside])), shape=shape).tocsr()
        texts = (history @ self.folded).astype(np.float32)
        by_text = tiled_product(texts, np.ascontiguousarray((self.pulled / self.diagonal).T.astype(np.float32)))
        out[:, ease.head] = out[:, ease.head] * (ease.diagonal / self.diagonal).astype(np.float32) + by_text
        return out

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        ease = self.ease
        out: NDArray[np.int64] = _strongest(
            block.offsets,
            block.items,
            ease.position,
            ease.weights,
            ease.diagonal,
            self.folded,
            np.ascontiguousarray(self.pulled.T),
            rows,
            items,
            number,
        )
        return out


def _pull(texts: NDArray[np.float64], folded: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    core = texts.T @ folded
    core[np.diag_indices_from(core)] += 1.0 / strength
    return np.asarray(np.linalg.solve(core, folded.T), np.float64)


@compiled
def _strongest(
    offsets: Any,
    items: Any,
    position: Any,
    weights: Any,
    diagonal: Any,
    folded: Any,
    pulled: Any,
    pair_rows: Any,
    pair_items: Any,
    number: int,
) -> Any:
    """Entries with the largest positive ``-P'_hj`` (``P'_jj`` is the same for all of them); ties by lower item."""
    found = np.full((pair_rows.size, number), -1, np.int64)
    values = np.empty(number, np.float64)
    for pair in range(pair_rows.size):
        values[:] = 0.0
        column = position[pair_items[pair]]
        if column < 0:
            continue
        for entry in range(offsets[pair_rows[pair]], offsets[pair_rows[pair] + 1]):
            row = position[items[entry]]
            if row < 0:
                continue
            value = weights[row, column] * diagonal[column]
            for axis in range(folded.shape[1]):
                value += folded[row, axis] * pulled[column, axis]
            keep_largest(found[pair], values, entry, value)
    return found
