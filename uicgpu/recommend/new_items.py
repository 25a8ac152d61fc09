"""The rung for new items: what nobody has chosen yet is judged by the known items with the closest texts."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.recommend.inputs import TrainingPart
from uicgpu.recommend.rows import SMALLEST_DEVIATION, best_items

SOURCE: Final = "new_item"
"""Named as the source of a recommendation."""
NEIGHBOURS: Final = 10
"""Known items with the closest texts that are asked."""
DOUBT: Final = 1.0
"""Weight of the mean score (0) beside the neighbours' squared cosines: an item that nothing is close to stays low."""
FIT: Final = 0.5
"""A new item fits a user if its score lies so many deviations above the mean of the user's known items."""


class NewItems:
    """Items with a text and without events.

    ``score_j = sum of w_jk score_k / (sum of w_jk + 1)`` over the ten known items k with the texts closest to j,
    ``w_jk = max(cosine, 0)^2`` and ``score_k`` the user's blend, items of the history included: what is close to
    something the user chose scores high because that does. Among themselves new items are ordered by the z-score of
    this plus that of the cosine between their text and the user's interests: on validation of four data sets either
    alone fell behind somewhere, the sum did not.

    A mean never tops the best of those it is made of, so new items would hardly be seen if they had to compete. They
    have places of their own instead: the last ones of a list, for users whom an item fits, and known items elsewhere.

    Parameters
    ----------
    part
        What the arms were fitted on.
    places
        Places at the end of each list.

    Attributes
    ----------
    items : int32 [new]
        Items without events that have a neighbour, ascending.
    """

    def __init__(self, part: TrainingPart, places: int = 1) -> None:
        self.places = places
        self.known = part.known
        near, cosines = part.similar_texts(NEIGHBOURS)
        weights = np.where(near >= 0, np.maximum(cosines, 0).astype(np.float64) ** 2, 0.0)
        self.items = np.flatnonzero(~part.known & (weights > 0).any(axis=1)).astype(np.int32)
        weights = weights[self.items]
        weights /= weights.sum(axis=1, keepdims=True) + DOUBT
        rows, near_places = np.nonzero(weights)
        shape = (self.items.size, part.events.n_items)
        told = (weights[rows, near_places], (rows, near[self.items][rows, near_places]))
        self.table: sparse.csr_array = sparse.coo_array(told, shape=shape).tocsr()

    def score(self, blend: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of the new items, float64 [b, new], from the blend of every item, seen ones included, [b, items]."""
        return np.ascontiguousarray((self.table @ blend.T).T)

    def order(self, scores: NDArray[np.float64], cosines: NDArray[np.float32]) -> NDArray[np.float64]:
        """What new items are ordered by, float64 [b, new].

        Parameters
        ----------
        scores
            Of :meth:`score`.
        cosines
            Of every item's text and the user's interests, or their z-scores, float32 [b, items].
        """
        return _standard(scores) + _standard(cosines[:, self.items].astype(np.float64))

    def place(
        self,
        total: NDArray[np.float64],
        blend: NDArray[np.float64],
        cosines: NDArray[np.float32],
        served: NDArray[np.bool_],
        top: int,
    ) -> NDArray[np.bool_]:
        """Put the new items that fit behind the best known ones of each ``served`` row, in place.

        Parameters
        ----------
        total
            Final scores, float64 [b, items]; minus infinity for what is no candidate.
        blend
            The blend of every item, seen ones included, float64 [b, items].
        cosines
            As for :meth:`order`.
        served
            bool [b]; other rows stay as they are.
        top
            Length of the lists.

        Returns
        -------
        ndarray
            bool [b, items]: what was placed.
        """
        placed = np.zeros(total.shape, np.bool_)
        scores = self.score(blend)
        order = self.order(scores, cosines)
        allowed = total[:, self.items] > -np.inf
        for row in np.flatnonzero(served):
            known = blend[row, self.known]
            fits = allowed[row] & (scores[row] > known.mean() + FIT * known.std())
            own = np.where(fits, order[row], -np.inf)[None]
            best = best_items(own, min(self.places, top, self.items.size))[0]
            best = self.items[best[best >= 0]]
            total[row, self.items] = -np.inf
            kept = best_items(total[row][None], top - best.size)[0] if best.size < top else best[:0]
            kept = kept[kept >= 0]
            if best.size:
                above = total[row, kept[-1]] if kept.size else 0.0
                keep = total[row, kept]
                total[row] = -np.inf
                total[row, kept] = keep
                for item in best:
                    above = np.nextafter(above, -np.inf)
                    total[row, item] = above
                placed[row, best] = True
        return placed


def _standard(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = np.maximum(scores.std(axis=1, keepdims=True), SMALLEST_DEVIATION)
    return np.asarray((scores - scores.mean(axis=1, keepdims=True)) / spread, np.float64)
