"""The rung for new items: what nobody has chosen yet is judged by its text."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.recommend.inputs import TrainingPart
from uicgpu.recommend.rows import best_items

SOURCE: Final = "new_item"
"""Named as the source of a recommendation."""
FIT: Final = 0.5
"""A new item fits a user if its cosine lies so many deviations above the mean cosine of the known items."""


class NewItems:
    """Items with a text and without events, by the cosine of their text and the user's interests.

    They have places of their own, the last ones of a list: beside items that many arms speak for, a text alone would
    hardly be seen. A user whom no new item fits gets known items there. On validation of four data sets no other order
    was clearly better. What the blend says of the known items with the closest texts is far behind: not every arm has a
    meaningful score for items of the history, and those are the closest ones.

    Parameters
    ----------
    part
        What the arms were fitted on.
    places
        Places at the end of each list.

    Attributes
    ----------
    items : int32 [new]
        Ascending.
    """

    def __init__(self, part: TrainingPart, places: int = 1) -> None:
        self.places = places
        self.known = part.known
        self.items = np.flatnonzero(~part.known & part.has_text).astype(np.int32)

    def place(
        self, total: NDArray[np.float64], cosines: NDArray[np.float32], served: NDArray[np.bool_], top: int
    ) -> NDArray[np.bool_]:
        """Put the new items that fit behind the best known ones of each ``served`` row, in place.

        Parameters
        ----------
        total
            Final scores, float64 [b, items]; minus infinity for what is no candidate, any number for new items that
            are.
        cosines
            Of every item's text and the user's interests, float32 [b, items].
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
        for row in np.flatnonzero(served):
            known = cosines[row, self.known].astype(np.float64)
            own = cosines[row, self.items].astype(np.float64)
            fits = (total[row, self.items] > -np.inf) & (own > known.mean() + FIT * known.std())
            best = best_items(np.where(fits, own, -np.inf)[None], min(self.places, top, self.items.size))[0]
            best = self.items[best[best >= 0]]
            total[row, self.items] = -np.inf
            if not best.size:
                continue
            kept = best_items(total[row][None], top)[0][: top - best.size]
            kept = kept[kept >= 0]
            scores = total[row, kept]
            total[row] = -np.inf
            total[row, kept] = scores
            above = scores[-1] if kept.size else 0.0
            for item in best:
                above = np.nextafter(above, -np.inf)
                total[row, item] = above
            placed[row, best] = True
        return placed
