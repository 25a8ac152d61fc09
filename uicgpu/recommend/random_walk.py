"""Where a short random walk over the graph of users and items ends, popular items held back."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from uicgpu.recommend.co_occurrence import nearest_items
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.recommend.item_item import ItemItem


class RandomWalk(ItemItem):
    """RP3beta: ``W_ij = sum over users of both of (1 / n_i)^alpha (1 / n_u)^alpha / n_j^beta``, score = ``x W``.

    From an item of the history to one of its users and on to one of that user's items; ``alpha`` sharpens the steps,
    ``beta`` holds popular targets back (Paudel, Christoffel, Newell and Bernstein, "Updatable, accurate, diverse, and
    scalable recommendations for interactive applications", 2016). Of each target the ``neighbours`` largest ``W_ij``
    are kept; the paper keeps them per history item.

    Parameters
    ----------
    alpha
        Exponent of the steps' probabilities.
    beta
        Penalty on popular targets.
    neighbours
        History items kept per target.
    """

    name: ClassVar[str] = "random_walk"

    def __init__(self, alpha: float = 1.0, beta: float = 0.4, neighbours: int = 200) -> None:
        self.alpha, self.beta = alpha, beta
        self.neighbours = neighbours

    def fit(self, part: TrainingPart) -> Self:
        """Add the walks up target by target; never more than one dense row at a time."""
        items = np.maximum(part.item_counts, 1).astype(np.float64)
        users = np.maximum(part.interactions.user_counts, 1).astype(np.float64)
        self.weights = nearest_items(part, users**-self.alpha, items**-self.alpha, items**-self.beta, self.neighbours)
        return self
