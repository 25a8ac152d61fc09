"""Why is this user in this cluster? The items that pull, and the fewest whose removal would change it.

Everything here is computed with the rule that placed the user: pool the items again, look for the nearest centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

VANISHING: Final = 1e-6
"""Sums shorter than this part of the weights are rounding residue (as in pooling)."""


@dataclass(frozen=True)
class Explanation:
    """Why a user is where they are.

    Attributes
    ----------
    cluster, second
        Nearest centre and the next one; equal when there is one cluster.
    pulls
        float64 [items], how much each item moves the user towards ``cluster`` and away from ``second``: it is what the
        item adds to the difference of the two scores, before the user's vector is brought to unit length again.
        Negative for items that pull the other way.
    removed
        Positions of items without which the user would be elsewhere; none of them can be left in. None where no removal
        changes the cluster.
    becomes
        The cluster without them, None where there is none.
    """

    cluster: int
    second: int
    pulls: NDArray[np.float64]
    removed: tuple[int, ...] | None
    becomes: int | None


def explain_cluster(
    weights: NDArray[np.float64],
    vectors: NDArray[np.floating],
    centroids: NDArray[np.floating],
    features: NDArray[np.floating] | None = None,
) -> Explanation:
    """Explain the cluster of one user.

    Parameters
    ----------
    weights
        float64 [items], pooling weight of each of the user's items: ``log(1 + w) * idf``.
    vectors
        [items, dim], centred item vectors of unit length (zero where an item has no text).
    centroids
        [clusters, dim (+ features)].
    features
        [features], behaviour features behind the user's text vector; removing items leaves them as they are.

    Notes
    -----
    The counterfactual is greedy: the item with the strongest pull goes first, and the user is pooled and placed anew
    after each. Then items are put back, the weakest first, as long as the cluster stays changed. The set is
    irreducible; a smaller one may exist.
    """
    rows = np.asarray(vectors, np.float64)
    centres = np.asarray(centroids, np.float64)
    tail = np.zeros(0) if features is None else np.asarray(features, np.float64)
    kept = np.ones(weights.size, np.bool_)
    scores = _scores(weights, rows, kept, centres, tail)
    cluster = int(scores.argmax())
    if centres.shape[0] == 1:
        return Explanation(cluster, cluster, np.zeros(weights.size), None, None)
    second = _runner_up(scores, cluster)
    pulls = _pulls(weights, rows, kept, centres, cluster, second)
    removed: list[int] = []
    becomes = cluster
    while becomes == cluster and kept.sum() > 1:
        current = _pulls(weights, rows, kept, centres, cluster, _runner_up(scores, cluster))
        strongest = int(np.where(kept, current, -np.inf).argmax())
        if current[strongest] <= 0:
            break
        kept[strongest] = False
        removed.append(strongest)
        scores = _scores(weights, rows, kept, centres, tail)
        becomes = int(scores.argmax())
    if becomes == cluster or not _pooled(weights, rows, kept).any():
        return Explanation(cluster, second, pulls, None, None)
    for position in sorted(removed, key=lambda place: (pulls[place], place)):
        kept[position] = True
        scores = _scores(weights, rows, kept, centres, tail)
        if int(scores.argmax()) == cluster:
            kept[position] = False
        else:
            removed.remove(position)
    becomes = int(_scores(weights, rows, kept, centres, tail).argmax())
    return Explanation(cluster, second, pulls, tuple(sorted(removed)), becomes)


def _pooled(weights: NDArray[np.float64], rows: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = (weights[kept, None] * rows[kept]).sum(axis=0)
    length = float(np.linalg.norm(total))
    return total / length if length > VANISHING * float(weights[kept].sum()) else np.zeros_like(total)


def _scores(
    weights: NDArray[np.float64],
    rows: NDArray[np.float64],
    kept: NDArray[np.bool_],
    centres: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Larger is nearer: minus the squared distance, up to a constant."""
    place = np.concatenate([_pooled(weights, rows, kept), tail])
    scores: NDArray[np.float64] = 2 * centres @ place - (centres**2).sum(axis=1)
    return scores


def _runner_up(scores: NDArray[np.float64], cluster: int) -> int:
    others = scores.copy()
    others[cluster] = -np.inf
    return int(others.argmax())


def _pulls(
    weights: NDArray[np.float64],
    rows: NDArray[np.float64],
    kept: NDArray[np.bool_],
    centres: NDArray[np.float64],
    cluster: int,
    second: int,
) -> NDArray[np.float64]:
    length = float(np.linalg.norm((weights[kept, None] * rows[kept]).sum(axis=0))) or 1.0
    apart = (centres[cluster] - centres[second])[: rows.shape[1]]
    pulls: NDArray[np.float64] = 2 * weights * (rows @ apart) / length
    return pulls
