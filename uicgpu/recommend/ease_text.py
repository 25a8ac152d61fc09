"""EASE pulled towards the similarity of texts: where text pays is as a prior inside the item-item model."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.ease import Ease, recent_entries
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.rows import add_sparse_rows
from uicgpu.recommend.strongest import keep_largest


class TextEase:
    """EASE whose weights are drawn towards ``strength S`` instead of 0.

    ``B`` minimises ``|X - X B|^2 + |D^.5 (B - strength S)|^2`` under a zero diagonal. Column j of the sparse ``S``
    holds the ``neighbours`` items with events whose texts are closest to j's, with value ``max(cosine, 0)^2``. With
    ``M = P D strength S`` the solution is ``B = I + M - P diag((1 + M_jj) / P_jj)``, so that for an item the user has
    not seen ``score_j = (x P) (D strength S)_j - (x P)_j (1 + M_jj) / P_jj``: one sparse product more than EASE.

    Parameters
    ----------
    ease
        A fitted model; ``P`` and ``D`` are its own.
    strength
        How far the weights are drawn towards the similarities.
    neighbours
        Similar texts per item.
    """

    name: ClassVar[str] = "ease_text"
    judges_unknown: ClassVar[bool] = False
    prior: sparse.csr_array
    """float32 [items, items], learned: ``D strength S``, row = history item, column = target."""
    scale: NDArray[np.float64]
    """float64 [items], learned: ``1 + M_jj``, 1 outside EASE's head."""

    def __init__(self, ease: Ease, strength: float = 0.1, neighbours: int = 50) -> None:
        self.ease = ease
        self.strength = strength
        self.neighbours = neighbours

    def fit(self, part: TrainingPart) -> Self:
        """Look up similar texts within EASE's head and work out the diagonal of ``M``."""
        ease, n_items = self.ease, part.events.n_items
        near, cosines = part.similar_texts(self.neighbours)
        targets = np.repeat(np.arange(n_items, dtype=np.int64), near.shape[1])
        sources, values = near.ravel(), np.maximum(cosines.ravel().astype(np.float64), 0) ** 2
        kept = (sources >= 0) & (values > 0)
        targets, sources, values = targets[kept], sources[kept], values[kept]
        inside = (ease.position[targets] >= 0) & (ease.position[sources] >= 0)
        targets, sources, values = targets[inside], sources[inside], values[inside]
        values = self.strength * values * ease.ridge[ease.position[sources]]
        table = sparse.coo_array((values, (sources, targets)), shape=(n_items, n_items)).tocsr()
        table.sort_indices()
        self.prior = table.astype(np.float32)
        # M_jj = sum over i of P_ji (D s S)_ij; S has no diagonal, and P_ji = -B_ji P_ii.
        rows, columns = ease.position[sources], ease.position[targets]
        own = -ease.weights[columns, rows].astype(np.float64) * ease.diagonal[rows] * values
        self.scale = np.asarray(1.0 + np.bincount(targets, weights=own, minlength=n_items), np.float64)
        by_target = self.prior.tocsc()
        by_target.sort_indices()
        self._by_target = (by_target.indptr.astype(np.int64), by_target.indices.astype(np.int32), by_target.data)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return ``x B`` for the items that are not in the history, float32 [b, items]; 0 outside the head."""
        ease, entries = self.ease, self.entries(block)
        linear = ease.score_weighted(block, entries)
        # x P, from x B of plain EASE: (x P)_j = P_jj (x_j - (x B)_j).
        history = sparse.csr_array((entries, block.items, block.offsets), shape=linear.shape).toarray()
        diagonal = np.zeros(linear.shape[1], np.float64)
        diagonal[ease.head] = ease.diagonal
        projected = ((history - linear) * diagonal).astype(np.float32)
        columns = np.flatnonzero(ease.position >= 0).astype(np.int32)
        number = np.arange(len(block) + 1, dtype=np.int64) * columns.size
        pulled = add_sparse_rows(
            number,
            np.tile(columns, len(block)),
            projected[:, columns].ravel(),
            self.prior.indptr,
            self.prior.indices,
            self.prior.data,
            linear.shape[1],
        )
        out: NDArray[np.float32] = (pulled + (linear - history) * self.scale).astype(np.float32)
        out[:, ease.position < 0] = 0
        return out

    def entries(self, block: UserBlock) -> NDArray[np.float32]:
        """Weights of the histories' entries: all 1."""
        return block.ones

    def strongest(
        self, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32], number: int
    ) -> NDArray[np.int64]:
        """For each (row of the block, item) the block's entries that add most, int64 [pairs, number], -1 = none."""
        ease = self.ease
        out: NDArray[np.int64] = _strongest(
            block.offsets,
            block.items,
            self.entries(block),
            ease.position,
            ease.weights,
            ease.diagonal,
            *self._by_target,
            self.scale,
            rows,
            items,
            number,
        )
        return out


class RecentTextEase(TextEase):
    """The same weights, with a history that counts the last events most (:class:`uicgpu.recommend.ease.RecentEase`).

    Parameters
    ----------
    half_life
        Steps after which an event weighs half.
    unit
        What a step is: an ``event``, or a ``basket`` (all events of one moment).
    """

    name: ClassVar[str] = "ease_text_recent"

    def __init__(
        self,
        ease: Ease,
        strength: float = 0.1,
        neighbours: int = 50,
        half_life: float = 20.0,
        unit: Literal["event", "basket"] = "event",
    ) -> None:
        super().__init__(ease, strength, neighbours)
        self.half_life = half_life
        self.unit = unit

    def entries(self, block: UserBlock) -> NDArray[np.float32]:
        """Weights of the histories' entries: the last ones most."""
        return recent_entries(block, self.unit, self.half_life)


@compiled
def _strongest(
    offsets: Any,
    items: Any,
    entries: Any,
    position: Any,
    weights: Any,
    diagonal: Any,
    prior_offsets: Any,
    prior_sources: Any,
    prior_values: Any,
    scale: Any,
    pair_rows: Any,
    pair_items: Any,
    number: int,
) -> Any:
    """Entries with the largest positive ``x_h B_hj``; ties by lower item."""
    found = np.full((pair_rows.size, number), -1, np.int64)
    values = np.empty(number, np.float64)
    for pair in range(pair_rows.size):
        values[:] = 0.0
        target = pair_items[pair]
        column = position[target]
        if column < 0:
            continue
        for entry in range(offsets[pair_rows[pair]], offsets[pair_rows[pair] + 1]):
            row = position[items[entry]]
            if row < 0:
                continue
            value = weights[row, column] * scale[target]
            for place in range(prior_offsets[target], prior_offsets[target + 1]):
                source = position[prior_sources[place]]
                if source == row:
                    value += diagonal[row] * prior_values[place]
                else:
                    value -= weights[row, source] * diagonal[source] * prior_values[place]
            keep_largest(found[pair], values, entry, value * entries[entry])
    return found
