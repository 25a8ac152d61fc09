"""Where KMeans starts when rows are many: k-means‖, a few passes over all rows instead of one pass per seed.

Bahmani, Moseley, Vattani, Kumar and Vassilvitskii, "Scalable K-Means++" (VLDB 2012): every round draws about ``2 k``
rows at once with probability proportional to the weighted squared distance to the nearest candidate so far. After five
rounds each candidate gets the weight of the rows nearest to it, and greedy k-means++ chooses the seeds among them.
Unlike k-means++ here, which draws from a sample above 8192 rows, every row can become a seed.

The paper tosses one coin per row; here exactly ``2 k`` draws go by inverse cumulative weight over the rows in canonical
order, so that neither the order of the rows nor the number of threads changes the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import chunks
from uicgpu.cluster.seeding import draw, inverse, seeding_order

OVERSAMPLING: Final = 2
"""Draws per round and cluster."""
ROUNDS: Final = 5
BLOCK: Final = 1024
"""Rows compared at once: 16 MB of float64 distances at 1024 clusters."""


def oversampled(
    points: NDArray[np.float32],
    clusters: int,
    rng: np.random.Generator,
    backend: Backend,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Choose ``clusters`` distinct rows of ``points`` as seeds by k-means‖, int64 [clusters].

    Parameters
    ----------
    points
        float32 [n, d], finite, n >= ``clusters``.
    clusters
        Number of seeds.
    rng
        Source of all draws.
    backend
        Its host threads share the rows; the seeds do not depend on them.
    weights
        float64 [n], 0 or more. Rows with weight 0 are taken only when the others run out.

    Notes
    -----
    Duplicates of a seed are taken only when no distinct row is left. Memory beside the points: 53 bytes per row.
    """
    rows = seeding_order(points, clusters, backend, weights)
    weight = np.ones(rows.size) if weights is None else weights[rows]
    nearest = _Nearest.start(points, rows, backend)
    chosen = np.empty(0, np.int64)
    drawn = inverse(weight, rng.random(1))
    finished = 0
    while drawn.size:
        nearest.add(drawn, chosen.size)
        chosen = np.concatenate((chosen, drawn))
        if finished >= ROUNDS and chosen.size >= clusters:
            break
        potential = nearest.squared * weight
        potential[chosen] = 0.0
        drawn = np.unique(inverse(potential, rng.random(OVERSAMPLING * clusters)))
        drawn = drawn[_unseen(points, rows, chosen, drawn)]
        finished += 1
    mass = np.bincount(nearest.candidate, weights=weight, minlength=chosen.size).astype(np.float64)
    if chosen.size < clusters:
        others = np.setdiff1d(np.arange(rows.size), chosen)[: clusters - chosen.size]
        chosen, mass = np.concatenate((chosen, others)), np.concatenate((mass, np.zeros(others.size)))
    candidates = points[rows[chosen]] - nearest.mean
    return rows[chosen[draw(candidates, mass, clusters, rng, backend)]]


@dataclass
class _Nearest:
    """Nearest candidate of each row, in canonical order: ``squared`` distance and the ``candidate``'s number."""

    points: NDArray[np.float32]
    rows: NDArray[np.int64]
    mean: NDArray[np.float64]
    squared: NDArray[np.float64]
    candidate: NDArray[np.int32]
    backend: Backend

    @classmethod
    def start(cls, points: NDArray[np.float32], rows: NDArray[np.int64], backend: Backend) -> _Nearest:
        def total(part: slice) -> NDArray[np.float64]:
            return np.asarray(points[rows[part]].sum(axis=0, dtype=np.float64))

        mean = np.add.reduce(backend.map(total, chunks(rows.size, BLOCK)), axis=0) / rows.size
        return cls(points, rows, mean, np.full(rows.size, np.inf), np.zeros(rows.size, np.int32), backend)

    def add(self, drawn: NDArray[np.int64], before: int) -> None:
        """Compare all rows with new candidates, numbered from ``before``; the earlier candidate wins a tie."""
        new = self.points[self.rows[drawn]] - self.mean
        norms = np.einsum("ij,ij->i", new, new)

        def part(block: slice) -> None:
            x = self.points[self.rows[block]] - self.mean
            distances = np.einsum("ij,ij->i", x, x)[:, None] + norms - 2.0 * (x @ new.T)
            best = distances.argmin(axis=1)
            squared = np.maximum(distances[np.arange(best.size), best], 0.0)
            nearer = squared < self.squared[block]
            self.squared[block][nearer] = squared[nearer]
            self.candidate[block][nearer] = before + best[nearer]

        self.backend.map(part, chunks(self.rows.size, BLOCK))


def _unseen(
    points: NDArray[np.float32], rows: NDArray[np.int64], chosen: NDArray[np.int64], drawn: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Positions in ``drawn`` whose points differ from every chosen one and from every earlier one, ascending."""
    _, first = np.unique(points[rows[np.concatenate((chosen, drawn))]], axis=0, return_index=True)
    return np.sort(first[first >= chosen.size]) - chosen.size
