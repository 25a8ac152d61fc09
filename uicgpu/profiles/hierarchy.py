"""Which clusters belong together? Super-clusters: a coarser view of the same users."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST_CLUSTERS: Final = 4
"""Fewer clusters need no second level."""


def group_clusters(centroids: NDArray[np.float32], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join clusters to about the square root of their number of super-clusters.

    Ward's criterion on the centres, weighted by users: the two groups are joined whose union adds the least to the sum
    of squared distances, ``n_a n_b / (n_a + n_b) * |a - b|^2``; ties go to the lowest ids.

    Parameters
    ----------
    centroids
        float32 [clusters, dim].
    sizes
        int64 [clusters], positive.

    Returns
    -------
    int64 [clusters], super-cluster of each: 0 is the largest by users, ties by the lowest member.

    Examples
    --------
    >>> points = np.array([[0.0], [9.0], [1.0], [10.0]], np.float32)
    >>> group_clusters(points, np.array([5, 1, 5, 1])).tolist()
    [0, 1, 0, 1]
    """
    count = int(sizes.size)
    wanted = max(2, round(math.sqrt(count))) if count >= FEWEST_CLUSTERS else 1
    place, weight = np.asarray(centroids, np.float64).copy(), sizes.astype(np.float64)
    label = np.arange(count)
    alive = np.ones(count, np.bool_)
    costs = np.full((count, count), math.inf)
    for first in range(count):
        costs[first, first + 1 :] = _ward(place, weight, first)[first + 1 :]
    for _ in range(count - wanted):
        first, second = divmod(int(costs.argmin()), count)
        together = weight[first] + weight[second]
        place[first] = (weight[first] * place[first] + weight[second] * place[second]) / together
        weight[first] = together
        label[label == second] = first
        alive[second] = False
        costs[second, :] = costs[:, second] = math.inf
        fresh = np.where(alive, _ward(place, weight, first), math.inf)
        costs[first, first + 1 :] = fresh[first + 1 :]
        costs[:first, first] = fresh[:first]
    order = sorted(np.flatnonzero(alive).tolist(), key=lambda group: (-weight[group], group))
    return np.array([order.index(int(group)) for group in label], np.int64)


def _ward(place: NDArray[np.float64], weight: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """What joining ``first`` to each other group adds to the sum of squared distances."""
    costs: NDArray[np.float64] = weight[first] * weight / (weight[first] + weight)
    costs *= ((place - place[first]) ** 2).sum(axis=1)
    return costs
